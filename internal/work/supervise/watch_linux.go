package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watch looks after a command whose supervisor is gone. If the command has become a child of ours, its exit is seen; else the system may tell.
type watch struct {
	process Process
	proc    *pidfd // nil: the system has none
	cancel  context.CancelFunc
	kills   *killer

	mu    sync.Mutex // held while a stop is recorded and sent
	ended bool
}

// watchLocked starts a goroutine that ends with the command, with Forget, or with ctx. It takes f.proc.
func (c *Client) watchLocked(ctx context.Context, u *unit, f finding) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{process: f.process, proc: f.proc, cancel: cancel, kills: c.kills}
	name, dir := u.name, u.dir
	var limits *limited
	if f.terms.limited() {
		limits = &limited{terms: f.terms, dir: dir, began: f.process.began(), exceeded: func(text string, grace time.Duration) {
			if err := addLimit(dir, text); err != nil {
				c.log.Error("limit not recorded", "unit", name, "err", err)
			}
			if err := w.stop(grace); err != nil {
				c.log.Error("command not stopped", "unit", name, "limit", text, "err", err)
			}
		}}
		c.limits.add(limits)
	}
	c.group.Go(func() {
		defer cancel()
		defer c.limits.remove(limits)
		e, err := w.wait(ctx, dir)
		w.finish()
		if err != nil {
			return // given up
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.units[name] == u {
			c.emitLocked(Event{Unit: name, Exit: &e})
		}
	})
	return w
}

const (
	// reapPatience is how long the parent of a command that has ended may take to notice.
	reapPatience = time.Second
	// slowInit is the same where the exit is known after that.
	slowInit = 10 * time.Second
)

// wait waits for the end and records it.
func (w *watch) wait(ctx context.Context, dir string) (Exit, error) {
	if w.proc == nil {
		for w.process.Alive() {
			if !sleep(ctx, 500*time.Millisecond) {
				return Exit{}, ctx.Err()
			}
		}
		return *lost(dir, detailUnseen).exit, nil
	}
	defer w.proc.close()
	detail := detailUnseen
	if !w.process.Alive() {
		detail = detailGone // it had ended before, and perhaps its parent never looks after its children
	}
	if err := w.proc.wait(ctx); err != nil {
		return Exit{}, err
	}
	// It has ended. Whose child it is may just be changing, if the supervisor is dying; and who waits for it does so at once, or never. Where
	// the system tells the exit of strangers it does so when they have been waited for: that is worth some patience with a slow init.
	patience := reapPatience
	if w.proc.tellsStrangers() {
		patience = slowInit
	}
	for late := time.Now().Add(patience); ; {
		s, err := w.proc.childStatus()
		if err == nil {
			w.kills.ending(w.process)
			e, err := settle(ctx, dir, exitOf(s, time.Now()))
			if err == nil {
				w.proc.reap()
			}
			return e, err
		}
		if reaped := w.proc.reaped(); reaped || time.Now().After(late) {
			break
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return Exit{}, ctx.Err()
		}
	}
	if e, err := ReadExit(dir); err == nil { // a supervisor that refuses us recorded it
		return e, nil
	}
	if h, err := readHistory(dir); err == nil && h.exited != nil { // or is about to
		return settle(ctx, dir, *h.exited)
	}
	if s, ok := w.proc.strangerStatus(); ok {
		return settle(ctx, dir, exitOf(s, time.Now()))
	}
	return *lost(dir, detail).exit, nil
}

// stop is Client.Stop for a command that is watched.
func (w *watch) stop(grace time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil
	}
	if !w.kills.add(w.process, grace) {
		return nil
	}
	g := openGroup(w.process)
	// Only now is it certain that what was opened is what was meant.
	err := error(unix.ESRCH)
	if now, e := identify(w.process.PID); e == nil && now == w.process {
		err = g.signal(unix.SIGINT, false)
	}
	if err != nil {
		g.close()
		w.kills.cancel(w.process)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return fmt.Errorf("interrupt process group %d: %w", w.process.PID, err)
	}
	w.kills.sent(w.process, g)
	return nil
}

// finish is called when the command has ended. If it was stopped, what is left of its group keeps the grace.
func (w *watch) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.kills.ended(w.process)
}
