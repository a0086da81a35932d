package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Client is the daemon's side: it starts, stops and watches commands through the supervisor. Its methods may be called from any goroutine.
//
// Goroutines, all children of Run: Run itself connects and reads what the supervisor sends, one calls the event function, one finds out
// about commands that the supervisor does not know, one looks after limits, one kills, one collects stray children; and one for each command that is watched because its supervisor died.
type Client struct {
	cfg  Config
	log  *slog.Logger
	dir  string // absolute
	argv []string

	wake   chan struct{} // capacity 1: Run has something to do
	look   chan struct{} // capacity 1: the resolver has something to do
	notify chan struct{} // capacity 1: there are events
	done   chan struct{} // closed when Run has ended

	group  sync.WaitGroup // children of Run
	limits *limiter       // of commands that we watch ourselves
	kills  *killer        // of commands that we watch ourselves, and those that others have left

	mu      sync.Mutex // never held across callbacks, nor I/O other than signals
	ran     bool
	link    *link // to the supervisor; nil: none now
	settled bool  // the present supervisor has told all it knows, or there is certainly none
	nextID  uint64
	calls   map[uint64]*call
	units   map[string]*unit // not ended as far as we know, and what is being found out about
	events  []Event          // to be delivered; bounded by twice the number of units

	forgotten map[string]struct{} // units of which nobody wants to hear, while the supervisor may still tell
}

// unit is what the client knows of one command. Guarded by Client.mu.
type unit struct {
	name, dir string
	process   *Process // it runs, as far as we know
	known     bool     // to the present supervisor
	adopted   bool     // somebody asked what became of it
	before    []*call  // starts to be answered from its files
	stops     []*call  // stops to be done when its files have been read
	watch     *watch   // we look after it ourselves
}

// call is a request that is not answered yet. Both kinds may be repeated on another connection: a start is done once, whoever asks.
type call struct {
	id    uint64
	op    string
	unit  string
	dir   string   // start
	needs []string // abilities of the supervisor
	line  []byte
	grace time.Duration // stop
	done  chan struct{} // closed after the rest is set

	abandoned bool // a start for which nobody waits any more; guarded by Client.mu. It is not repeated
	proc      Process
	err       error
}

// Open checks c. It starts nothing and connects to nothing: Run does.
func Open(_ context.Context, c Config) (*Client, error) {
	switch {
	case c.Dir == "":
		return nil, errors.New("supervise: Config.Dir is not set")
	case len(c.Argv) == 0:
		return nil, errors.New("supervise: Config.Argv is not set")
	case c.Idle < 0:
		return nil, errors.New("supervise: Config.Idle is negative")
	}
	if c.Idle == 0 {
		c.Idle = DefaultIdle
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	exe, err := exec.LookPath(c.Argv[0])
	if err == nil {
		exe, err = filepath.Abs(exe)
	}
	if err != nil {
		return nil, fmt.Errorf("find the program of the supervisor: %w", err)
	}
	return &Client{
		cfg: c, log: c.Logger, dir: dir,
		argv: append([]string{exe}, c.Argv[1:]...), limits: newLimiter(),
		kills: newKiller(filepath.Join(dir, killsName), c.Logger, func() {}),
		wake:  make(chan struct{}, 1), look: make(chan struct{}, 1), notify: make(chan struct{}, 1), done: make(chan struct{}),
		calls: map[uint64]*call{}, units: map[string]*unit{}, forgotten: map[string]struct{}{},
	}, nil
}

// Start runs j, unless it was started before, by whomever: then it answers as it did the first time. It waits for Run and, if need be, for a
// supervisor to start. A *StartError means that the command will never run, and is final. After any other error it is
// not known whether it runs; Start may be repeated. Once Start has succeeded events follow; the one with the process may come before Start returns.
func (c *Client) Start(ctx context.Context, j Job) (Process, error) {
	if err := checkUnit(j.Unit); err != nil {
		return Process{}, err
	}
	dir, err := filepath.Abs(j.UnitDir)
	if err != nil {
		return Process{}, err
	}
	size := len(j.Command)
	for _, a := range j.Args {
		size += len(a) + 1
	}
	if size > maxArgs {
		return Process{}, c.tooLong(j, dir)
	}
	t := termsOf(j)
	k := &call{op: opStart, unit: j.Unit, dir: dir, needs: t.needs(), done: make(chan struct{})}
	q := request{Op: opStart, Unit: j.Unit, Dir: text(dir), Command: text(j.Command), Args: texts(j.Args), terms: t, Unsynced: j.Unsynced}
	if err := c.enter(k, &q); err != nil {
		if errors.Is(err, errLineTooLong) {
			return Process{}, c.tooLong(j, dir)
		}
		return Process{}, err
	}
	if err := c.await(ctx, k); err != nil {
		return Process{}, fmt.Errorf("start unit %s: %w", j.Unit, err)
	}
	return k.proc, k.err
}

// tooLong refuses what the system would not take either, in its words.
func (c *Client) tooLong(j Job, dir string) error {
	return c.refuse(j.Unit, dir, (&os.PathError{Op: "fork/exec", Path: j.Command, Err: syscall.E2BIG}).Error())
}

// refuse ends a job that must not be started, for good.
func (c *Client) refuse(unit, dir, detail string) error {
	e := notStarted(detail, time.Now())
	if err := addExit(dir, e); err != nil {
		c.log.Error("failed start not recorded", "unit", unit, "err", err)
	}
	return &StartError{e.Detail}
}

// unable is the detail of a command that the supervisor that runs cannot run as it is meant to be.
func unable(l *link, needs []string) string {
	return fmt.Sprintf("the supervisor that runs (process %d) is of an older version and does not know %s; "+
		"it is replaced when the commands that it runs have ended: submit this one again then", l.pid, strings.Join(needs, ", "))
}

// send writes a call on l. A supervisor that would not do as the job says is not asked to, unless it was started before, so that nothing is
// to be decided any more.
func (c *Client) send(l *link, k *call) {
	if k.op == opStart && !l.can(k.needs) {
		if _, err := ReadProcess(k.dir); errors.Is(err, fs.ErrNotExist) {
			err := c.refuse(k.unit, k.dir, unable(l, k.needs))
			c.mu.Lock()
			defer c.mu.Unlock()
			k.err = err
			c.dropLocked(k.unit, nil)
			c.finishLocked(k)
			return
		}
	}
	l.write(k.line) // a failure ends the connection, and the next one repeats the call
}

// Stop interrupts the process group of the unit's command, and kills what is left of the group after grace (at most a day). It returns as soon
// as the interrupt is sent; the end comes as an event. The grace goes on if the daemon or the supervisor ends, and the next of them kills what is due. Asking again only
// ever shortens it. A command that does not run, for whatever reason, is success.
func (c *Client) Stop(ctx context.Context, unit string, grace time.Duration) error {
	if err := checkUnit(unit); err != nil {
		return err
	}
	grace = min(max(grace, 0), maxGrace)
	c.mu.Lock()
	u := c.units[unit]
	var w *watch
	if u != nil {
		w = u.watch
	}
	c.mu.Unlock()
	if w != nil {
		return w.stop(grace)
	}
	k := &call{op: opStop, unit: unit, grace: grace, done: make(chan struct{})}
	if err := c.enter(k, &request{Op: opStop, Unit: unit, GraceMS: grace.Milliseconds()}); err != nil {
		return err
	}
	err := c.await(ctx, k)
	if err == nil {
		err = k.err
	}
	if err != nil {
		return fmt.Errorf("stop unit %s: %w", unit, err)
	}
	return nil
}

// Adopt takes up a unit that a former daemon started, or may have. What became of its command comes as an event: Process if
// it runs, else Exit: as recorded; with Known false if nobody saw it; with Started false if it was never started. Until
// Run has looked for a supervisor nothing comes.
func (c *Client) Adopt(unitName, unitDir string) error {
	if err := checkUnit(unitName); err != nil {
		return err
	}
	dir, err := filepath.Abs(unitDir)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closedLocked() {
		return ErrClosed
	}
	delete(c.forgotten, unitName)
	u := c.unitLocked(unitName, dir)
	u.adopted = true
	if u.process != nil {
		c.emitLocked(Event{Unit: unitName, Process: u.process})
	}
	poke(c.look)
	return nil
}

// Forget drops what is remembered of a unit: its directory has been removed or soon will be. After it has returned no event
// of the unit is delivered, except one that is being delivered. A command that still runs is not stopped.
func (c *Client) Forget(unit string) error {
	if err := checkUnit(unit); err != nil {
		return err
	}
	c.mu.Lock()
	if u := c.units[unit]; u != nil {
		if u.watch != nil {
			u.watch.cancel()
		}
		c.dropLocked(unit, fmt.Errorf("unit %s was forgotten meanwhile", unit))
	}
	c.events = slices.DeleteFunc(c.events, func(e Event) bool { return e.Unit == unit })
	closed := c.closedLocked()
	c.forgotten[unit] = struct{}{} // until the supervisor has heard of it
	c.mu.Unlock()
	if closed {
		return nil
	}
	return c.enter(&call{op: opForget, unit: unit, done: make(chan struct{})}, &request{Op: opForget, Units: []string{unit}})
}

// enter registers a call and sends it, now if there is a connection, else Run does when there is one.
func (c *Client) enter(k *call, q *request) error {
	c.mu.Lock()
	if c.closedLocked() {
		c.mu.Unlock()
		return ErrClosed
	}
	c.nextID++
	k.id, q.ID = c.nextID, c.nextID
	c.mu.Unlock()

	line, err := appendLine(nil, q)
	if err != nil {
		return err
	}
	k.line = line

	c.mu.Lock()
	c.calls[k.id] = k
	if k.op == opStart {
		delete(c.forgotten, k.unit)
		c.unitLocked(k.unit, k.dir)
	}
	link := c.link
	c.mu.Unlock()
	if link == nil {
		poke(c.wake)
		return nil
	}
	c.send(link, k)
	return nil
}

// await waits for the answer.
func (c *Client) await(ctx context.Context, k *call) error {
	select {
	case <-k.done:
		return nil
	default:
	}
	var err error
	select {
	case <-k.done:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.done:
		err = ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.op == opStart && err != ErrClosed {
		k.abandoned = true // it may be on its way: what comes of it is told by events
		poke(c.wake)
	} else {
		delete(c.calls, k.id)
	}
	return err
}

func (c *Client) closedLocked() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *Client) unitLocked(name, dir string) *unit {
	u := c.units[name]
	if u == nil {
		u = &unit{name: name, dir: dir}
		c.units[name] = u
	}
	return u
}

// emitLocked queues an event. An end also ends the unit here: whoever asks again is answered from its files.
func (c *Client) emitLocked(e Event) {
	c.events = append(c.events, e)
	if e.Exit != nil {
		c.dropLocked(e.Unit, nil)
	}
	poke(c.notify)
}

// dropLocked forgets a unit that has ended, or must be forgotten because of err, and answers who waits for its files.
func (c *Client) dropLocked(name string, err error) {
	u := c.units[name]
	if u == nil {
		return
	}
	delete(c.units, name)
	for _, k := range u.stops {
		k.err = err
		c.finishLocked(k)
	}
	for _, k := range u.before {
		if k.err = err; u.process != nil {
			k.proc = *u.process
		}
		c.finishLocked(k)
	}
}

// dropAbandonedLocked is called when no answer will come to requests that were sent so far: what came of starts for which nobody waits
// is found out like that of adopted units.
func (c *Client) dropAbandonedLocked() {
	for id, k := range c.calls {
		if k.abandoned {
			delete(c.calls, id)
			c.unitLocked(k.unit, k.dir).adopted = true
		}
	}
}

// finishLocked answers a call. The caller has set its result.
func (c *Client) finishLocked(k *call) {
	if c.calls[k.id] == k {
		if k.op == opForget {
			delete(c.forgotten, k.unit)
		}
		delete(c.calls, k.id)
		close(k.done)
	}
}
