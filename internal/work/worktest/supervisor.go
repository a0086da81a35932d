// Package worktest helps to test what uses units of work: a Supervisor that runs
// Go functions instead of programs, and the suite that it and the real one pass.
package worktest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/work/supervise"
)

// Program stands for a command. Its result is the exit code; when ctx has ended
// before it returned, a signal has ended it. Stderr gives its error output.
type Program func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) int

// Supervisor runs Programs, named as the commands of jobs are. Like the real one
// it outlives a daemon: several Managers may use it one after another, and each
// Run tells all there is to know.
type Supervisor struct {
	Programs map[string]Program
	// Before, if set, is called at the start of each Start; an error is what
	// Start returns.
	Before func(supervise.Job) error

	wg     sync.WaitGroup
	mu     sync.Mutex
	jobs   map[string]*job // by unit
	starts map[string]int  // how often a unit's program was really started
	next   int             // pid
	events func(supervise.Event)
}

type job struct {
	process supervise.Process
	cancel  context.CancelFunc
	exit    *supervise.Exit
	err     *supervise.StartError
}

// NewSupervisor makes a Supervisor with the programs true, false, cat (copies
// its input; with arguments it complains that there are no such files), echo
// (writes its arguments), talk (writes its arguments to output and error output)
// and sleep (until it is stopped).
func NewSupervisor() *Supervisor {
	return &Supervisor{
		next: 100, jobs: make(map[string]*job), starts: make(map[string]int),
		Programs: map[string]Program{
			"true":  func(context.Context, []string, io.Reader, io.Writer) int { return 0 },
			"false": func(context.Context, []string, io.Reader, io.Writer) int { return 1 },
			"cat": func(_ context.Context, args []string, in io.Reader, out io.Writer) int {
				for _, a := range args {
					fmt.Fprintf(Stderr(out), "cat: %s: No such file or directory\n", a)
				}
				if len(args) > 0 {
					return 1
				}
				io.Copy(out, in)
				return 0
			},
			"echo": func(_ context.Context, args []string, _ io.Reader, out io.Writer) int {
				for i, a := range args {
					if i > 0 {
						io.WriteString(out, " ")
					}
					io.WriteString(out, a)
				}
				io.WriteString(out, "\n")
				return 0
			},
			"talk": func(_ context.Context, args []string, _ io.Reader, out io.Writer) int {
				for _, a := range args {
					fmt.Fprintf(out, "out %s\n", a)
					fmt.Fprintf(Stderr(out), "err %s\n", a)
				}
				return len(args)
			},
			"sleep": func(ctx context.Context, _ []string, _ io.Reader, _ io.Writer) int {
				<-ctx.Done()
				return 0
			},
		},
	}
}

// Starts is how often the program of a unit was started: 1, whatever happens.
func (s *Supervisor) Starts(unit string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts[unit]
}

// AllStarts is how often programs were started, by unit.
func (s *Supervisor) AllStarts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int)
	for u, n := range s.starts {
		all[u] = n
	}
	return all
}

// Close stops all programs and waits for them.
func (s *Supervisor) Close() {
	s.mu.Lock()
	for _, j := range s.jobs {
		if j.cancel != nil {
			j.cancel()
		}
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Run delivers events until ctx ends, first those of before.
func (s *Supervisor) Run(ctx context.Context, events func(supervise.Event)) error {
	s.mu.Lock()
	for unit, j := range s.jobs {
		s.tell(events, unit, j)
	}
	s.events = events
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()
	return nil
}

// tell reports the state of a job. s.mu is held, so events come one at a time.
func (s *Supervisor) tell(events func(supervise.Event), unit string, j *job) {
	if events == nil {
		return
	}
	if j.exit != nil {
		events(supervise.Event{Unit: unit, Exit: j.exit})
	} else if j.err == nil {
		events(supervise.Event{Unit: unit, Process: &j.process})
	}
}

// Start starts the program of a job, once.
func (s *Supervisor) Start(_ context.Context, j supervise.Job) (supervise.Process, error) {
	if s.Before != nil {
		if err := s.Before(j); err != nil {
			return supervise.Process{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.jobs[j.Unit]
	if known == nil {
		known = s.startLocked(j)
		s.jobs[j.Unit] = known
	}
	if known.err != nil {
		return supervise.Process{}, known.err
	}
	return known.process, nil
}

func (s *Supervisor) startLocked(j supervise.Job) *job {
	program := s.Programs[j.Command]
	if program == nil {
		return &job{err: &supervise.StartError{Detail: fmt.Sprintf("exec: %q: executable file not found in $PATH", j.Command)}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f, err := openFiles(ctx, j)
	if err != nil {
		cancel()
		return &job{err: &supervise.StartError{Detail: err.Error()}}
	}
	s.next++
	s.starts[j.Unit]++
	f.cancel = cancel
	if j.MaxRuntime > 0 {
		t := time.AfterFunc(j.MaxRuntime, func() {
			f.stop(fmt.Sprintf("stopped: it ran longer than %v (maxruntime)", j.MaxRuntime))
		})
		context.AfterFunc(ctx, func() { t.Stop() })
	}
	known := &job{process: supervise.Process{PID: s.next}, cancel: cancel}
	s.wg.Go(func() { // ends with the program; Close waits
		defer cancel()
		code := program(ctx, j.Args, f.input(), f)
		f.close()
		e := supervise.Exit{Code: code, Detail: fmt.Sprintf("exit status %d", code), Started: true, Known: true, Ended: time.Now()}
		if ctx.Err() != nil {
			e.Code, e.Signal, e.Detail = -1, "interrupt", "signal: interrupt"
		}
		if t := f.troubled(); t != "" {
			e.Trouble, e.Detail = t, t+"; "+e.Detail
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		known.exit = &e
		if s.jobs[j.Unit] == known {
			s.tell(s.events, j.Unit, known)
		}
	})
	return known
}

// Stop interrupts a program.
func (s *Supervisor) Stop(_ context.Context, unit string, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[unit]; j != nil && j.cancel != nil {
		j.cancel()
	}
	return nil
}

// Adopt tells what is known of a unit.
func (s *Supervisor) Adopt(unit, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[unit]
	if j == nil {
		j = &job{exit: &supervise.Exit{Code: -1, Detail: "the command was never started"}}
		s.jobs[unit] = j // Run tells it if it has not begun
	}
	s.tell(s.events, unit, j)
	return nil
}

// Forget drops a unit.
func (s *Supervisor) Forget(unit string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, unit)
	return nil
}
