//go:build !linux

package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Client starts, stops and watches commands. On this system there is no supervisor: the daemon runs the commands itself. Commands that
// outlive the daemon are watched by the next one, without their exit status. Methods may be called from any goroutine.
//
// Each command has a goroutine that ends with it, also after Run has ended: a child can only be waited for; and a streamed one another that
// feeds it. The daemon feeds: a streamed command that outlives it sees the end of its input, and its exit is not known.
type Client struct {
	cfg    Config
	log    *slog.Logger
	notify chan struct{} // capacity 1: there are events
	done   chan struct{} // closed when Run has ended
	limits *limiter

	mu     sync.Mutex
	ran    bool
	units  map[string]*local // running
	events []Event           // bounded by twice the number of units
}

// local is one command that runs. Guarded by Client.mu.
type local struct {
	process Process
	stop    *time.Timer // set while a stop is under way
	until   time.Time
	limited *limited // nil: no limits
}

// Open checks c. It starts nothing.
func Open(_ context.Context, c Config) (*Client, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: c, log: c.Logger, notify: make(chan struct{}, 1), done: make(chan struct{}),
		limits: newLimiter(), units: map[string]*local{}}, nil
}

// Run calls events with all that happens, one at a time, until ctx ends; commands go on. It may be called once.
func (c *Client) Run(ctx context.Context, events func(Event)) error {
	c.mu.Lock()
	if c.ran {
		c.mu.Unlock()
		return errors.New("supervise: Run was called before")
	}
	c.ran = true
	c.mu.Unlock()
	defer close(c.done)
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { c.limits.run(ctx) })
	for ctx.Err() == nil {
		c.mu.Lock()
		var e Event
		some := len(c.events) > 0
		if some {
			e, c.events = c.events[0], c.events[1:]
		}
		c.mu.Unlock()
		if some {
			events(e)
			continue
		}
		select {
		case <-c.notify:
		case <-ctx.Done():
		}
	}
	return nil
}

// Start runs j, unless it was started before. A *StartError means that the command will never run, and is final.
func (c *Client) Start(ctx context.Context, j Job) (Process, error) {
	if err := checkUnit(j.Unit); err != nil {
		return Process{}, err
	}
	if err := ctx.Err(); err != nil {
		return Process{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock() // a start is short, and two of the same unit must not meet
	if u := c.units[j.Unit]; u != nil {
		return u.process, nil
	}
	rec, err := claim(j.UnitDir)
	if errors.Is(err, fs.ErrExist) {
		p, _ := ReadProcess(j.UnitDir)
		if e := c.examineLocked(j.Unit, j.UnitDir); e != nil && !e.Started {
			return Process{}, &StartError{e.Detail}
		}
		return p, nil
	}
	if err != nil {
		return Process{}, c.refuse(j, err)
	}
	defer rec.close()
	t := termsOf(j)
	cmd, stream, err := c.command(j)
	if err != nil {
		return Process{}, c.refuse(j, err)
	}
	if err = rec.starting(t); err == nil && !j.Unsynced {
		err = rec.f.Sync()
	}
	if err == nil {
		err = cmd.Start()
	}
	closeFiles(cmd.Stdin.(io.Closer), cmd.Stdout.(io.Closer), cmd.Stderr.(io.Closer))
	if err != nil {
		stream.close()
		return Process{}, c.refuse(j, err)
	}
	p, err := identify(cmd.Process.Pid)
	if err == nil {
		err = rec.started(p)
	}
	if err != nil {
		c.log.Error("process not recorded", "unit", j.Unit, "err", err)
	}
	c.unitLocked(j.Unit, j.UnitDir, p, t)
	c.emitLocked(Event{Unit: j.Unit, Process: &p})
	gone := make(chan struct{})
	fed := make(chan struct{})
	go func() { // until the command ends, or has all its input
		defer close(fed)
		if stream == nil {
			return
		}
		if err := addFed(j.UnitDir, stream.run(j.UnitDir, gone)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Error("end of the input not recorded", "unit", j.Unit, "err", err)
		}
	}()
	go func() { // until the command ends
		cmd.Wait()
		e := exitOfState(cmd.ProcessState, time.Now())
		close(gone)
		stream.close() // ends a write that nobody reads
		<-fed
		c.ended(j.Unit, j.UnitDir, e)
	}()
	return p, nil
}

// unitLocked enters a command that runs.
func (c *Client) unitLocked(unit, dir string, p Process, t terms) {
	u := &local{process: p}
	c.units[unit] = u
	if !t.limited() {
		return
	}
	u.limited = &limited{terms: t, dir: dir, began: p.began(), exceeded: func(text string, grace time.Duration) {
		if err := addLimit(dir, text); err != nil {
			c.log.Error("limit not recorded", "unit", unit, "err", err)
		}
		if err := c.Stop(context.Background(), unit, grace); err != nil {
			c.log.Error("command not stopped", "unit", unit, "limit", text, "err", err)
		}
	}}
	c.limits.add(u.limited)
}

// command opens the files of j.
func (c *Client) command(j Job) (cmd *exec.Cmd, s *stream, err error) {
	var open []io.Closer
	defer func() {
		if err != nil {
			closeFiles(open...)
		}
	}()
	stdin, err := os.Open(filepath.Join(j.UnitDir, stdinName))
	if err != nil {
		return nil, nil, err
	}
	open = append(open, stdin)
	output := func(name string) (*os.File, error) {
		f, err := os.OpenFile(filepath.Join(j.UnitDir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			open = append(open, f)
		}
		return f, err
	}
	stdout, err := output(stdoutName)
	if err != nil {
		return nil, nil, err
	}
	stderr := stdout
	if j.Stderr {
		if stderr, err = output(stderrName); err != nil {
			return nil, nil, err
		}
	}
	if j.Stream {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		s = &stream{in: stdin, out: w}
		stdin = r
	}
	cmd = exec.Command(j.Command, j.Args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.cfg.Env, stdin, stdout, stderr
	cmd.SysProcAttr = ownGroup()
	return cmd, s, nil
}

// bootID is not needed where the start of a process is an absolute time.
func bootID() string { return "" }

func closeFiles(files ...io.Closer) {
	for _, f := range files {
		f.Close() // one of them twice if both outputs share it
	}
}

func (c *Client) refuse(j Job, cause error) error {
	e := notStarted(cause.Error(), time.Now())
	if err := addExit(j.UnitDir, e); err != nil {
		c.log.Error("failed start not recorded", "unit", j.Unit, "err", err)
	}
	return &StartError{e.Detail}
}

func (c *Client) ended(unit, dir string, e Exit) {
	if h, err := readHistory(dir); err == nil {
		e = h.verdict(dir, e)
	}
	if err := addExit(dir, e); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Error("exit not recorded", "unit", unit, "err", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.units[unit]
	if u == nil {
		return // forgotten
	}
	if u.stop != nil {
		u.stop.Stop()
	}
	c.limits.remove(u.limited)
	delete(c.units, unit)
	c.emitLocked(Event{Unit: unit, Exit: &e})
}

// Stop interrupts the process group of the unit's command, and kills it after grace, as far as the system has these notions. It returns
// at once; the end comes as an event. A command that does not run is success.
func (c *Client) Stop(_ context.Context, unit string, grace time.Duration) error {
	if err := checkUnit(unit); err != nil {
		return err
	}
	grace = min(max(grace, 0), maxGrace)
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.units[unit]
	if u == nil || !u.process.Alive() {
		return nil
	}
	until := time.Now().Add(grace)
	if u.stop != nil {
		if until.Before(u.until) {
			u.until = until
			u.stop.Reset(grace)
		}
		return nil
	}
	if err := interruptGroup(u.process.PID); err != nil {
		return fmt.Errorf("stop unit %s: %w", unit, err)
	}
	u.until = until
	u.stop = time.AfterFunc(grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.units[unit] == u && u.process.Alive() && !time.Now().Before(u.until) {
			killGroup(u.process.PID)
		}
		u.stop = nil
	})
	return nil
}

// Adopt takes up a unit that a former daemon started, or may have. What became of its command comes as an event: Process if it runs, else Exit.
func (c *Client) Adopt(unit, unitDir string) error {
	if err := checkUnit(unit); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.units[unit]; u != nil {
		c.emitLocked(Event{Unit: unit, Process: &u.process})
		return nil
	}
	c.examineLocked(unit, unitDir)
	return nil
}

// examineLocked finds out from its files what became of a unit, and tells. It gives the exit if it has ended.
func (c *Client) examineLocked(unit, dir string) *Exit {
	e, err := ReadExit(dir)
	if err != nil {
		p, err := ReadProcess(dir)
		switch {
		case err == nil && p.Alive():
			h, _ := readHistory(dir)
			c.unitLocked(unit, dir, p, h.terms)
			c.emitLocked(Event{Unit: unit, Process: &p})
			go func() { // until the command ends or Run does
				if c.gone(p) {
					c.ended(unit, dir, unknownExit(detailUnseen, time.Now()))
				}
			}()
			return nil
		case err == nil:
			e = unknownExit(detailGone, time.Now())
		case errors.Is(err, fs.ErrNotExist):
			e = notStarted(detailNever, time.Now())
		default:
			e = unknownExit(detailStarting, time.Now())
		}
	}
	c.emitLocked(Event{Unit: unit, Exit: &e})
	return &e
}

// gone waits for the end of a process that is not our child; false means that Run ended first.
func (c *Client) gone(p Process) bool {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for p.Alive() {
		select {
		case <-t.C:
		case <-c.done:
			return false
		}
	}
	return true
}

// Forget drops what is remembered of a unit: no event of it is delivered after it has returned, except one that is being delivered.
func (c *Client) Forget(unit string) error {
	if err := checkUnit(unit); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.units[unit]; u != nil {
		c.limits.remove(u.limited)
	}
	delete(c.units, unit)
	c.events = slices.DeleteFunc(c.events, func(e Event) bool { return e.Unit == unit })
	return nil
}

func (c *Client) emitLocked(e Event) {
	c.events = append(c.events, e)
	select {
	case c.notify <- struct{}{}:
	default:
	}
}

// Main is the supervisor process, which this system does without.
func Main(_ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "supervise: not needed on this system")
	return 2
}
