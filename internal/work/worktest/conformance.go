package worktest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/work/supervise"
)

// Runner is what package work expects of a supervisor.
type Runner interface {
	Run(ctx context.Context, events func(supervise.Event)) error
	Start(ctx context.Context, j supervise.Job) (supervise.Process, error)
	Stop(ctx context.Context, unit string, grace time.Duration) error
	Adopt(unit, unitDir string) error
	Forget(unit string) error
}

// TestSupervisor is the suite that every supervisor passes. open connects to one
// supervisor, again and again; the programs cat, false and sleep exist, and
// "sleep 60" ends when it is interrupted.
func TestSupervisor(t *testing.T, open func() Runner) {
	s := &suite{t: t, dir: t.TempDir(), open: open, exits: make(map[string]*supervise.Exit)}
	s.connect()
	defer func() { s.disconnect() }()

	// Output and exit code.
	s.start("cat", "cat", "hello")
	if e := s.exit("cat"); !e.Succeeded() || e.Detail != "exit status 0" {
		t.Errorf("cat: %+v", e)
	}
	if b, _ := os.ReadFile(filepath.Join(s.dir, "cat", "stdout")); string(b) != "hello" {
		t.Errorf("cat: output %q", b)
	}
	s.start("false", "false", "")
	if e := s.exit("false"); e.Succeeded() || e.Code != 1 || !e.Known || !e.Started || e.Detail != "exit status 1" {
		t.Errorf("false: %+v", e)
	}

	// Error output of its own.
	j := s.job("err", "cat", "no-such-file-here")
	j.Stderr = true
	s.run(j)
	if e := s.exit("err"); e.Code != 1 {
		t.Errorf("cat of no file: %+v", e)
	}
	out, outErr := os.ReadFile(filepath.Join(j.UnitDir, "stdout"))
	complaint, err := os.ReadFile(filepath.Join(j.UnitDir, "stderr"))
	if outErr != nil || err != nil || len(out) > 0 || len(complaint) == 0 {
		t.Errorf("cat of no file: output %q %v, error output %q %v", out, outErr, complaint, err)
	}

	// Input that grows.
	j = s.job("stream", "cat")
	j.Stream = true
	s.run(j)
	for _, part := range []string{"he", "llo"} {
		s.append(j, "stdin", part)
	}
	s.append(j, "new", "5\n")
	if err := os.Rename(filepath.Join(j.UnitDir, "new"), filepath.Join(j.UnitDir, "stdin.end")); err != nil {
		t.Fatal(err)
	}
	if e := s.exit("stream"); !e.Succeeded() {
		t.Errorf("stream: %+v", e)
	}
	if b, _ := os.ReadFile(filepath.Join(j.UnitDir, "stdout")); string(b) != "hello" {
		t.Errorf("stream: output %q", b)
	}

	// A limit.
	j = s.job("long", "sleep", "60")
	j.MaxRuntime = 50 * time.Millisecond
	s.run(j)
	const text = "stopped: it ran longer than 50ms (maxruntime)"
	if e := s.exit("long"); e.Succeeded() || e.Trouble != text || e.Detail != text+"; signal: interrupt" {
		t.Errorf("run time: %+v", e)
	}

	// What cannot run says so, every time.
	for range 2 {
		_, err := s.r.Start(t.Context(), s.job("none", "no-such-program-here"))
		if e := (*supervise.StartError)(nil); !errors.As(err, &e) || e.Detail == "" {
			t.Errorf("a program that does not exist: %v", err)
		}
	}

	// The same job twice runs once; it goes on without a daemon.
	p := s.start("sleep", "sleep", "", "60")
	if again := s.start("sleep", "sleep", "", "60"); again != p {
		t.Errorf("started again as %+v, was %+v", again, p)
	}
	s.disconnect()
	s.connect()
	if err := s.r.Adopt("sleep", filepath.Join(s.dir, "sleep")); err != nil {
		t.Errorf("adopt: %v", err)
	}
	for range 2 { // "already" is success
		if err := s.r.Stop(t.Context(), "sleep", time.Second); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if e := s.exit("sleep"); e.Succeeded() || e.Detail != "signal: interrupt" {
		t.Errorf("sleep: %+v", e)
	}
	if err := s.r.Stop(t.Context(), "never", time.Second); err != nil {
		t.Errorf("stop of what never ran: %v", err)
	}
	for _, u := range []string{"cat", "sleep", "never"} {
		if err := s.r.Forget(u); err != nil {
			t.Errorf("forget %s: %v", u, err)
		}
	}
}

// suite is one run of TestSupervisor.
type suite struct {
	t    *testing.T
	dir  string
	open func() Runner
	r    Runner
	stop func()

	mu    sync.Mutex
	exits map[string]*supervise.Exit // by unit; guarded by mu
}

func (s *suite) connect() {
	s.r = s.open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with ctx; disconnect waits
		defer close(done)
		s.r.Run(ctx, func(e supervise.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Exit != nil {
				s.exits[e.Unit] = e.Exit
			}
		})
	}()
	s.stop = func() { cancel(); <-done }
}

func (s *suite) disconnect() { s.stop() }

func (s *suite) job(unit, command string, args ...string) supervise.Job {
	s.t.Helper()
	dir := filepath.Join(s.dir, unit)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "stdin"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	f.Close()
	return supervise.Job{Unit: unit, UnitDir: dir, Command: command, Args: args}
}

func (s *suite) start(unit, command, input string, args ...string) supervise.Process {
	s.t.Helper()
	j := s.job(unit, command, args...)
	if err := os.WriteFile(filepath.Join(j.UnitDir, "stdin"), []byte(input), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.run(j)
}

func (s *suite) run(j supervise.Job) supervise.Process {
	s.t.Helper()
	p, err := s.r.Start(s.t.Context(), j)
	if err != nil || p.PID <= 0 {
		s.t.Fatalf("start %s: %+v %v", j.Unit, p, err)
	}
	return p
}

// append adds to a file of a unit, and makes it if need be.
func (s *suite) append(j supervise.Job, name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(j.UnitDir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// exit waits for the end of a unit's command.
func (s *suite) exit(unit string) supervise.Exit {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		e := s.exits[unit]
		s.mu.Unlock()
		if e != nil {
			return *e
		}
	}
	s.t.Fatalf("%s has not ended in time", unit)
	return supervise.Exit{}
}
