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

	mu    sync.Mutex // taken after Client.mu; held across signals only
	ended bool
	group group       // fd -1 unless a stop is under way
	kill  *time.Timer // set while a stop is under way
	until time.Time
}

// watchLocked starts a goroutine that ends with the command, with Forget, or with ctx. It takes f.proc.
func (c *Client) watchLocked(ctx context.Context, u *unit, f finding) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{process: f.process, proc: f.proc, cancel: cancel, group: group{fd: -1}}
	name, dir := u.name, u.dir
	c.group.Go(func() {
		defer cancel()
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
	// It has ended. Whose child it is may just be changing, if the supervisor is dying; and who waits for it does so at once, or never.
	for attempt := 0; ; attempt++ {
		s, err := w.proc.childStatus()
		if err == nil {
			e := exitOf(s, time.Now())
			addExit(dir, e) // if this fails, whoever asks later will not know; those who listen now do
			w.proc.reap()
			return e, nil
		}
		if reaped := w.proc.reaped(); reaped || attempt == 100 {
			break
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return Exit{}, ctx.Err()
		}
	}
	if e, err := ReadExit(dir); err == nil { // a supervisor that refuses us recorded it
		return e, nil
	}
	if s, ok := w.proc.strangerStatus(); ok {
		e := exitOf(s, time.Now())
		addExit(dir, e)
		return e, nil
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
	until := time.Now().Add(grace)
	if w.kill != nil {
		if until.Before(w.until) {
			w.until = until
			w.kill.Reset(grace)
		}
		return nil
	}
	g := openGroup(w.process)
	// Only now is it certain that what was opened is what was meant.
	if now, err := identify(w.process.PID); err != nil || now != w.process {
		g.close()
		return nil
	}
	if err := g.signal(unix.SIGINT, false); err != nil {
		g.close()
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return fmt.Errorf("interrupt process group %d: %w", w.process.PID, err)
	}
	w.group, w.until = g, until
	w.kill = time.AfterFunc(grace, w.killGroup)
	return nil
}

func (w *watch) killGroup() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kill != nil && !time.Now().Before(w.until) {
		w.group.signal(unix.SIGKILL, false) // nothing can be done if it fails
		w.group.close()
		w.kill = nil
	}
}

// finish is called when the command has ended. If it was stopped, what is left of its group keeps the grace.
func (w *watch) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.kill != nil && w.group.signal(0, false) != nil && w.kill.Stop() {
		w.group.close()
		w.kill = nil
	}
}
