package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a Log with a file, until the function it returns is called.
func running(t *testing.T, c Config) (*Log, func()) {
	t.Helper()
	l := New("n", slog.New(slog.NewTextHandler(t.Output(), nil)))
	f, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	l.Use(f)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	var once sync.Once
	stop := func() { once.Do(func() { cancel(); wg.Wait() }) }
	t.Cleanup(stop)
	return l, stop
}

// entries are the lines of a file, each of which has to be whole.
func entries(t *testing.T, name string) []Entry {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var es []Entry
	for s := bufio.NewScanner(strings.NewReader(string(data))); s.Scan(); {
		var e Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%v in %q", err, s.Text())
		}
		es = append(es, e)
	}
	return es
}

// units are the units of entries, in order.
func units(es []Entry) string {
	var s []string
	for _, e := range es {
		s = append(s, e.Unit)
	}
	return strings.Join(s, " ")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestRecord: what was recorded is in the file, whole and in order, when Run has
// ended.
func TestRecord(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(name, []byte(`{"unit":"old"}`+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	l, stop := running(t, Config{Filename: name, Mode: 0o600})
	uid := uint32(os.Getuid())
	rule := 0
	l.Record(Entry{
		Command: "work-submit", Unit: "u1", WorkType: "w<>", ToNode: "b", Result: Denied, Error: "no\nway", Code: "denied", Rule: &rule,
		From: From{UID: &uid, PID: 5, Address: "@"},
	})
	l.Record(Entry{Command: "status", Unit: "read", Result: OK, Reads: true})
	l.Record(Entry{Command: "status", Unit: "broken", Result: Failed, Reads: true})
	l.Record(Entry{Command: "status", Unit: "stopped", Result: Denied, Reads: true})
	l.Record(Entry{Command: strings.Repeat("ä", 1000), Unit: "long", Error: strings.Repeat("x", 10000), Result: Failed, From: From{Certificate: make([]string, 1000)}})
	stop()
	l.Record(Entry{Unit: "late"})
	es := entries(t, name)
	if got := units(es); got != "old u1 stopped long" {
		t.Fatalf("units %q", got)
	}
	e := es[1]
	if e.Node != "n" || time.Since(e.Time) > time.Hour || e.WorkType != "w<>" || e.Error != "no\nway" || *e.Rule != 0 || *e.From.UID != uid || e.From.PID != 5 {
		t.Errorf("entry %+v", e)
	}
	if len(es[3].Command) > maxName+3 || len(es[3].Error) > maxError+3 || len(es[3].From.Certificate) != maxCerts {
		t.Errorf("%d bytes of a command, %d of an error", len(es[3].Command), len(es[3].Error))
	}
	if written, lost := l.Counts(); written != 3 || lost != 0 {
		t.Errorf("%d written, %d lost", written, lost)
	}
	var none *Log
	none.Record(Entry{})
}

// TestMode: a new file is for its owner alone, whatever the umask; one that is
// there keeps its mode.
func TestMode(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o600, 0o640} {
		name := filepath.Join(dir, mode.String())
		f, err := Open(Config{Filename: name, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if info, _ := os.Stat(name); info.Mode() != mode {
			t.Errorf("mode %v, want %v", info.Mode(), mode)
		}
		if err := os.Chmod(name, 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err = Open(Config{Filename: name, Mode: mode}); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if info, _ := os.Stat(name); info.Mode() != 0o644 {
			t.Errorf("mode of an old file %v", info.Mode())
		}
	}
	for _, name := range []string{dir, os.DevNull, filepath.Join(dir, "nosuch", "file"), ""} {
		if f, err := Open(Config{Filename: name, Mode: 0o600}); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
	}
}

// TestMoved: after a file was moved, deleted or asked to be opened again, a new
// one begins, and nothing is in both or in none.
func TestMoved(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "audit")
	l, stop := running(t, Config{Filename: name, Mode: 0o600})
	l.Record(Entry{Unit: "1"})
	eventually(t, "the first entry", func() bool { return units(entries(t, name)) == "1" })
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	l.Record(Entry{Unit: "2"})
	eventually(t, "an entry in a new file", func() bool {
		_, err := os.Stat(name)
		return err == nil && units(entries(t, name)) == "2"
	})
	if err := os.Rename(name, name+".2"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	eventually(t, "a new file without an entry", func() bool { _, err := os.Stat(name); return err == nil })
	l.Record(Entry{Unit: "3"})
	f, err := Open(Config{Filename: name + ".other", Mode: 0o600, Reads: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Use(f)
	l.Record(Entry{Unit: "4", Reads: true, Result: OK})
	stop()
	if got := units(entries(t, name+".1")) + "|" + units(entries(t, name+".2")); got != "1|2" {
		t.Errorf("moved files have %q", got)
	}
	if got := strings.TrimSpace(units(entries(t, name)) + " " + units(entries(t, name+".other"))); got != "3 4" {
		t.Errorf("the last files have %q", got)
	}
}

// fullDisk is a file that has room for so many bytes.
type fullDisk struct {
	*os.File
	room  atomic.Int64
	fixed bool // it cannot be truncated
}

func (f *fullDisk) Write(p []byte) (int, error) {
	if room := f.room.Load(); int64(len(p)) > room {
		n, _ := f.File.Write(p[:room])
		f.room.Add(-int64(n))
		return n, syscall.ENOSPC
	}
	f.room.Add(-int64(len(p)))
	return f.File.Write(p)
}

func (f *fullDisk) Truncate(size int64) error {
	if f.fixed {
		return syscall.EPERM
	}
	return f.File.Truncate(size)
}

// TestFullDisk: while nothing can be written nobody waits, what the queue holds
// is written later, and the rest is said to be missing where it is missing.
func TestFullDisk(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "audit")
			l := New("n", slog.New(slog.NewTextHandler(t.Output(), nil)))
			f, err := Open(Config{Filename: name, Mode: 0o600})
			if err != nil {
				t.Fatal(err)
			}
			disk := &fullDisk{File: f.f.(*os.File), fixed: fixed}
			disk.room.Store(300) // one line and a part
			f.f = disk
			l.Use(f)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = l.Run(ctx) })
			for range 3 {
				l.Record(Entry{Unit: "first", Command: "work-submit", WorkType: strings.Repeat("w", 100)})
			}
			synctest.Wait()
			if written, _ := l.Counts(); written != 1 {
				t.Errorf("%d entries are written, want 1", written)
			}
			for range maxQueue + 10 {
				l.Record(Entry{Unit: "more"})
			}
			if _, lost := l.Counts(); lost != 12 {
				t.Errorf("%d entries are lost, want 12", lost)
			}
			disk.room.Store(1 << 30)
			time.Sleep(2 * retryPause)
			synctest.Wait()
			l.Record(Entry{Unit: "last"})
			cancel()
			wg.Wait()
			data, _ := os.ReadFile(name)
			lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			broken, order := 0, ""
			for _, line := range lines {
				var e Entry
				if json.Unmarshal([]byte(line), &e) != nil {
					broken++
					continue
				}
				if e.Command == CommandLost {
					if e.Lost != 12 {
						t.Errorf("%d are said to be lost", e.Lost)
					}
					e.Unit = "lost"
				}
				if !strings.HasSuffix(order, e.Unit) {
					order += " " + e.Unit
				}
			}
			if want := map[bool]int{false: 0, true: 1}[fixed]; broken != want || order != " first more lost last" {
				t.Errorf("%d broken lines, want %d; order %q", broken, want, order)
			}
			if len(lines)-broken != maxQueue+1+1+1 {
				t.Errorf("%d lines", len(lines)-broken)
			}
		})
	}
}

// TestEndWithFullDisk: the end does not wait for a disk.
func TestEndWithFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New("n", slog.New(slog.NewTextHandler(t.Output(), nil)))
		f, err := Open(Config{Filename: filepath.Join(t.TempDir(), "audit"), Mode: 0o600})
		if err != nil {
			t.Fatal(err)
		}
		f.f = &fullDisk{File: f.f.(*os.File)}
		l.Use(f)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Run(ctx) })
		l.Record(Entry{Unit: "1"})
		synctest.Wait()
		start := time.Now()
		cancel()
		wg.Wait()
		if took := time.Since(start); took > retryPause {
			t.Errorf("the end took %v", took)
		}
		if written, lost := l.Counts(); written != 0 || lost != 1 {
			t.Errorf("%d written, %d lost", written, lost)
		}
	})
}

// TestWithoutFile: entries are recorded only while there is a file.
func TestWithoutFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	l, stop := running(t, Config{Filename: name, Mode: 0o600})
	l.Record(Entry{Unit: "1"})
	eventually(t, "the entry", func() bool { return units(entries(t, name)) == "1" })
	l.Use(nil)
	l.Record(Entry{Unit: "2"})
	eventually(t, "the file is closed", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return !l.swap })
	if got := units(entries(t, name)); got != "1" {
		t.Errorf("entries %q", got)
	}
	stop()
}
