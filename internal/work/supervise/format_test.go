package supervise

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	someProcess = Process{PID: 4711, StartTime: 123456789, Boot: "0f0e-0d"}
	someTime    = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	someExit    = Exit{Code: 3, Detail: "exit status 3", Started: true, Known: true, Ended: someTime}
)

const (
	lineStarting = `{"v":1,"state":"starting"}` + "\n"
	lineStarted  = `{"v":1,"state":"started","pid":4711,"start":123456789,"boot":"0f0e-0d"}` + "\n"
	lineEnded    = `{"v":1,"state":"ended","code":3,"detail":"exit status 3","started":true,"known":true,"ended":"2026-01-02T03:04:05.000000006Z"}` + "\n"
)

func TestJournalWrites(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadProcess(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := ReadExit(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	j, err := claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadProcess(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("only claimed: %v, want that it does not exist", err)
	}
	if err := j.starting(terms{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadProcess(dir); !errors.Is(err, errStarting) {
		t.Errorf("starting: %v", err)
	}
	if _, err := claim(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("claimed twice: %v", err)
	}
	if err := errors.Join(j.started(someProcess), addExit(dir, someExit)); err != nil {
		t.Fatal(err)
	}
	j.close()
	b, err := os.ReadFile(filepath.Join(dir, processName))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), lineStarting+lineStarted+"\n"+lineEnded; got != want {
		t.Errorf("file\n%s\nwant\n%s", got, want)
	}
	if p, err := ReadProcess(dir); err != nil || p != someProcess {
		t.Errorf("process %+v, %v", p, err)
	}
	if e, err := ReadExit(dir); err != nil || e != someExit {
		t.Errorf("exit %+v, %v", e, err)
	}
}

func TestParseHistory(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       history
		bad        bool
	}{
		{name: "empty"},
		{name: "cut", file: lineStarting[:9]},
		{name: "starting", file: lineStarting, want: history{starting: true}},
		{name: "started cut", file: lineStarting + lineStarted[:50], want: history{starting: true}},
		{name: "started", file: lineStarting + lineStarted, want: history{starting: true, process: &someProcess}},
		{name: "cut and ended", file: lineStarting + lineStarted[:50] + "\n" + lineEnded, want: history{starting: true, exit: &someExit}},
		{name: "first end counts", file: lineEnded + `{"v":1,"state":"ended","code":9}` + "\n", want: history{exit: &someExit}},
		{name: "no process", file: `{"v":1,"state":"started"}` + "\n" + `{"v":1,"state":"started","pid":1}` + "\n"},
		{name: "no exit", file: `{"v":1,"state":"ended"}` + "\n"},
		{name: "more members and states", file: `{"v":1,"state":"starting","more":[1]}` + "\n" + `{"v":1,"state":"paused"}` + "\n", want: history{starting: true}},
		{name: "no json", file: "\n\nnull\n[]\n\"x\"\n{}x\n", bad: true}, // null is a record of version 0
		{name: "version", file: `{"v":2,"state":"starting"}` + "\n", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseHistory([]byte(tt.file))
			if (err != nil) != tt.bad || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v, bad %t", got, err, tt.want, tt.bad)
			}
		})
	}
}

func TestFileTooLong(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		size int
		ok   bool
	}{{maxFile, true}, {maxFile + 1, false}} {
		b := lineStarted + strings.Repeat("\n", tt.size-len(lineStarted))
		if err := os.WriteFile(filepath.Join(dir, processName), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadProcess(dir); (err == nil) != tt.ok {
			t.Errorf("%d bytes: %v", tt.size, err)
		}
	}
}

func TestClip(t *testing.T) {
	short := strings.Repeat("ü", maxDetail/2)
	if clip(short) != short {
		t.Error("what fits is changed")
	}
	long := clip("begin" + strings.Repeat("ü", maxDetail) + "end")
	if len(long) > maxDetail || !strings.HasPrefix(long, "begin") || !strings.HasSuffix(long, "end") {
		t.Errorf("%d bytes: %.10q...%q", len(long), long, long[len(long)-10:])
	}
	// The longest that there can be fits the file, however it is spelt.
	dir := t.TempDir()
	if err := addExit(dir, notStarted(strings.Repeat("\x01", 1<<20), someTime)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadExit(dir); err != nil {
		t.Error(err)
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add([]byte(lineStarting + lineStarted + lineEnded))
	f.Add([]byte(lineStarting[:10] + "\n" + lineEnded))
	f.Add([]byte("\n\n{}\nnull\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHistory(b)
		if err != nil {
			return
		}
		if h.process != nil && h.process.PID <= 1 {
			t.Errorf("process %+v", h.process)
		}
		// What a crash cuts off at the end never changes what was complete before.
		for _, cut := range []int{1, 10} {
			if len(b) >= cut {
				g, err := parseHistory(b[:len(b)-cut])
				if err != nil || g.exit != nil && !reflect.DeepEqual(g.exit, h.exit) {
					t.Errorf("cut by %d: %+v, %v, whole: %+v", cut, g, err, h)
				}
			}
		}
	})
}
