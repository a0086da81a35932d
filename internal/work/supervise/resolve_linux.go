package supervise

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// needsLookLocked tells whether the files of a unit are to be read: somebody wants to know what became of it, and the supervisor does not.
func (c *Client) needsLookLocked(u *unit) bool {
	if u.known || u.watch != nil {
		return false
	}
	// A start that was answered "before" need not wait until everything is settled: it was the supervisor's word.
	return len(u.before) > 0 || c.settled && (u.adopted || u.process != nil || len(u.stops) > 0) && !c.startPendingLocked(u)
}

func (c *Client) startPendingLocked(u *unit) bool {
	for _, k := range c.calls {
		if k.op == opStart && k.unit == u.name {
			return true
		}
	}
	return false
}

// resolve finds out what became of commands that no supervisor knows.
func (c *Client) resolve(ctx context.Context) {
	for {
		select {
		case <-c.look:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		var todo []*unit
		for _, u := range c.units {
			if c.needsLookLocked(u) {
				todo = append(todo, u)
			}
		}
		c.mu.Unlock()
		for _, u := range todo {
			if ctx.Err() != nil {
				return
			}
			f := examine(ctx, u.dir)
			if f.exit == nil && f.process == (Process{}) {
				return // ctx has ended
			}
			c.apply(ctx, u, f)
		}
	}
}

// finding is what the files of a unit and the system say about its command: it has ended, or proc holds the process that runs.
type finding struct {
	exit    *Exit
	process Process
	proc    *pidfd // nil if the system has no such thing
	terms   terms
}

// examine looks at one unit.
func examine(ctx context.Context, dir string) finding {
	ended := func(e Exit) finding {
		p, _ := ReadProcess(dir)
		return finding{exit: &e, process: p}
	}
	if e, err := ReadExit(dir); err == nil {
		return ended(e)
	}
	h, _ := readHistory(dir)
	if h.exited != nil { // it was told how the command ended, and lost before it could say what that means
		e, err := settle(ctx, dir, *h.exited)
		if err != nil {
			return finding{}
		}
		return ended(e)
	}
	if h.rebooted && h.exit == nil && h.process == nil {
		return lost(dir, detailBoot)
	}
	p, err := ReadProcess(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return ended(notStarted(detailNever, time.Now()))
	}
	if errors.Is(err, errStarting) {
		if p, err = awaitProcess(ctx, dir); err != nil {
			return lost(dir, detailStarting)
		}
		addProcess(dir, p) // if it fails, it is found again next time
	} else if err != nil {
		return ended(unknownExit(clip(err.Error()), time.Now()))
	}
	if p.Boot != bootID() {
		return lost(dir, detailBoot)
	}
	proc, err := openPidfd(p.PID)
	if now, e := identify(p.PID); e != nil || now != p {
		if proc != nil {
			proc.close()
		}
		return lost(dir, detailGone)
	}
	if err != nil {
		proc = nil // it runs, but can only be watched by looking again and again
	}
	return finding{process: p, proc: proc, terms: h.terms}
}

// lost records that nobody knows how a command ended, unless somebody has recorded it in the meantime.
func lost(dir, detail string) finding {
	e, err := ReadExit(dir)
	if err != nil {
		h, _ := readHistory(dir)
		e = h.verdict(dir, unknownExit(detail, time.Now()))
		addExit(dir, e) // if it fails, the same will be found out next time
	}
	p, _ := ReadProcess(dir)
	return finding{exit: &e, process: p}
}

// apply makes a finding known, unless it is not wanted any more.
func (c *Client) apply(ctx context.Context, u *unit, f finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.units[u.name] != u || !c.needsLookLocked(u) {
		if f.proc != nil {
			f.proc.close()
		}
		return
	}
	for _, k := range u.before {
		k.proc = f.process
		if f.exit != nil && !f.exit.Started {
			k.err = &StartError{f.exit.Detail}
		}
		c.finishLocked(k)
	}
	u.before = nil
	if f.exit != nil {
		for _, k := range u.stops {
			c.finishLocked(k)
		}
		u.stops = nil
		c.emitLocked(Event{Unit: u.name, Exit: f.exit})
		return
	}
	u.process = &f.process
	c.log.Info("command watched without its supervisor", "unit", u.name, "pid", f.process.PID)
	u.watch = c.watchLocked(ctx, u, f)
	for _, k := range u.stops {
		c.stopWatchedLocked(u.watch, k)
	}
	u.stops = nil
	c.emitLocked(Event{Unit: u.name, Process: u.process})
}
