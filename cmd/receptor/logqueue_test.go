package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/config"
)

// stuck is a stream that nobody reads until it is opened.
type stuck struct {
	writes
	open chan struct{}
}

func newStuck() *stuck { return &stuck{open: make(chan struct{})} }

func (s *stuck) Write(b []byte) (int, error) {
	<-s.open
	return s.writes.Write(b)
}

func (s *stuck) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.all, "")
}

func missing(n int) []byte { return fmt.Appendf(nil, "missing %d\n", n) }

// A line is out when Write returns.
func TestLogQueueIsPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		close(s.open)
		q := newLogQueue(s, missing)
		start := time.Now()
		for i := range 1000 {
			fmt.Fprintf(q, "line %d\n", i)
			if got := s.text(); !strings.HasSuffix(got, fmt.Sprintf("line %d\n", i)) {
				t.Fatalf("line %d is not out: %q", i, got)
			}
		}
		if !q.close() || time.Since(start) != 0 {
			t.Errorf("it took %v", time.Since(start))
		}
		if n, err := q.Write([]byte("late")); n != 4 || err != nil || strings.Contains(s.text(), "late") {
			t.Errorf("after close: %d %v", n, err)
		}
	})
}

// A reader that does not read makes the first line wait, and no other; what is
// too much is dropped and counted in its place; once it reads, all is as before.
func TestLogQueueOfAStuckReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStuck()
		q := newLogQueue(s, missing)
		start := time.Now()
		fmt.Fprintln(q, "first")
		if took := time.Since(start); took != logPatience {
			t.Errorf("the first line waits %v, want %v", took, logPatience)
		}
		long := strings.Repeat("x", 1023) + "\n"
		for range 2 * logBacklog / len(long) {
			fmt.Fprint(q, long)
		}
		fmt.Fprintln(q, "short, and behind what is dropped")
		if took := time.Since(start); took != logPatience {
			t.Errorf("further lines wait %v", took-logPatience)
		}
		close(s.open)
		synctest.Wait()
		fmt.Fprintln(q, "last")
		dropped := logBacklog/len(long) + 1
		want := "first\n" + strings.Repeat(long, logBacklog/len(long)) + fmt.Sprintf("missing %d\n", dropped) + "last\n"
		if got := s.text(); got != want {
			t.Errorf("%d bytes are out, want %d; they end in %q", len(got), len(want), got[max(0, len(got)-100):])
		}
		if !q.close() {
			t.Error("not closed in time")
		}
	})
}

// The end of the daemon waits for the last lines, but not for ever.
func TestLogQueueCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reads := range []time.Duration{0, logPatience, logFarewell / 2, 2 * logFarewell} {
			s := newStuck()
			q := newLogQueue(s, missing)
			fmt.Fprintln(q, "one")
			fmt.Fprintln(q, "two")
			time.AfterFunc(reads, func() { close(s.open) })
			in := reads < logFarewell
			if closed := q.close(); closed != in {
				t.Errorf("reader starts after %v: closed %v, want %v", reads, closed, in)
			} else if in && s.text() != "one\ntwo\n" {
				t.Errorf("reader starts after %v: %q", reads, s.text())
			}
			<-s.open
			<-q.done
		}
	})
}

// Both forms say what was dropped.
func TestLogSaysWhatWasDropped(t *testing.T) {
	for format, want := range map[string]string{
		config.LogText: "WARNING ", config.LogJSON: `"level":"WARN"`,
	} {
		s := newStuck()
		l := newLog(s, format, slog.LevelInfo)
		for i := range 3 * logBacklog / 1000 {
			l.Info(fmt.Sprint(i) + strings.Repeat("x", 1000)) // each another message: those of one kind are bounded
		}
		close(s.open)
		if !l.close() {
			t.Fatal("not closed in time")
		}
		last := s.all[len(s.all)-1]
		if !strings.Contains(last, want) || !strings.Contains(last, "log lines were dropped") || !strings.Contains(last, "count") {
			t.Errorf("%s: %q", format, last)
		}
	}
}

// A daemon whose output nobody reads works and ends like any other, with the
// same outcome, also when it fails.
func TestDaemonOfAStuckReader(t *testing.T) {
	s := newStuck()
	defer close(s.open)
	d := startDaemonTo(t, s, "- node: {id: a, datadir: DIR/data}\n- log-level: debug\n- local-only\n- control-service: {filename: DIR/s}\n")
	for range 100 {
		if got := d.ask("ping localhost"); !strings.Contains(got, `"Success":true`) {
			t.Fatal(got)
		}
	}
	d.stop()

	dir := t.TempDir()
	file := filepath.Join(dir, "c.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "- node: {id: a, datadir: %s}\n- log-level: debug\n- tcp-server: {bindaddr: 192.0.2.1, port: 1, remotenode: a, remoteservice: b}\n- local-only\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := newStuck()
	defer close(failed.open)
	if code := run([]string{"--config", file}, nil, failed, io.Discard); code != 1 {
		t.Errorf("a daemon without its address ends with code %d, want 1", code)
	}
}
