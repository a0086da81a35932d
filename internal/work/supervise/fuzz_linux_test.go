package supervise

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// someKill is a record that the killer may have left.
var someKill = killRecord{V: recordVersion, Process: someProcess, Space: "pid:[4026531836]", Until: 20_000, Seen: 10_000, Interrupted: true}

// FuzzParseKill: the record of a kill that is taken up names one group, and a time;
// written anew, in its place, it says the same.
func FuzzParseKill(f *testing.F) {
	b, err := json.Marshal(someKill)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, bytes.Repeat([]byte{' '}, killSize-len(b))...))
	for _, s := range []string{
		"", "{}", "null", "[]", `{"v":2,"pid":4711}`, `{"v":1,"pid":1}`, `{"v":1,"pid":-1}`, `{"v":1,"pid":2147483647}`, `{"v":1,"pid":2147483648}`,
		`{"v":1,"pid":4294967297}`, `{"v":1,"pid":9223372036854775807}`, `{"v":1,"pid":2,"until_ms":9223372036854775807}`, `{"v":1,"pid":2,"until_ms":-1}`,
		`{"v":1,"pid":2,"seen_ms":9223372036854775807}`, `{"v":1,"pid":2,"seen_ms":9223372036854,"until_ms":9223372036854,"pidns":"\u0000<"}`, `{"v":1,"pid":2}{"v":1}`,
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseKill(b)
		if err != nil {
			return
		}
		// A process number is 32 bits for the system, which takes the group of -1 for everybody.
		if r.PID <= 1 || int(int32(r.PID)) != r.PID || r.Until < 0 || r.Seen < 0 ||
			time.Duration(r.Until)*time.Millisecond/time.Millisecond != time.Duration(r.Until) {
			t.Fatalf("%+v is to be killed", r)
		}
		k := &killer{dir: dir, log: slog.New(slog.DiscardHandler)}
		if err := k.writeLocked(&due{killRecord: r, own: true}); err != nil {
			return // it has become too long
		}
		defer os.Remove(k.file(r.Process))
		again, err := readKill(k.file(r.Process))
		if r.Seen = min(r.Seen, again.Seen); err != nil || again != r || again.Seen > sinceBoot().Milliseconds() {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

// The record of a kill has its place on the disk: one that does not fit it is not written.
func TestKillRecordFitsItsPlace(t *testing.T) {
	r := someKill
	for {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == killSize-1 {
			break
		}
		r.Space += "x"
	}
	k := &killer{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	if err := k.writeLocked(&due{killRecord: r, own: true}); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	if b, err := os.ReadFile(k.file(r.Process)); err != nil || len(b) != killSize {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if got, err := readKill(k.file(r.Process)); err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
	r.Space += "x"
	if err := k.writeLocked(&due{killRecord: r, own: true}); err == nil || err.Error() != "record of 512 bytes is too long" {
		t.Errorf("one byte more: %v", err)
	}
}

// A record that says that the number was seen in the future does not make a stranger of the future fair game.
func TestKillSeenInTheFuture(t *testing.T) {
	r := someKill
	r.Seen = (sinceBoot() + time.Hour).Milliseconds()
	k := &killer{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	if err := k.writeLocked(&due{killRecord: r, own: true}); err != nil {
		t.Fatal(err)
	}
	got, err := readKill(k.file(r.Process))
	if err != nil || got.Seen > sinceBoot().Milliseconds() {
		t.Errorf("%+v, %v", got, err)
	}
}

// A journal names only processes that the system may have.
func TestJournalOfImpossibleProcess(t *testing.T) {
	for pid, ok := range map[int]bool{-1: false, 0: false, 1: false, 2: true, math.MaxInt32: true, math.MaxInt32 + 1: false, 1<<32 + 1: false, math.MaxInt64: false} {
		p := someProcess
		p.PID = pid
		dir := t.TempDir()
		if err := addProcess(dir, p); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadProcess(dir); ok && got != p || !ok && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: %+v, %v", pid, got, err)
		}
	}
}

// FuzzReceive turns bytes into what a supervisor sends. Whatever it is, calls are
// answered once, events say one thing, and nothing is told of a unit that was forgotten.
func FuzzReceive(f *testing.F) {
	for _, s := range []string{
		`{"msg":"running","unit":"a","dir":"/a","process":{"pid":7,"start":1}}` + "\n" + `{"msg":"ended","unit":"a","exit":{"code":0,"detail":"exit status 0","started":true,"known":true,"ended":"2026-01-02T03:04:05Z"}}`,
		`{"msg":"reply","id":1,"unit":"a","process":{"pid":7,"start":1}}` + "\n" + `{"msg":"reply","id":1,"unit":"a"}`,
		`{"msg":"reply","id":1,"unit":"a","not_started":true,"error":"no such program"}`, `{"msg":"reply","id":1,"before":true}` + "\n" + `{"msg":"reply","id":1,"unknown":true}`,
		`{"msg":"reply","id":2,"unknown":true}` + "\n" + `{"msg":"ended","unit":"b"}` + "\n" + `{"msg":"unknown","unit":"b"}`, `{"msg":"reply","id":3}` + "\n" + `{"msg":"running","unit":"gone","process":{}}`,
		`{"msg":"ended","unit":"gone","exit":{"detail":"x","ended":"2026-01-02T03:04:05Z"}}` + "\n" + `{"msg":"running","unit":"gone","process":{"pid":7,"start":1}}`,
		`{"msg":"running","unit":"gone","dir":["/w=="]}` + "\n" + `{"msg":"synced"}` + "\n" + `{"msg":"later"}` + "\n{}", "null\n[]\n", "",
		`{"msg":"ended","unit":"x","exit":{"ended":"0000-01-01T00:00:00Z"}}`, `{"msg":"reply","id":9,"unit":"x","process":{},"exit":{}}`,
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	unitDir := filepath.Join(dir, "unit")
	if err := os.Mkdir(unitDir, 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Open(t.Context(), Config{Dir: dir, Argv: []string{os.Args[0]}})
		if err != nil {
			t.Fatal(err)
		}
		start := &call{op: opStart, unit: "a", dir: unitDir, done: make(chan struct{})}
		stop := &call{op: opStop, unit: "b", done: make(chan struct{})}
		for _, err := range []error{
			c.enter(start, &request{Op: opStart, Unit: "a", Dir: text(unitDir), Command: "true"}), c.Adopt("b", unitDir),
			c.enter(stop, &request{Op: opStop, Unit: "b"}), c.Forget("gone"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		r := bufio.NewReaderSize(bytes.NewReader(append(b, '\n')), 16)
		told := 0
		for {
			var m message
			if err := readLine(r, &m); err != nil {
				break
			}
			forgotten := c.forgottenLocked(m.Unit)
			c.receive(&m)
			for _, e := range c.events[told:] {
				if (e.Process != nil) == (e.Exit != nil) || e.Unit != m.Unit || forgotten {
					t.Errorf("%+v becomes %+v", m, e)
				}
			}
			told = len(c.events)
			line, err := appendLine(nil, &m)
			if err != nil {
				continue // a time that cannot be written
			}
			var back message
			if err := readLine(bufio.NewReader(bytes.NewReader(line)), &back); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if again, err := appendLine(nil, &back); err != nil || !bytes.Equal(line, again) {
				t.Errorf("%s\n%s\n%v", line, again, err)
			}
		}
		c.group.Wait()
		for _, k := range []*call{start, stop} {
			select {
			case <-k.done:
				if c.calls[k.id] != nil {
					t.Errorf("%s is answered, and waits", k.op)
				}
			default:
				if c.calls[k.id] != k {
					t.Errorf("%s is neither answered nor waits", k.op)
				}
			}
		}
		if n := bytes.Count(b, []byte("\n")) + 1; len(c.units) > n+3 || len(c.events) > 2*n {
			t.Errorf("%d units, %d events of %d lines", len(c.units), len(c.events), n)
		}
	})
}

// The key of a unit has a limit.
func TestLongestUnit(t *testing.T) {
	c, err := Open(t.Context(), Config{Dir: t.TempDir(), Argv: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("ü", MaxUnit/2) + "x"
	if err := c.Adopt(longest, t.TempDir()); err != nil {
		t.Errorf("%d bytes: %v", len(longest), err)
	}
	err = c.Adopt(longest+"x", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "1 to 255 bytes") {
		t.Errorf("one byte more: %v", err)
	}
}

// The arguments of a command have a limit, and one byte more is refused in the system's words.
func TestLongestArguments(t *testing.T) {
	c, err := Open(t.Context(), Config{Dir: t.TempDir(), Argv: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is started: what fits waits for a supervisor
	args := strings.Repeat("x", maxArgs-len("sh")-len(" "))
	for _, tt := range []struct {
		args    string
		refused bool
	}{{args, false}, {args + "x", true}} {
		dir := t.TempDir()
		_, err := c.Start(ctx, Job{Unit: "u", UnitDir: dir, Command: "sh", Args: []string{tt.args}})
		_, refused := errors.AsType[*StartError](err)
		if refused != tt.refused || refused && err.Error() != "fork/exec sh: argument list too long" {
			t.Errorf("%d bytes: %v", len(tt.args)+3, err)
		}
		if e, err := ReadExit(dir); refused != (err == nil) || refused && e.Started {
			t.Errorf("%d bytes: recorded %+v, %v", len(tt.args)+3, e, err)
		}
	}
}
