package work

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// stopSlack is how long the end of a killed command may take to show.
const stopSlack = 5 * time.Second

// admit has the command of an accepted unit started when its turn comes.
func (m *Manager) admit(u *unit) {
	m.launch(m.enter(u)...)
}

// enter puts an accepted unit into the queue of its type. It returns the units
// whose turn it is, to be launched.
func (m *Manager) enter(u *unit) []*unit {
	u.mu.Lock()
	over := u.live == nil || u.rec.State.Ended()
	name, order := u.rec.WorkType, int64(0)
	if !over {
		order = u.live.order
	}
	u.mu.Unlock()
	if over {
		return nil
	}
	turn := m.queue.enter(u, name, order, m.types.Load())
	u.mu.Lock()
	over = u.rec.State.Ended() || u.removed // it may have been cancelled before it was in the queue
	u.mu.Unlock()
	if over {
		turn = append(turn, m.queue.leave(u, m.types.Load())...)
	}
	return turn
}

// hold counts a unit whose command runs already, unless that has just ended: an
// event of the supervisor may have told that first.
func (m *Manager) hold(u *unit, workType string) {
	m.queue.hold(u, workType)
	u.mu.Lock()
	over := u.rec.State.Ended() || u.removed
	u.mu.Unlock()
	if over {
		m.leave(u)
	}
}

// leave takes a unit that has ended out of the queue, and starts whose turn it is then.
func (m *Manager) leave(u *unit) { m.launch(m.queue.leave(u, m.types.Load())...) }

// launch has commands started whose turn it is. Nobody waits for that: the
// units are on disk, and that a command cannot run is its own outcome, not the
// submission's. If Run ends first, the next daemon starts it.
func (m *Manager) launch(units ...*unit) {
	for _, u := range units {
		u.setLaunching()
		m.launchOne(u)
	}
}

func (m *Manager) launchOne(u *unit) {
	m.goes(func() { m.keepStarting(u) }) // ends with Run, or when it is known what became of the command
}

// keepStarting tries until it is known what became of the command.
func (m *Manager) keepStarting(u *unit) {
	for b := newBackoff(); ; {
		err := m.startCommand(m.ctx, u)
		if err == nil || m.ctx.Err() != nil {
			return
		}
		m.c.Logger.Error("command not started yet, trying again", "unit", u.id, "err", err)
		if !b.wait(m.ctx, nil) {
			return
		}
	}
}

// startCommand starts a unit's command, which may run already. An error says
// that it is not known whether it runs.
func (m *Manager) startCommand(ctx context.Context, u *unit) error {
	u.mu.Lock()
	if u.rec.State.Ended() || u.removed {
		u.mu.Unlock()
		return nil
	}
	params, name, stopping := u.live.params, u.rec.WorkType, u.stoppingLocked()
	separate := u.rec.StderrSize != nil
	u.mu.Unlock()
	if stopping {
		dir := m.store.path(u.id)
		prepared := supervise.Prepared(dir) // before the next, as it may be begun in between
		_, err := supervise.ReadProcess(dir)
		switch {
		case prepared: // perhaps the supervisor is about to start it
			if err := m.sup.Adopt(u.id, dir); err != nil {
				return err
			}
			m.goes(func() { m.stopCommand(u) }) // ends when the signal was sent
			return nil
		case errors.Is(err, fs.ErrNotExist):
			m.commandEnded(u, canceled(keepSize)) // nobody began to start it
			return nil
		}
	}
	t := m.types.Load().byName[name]
	if t == nil {
		m.commandEnded(u, failed("Error starting worker: unknown work type "+name))
		return nil
	}
	args, err := splitParams(params)
	if t.Python != nil {
		args, err = t.Python.job(m.store, u.id)
	}
	if err != nil {
		m.commandEnded(u, failed(err.Error()))
		return nil
	}
	p, err := m.sup.Start(ctx, supervise.Job{
		Unit: u.id, UnitDir: m.store.path(u.id), Command: t.Command, Args: args,
		Stderr: separate, Stream: u.stream, MaxRuntime: t.MaxRuntime, MaxOutput: t.MaxOutput, Grace: m.c.Grace,
		Unsynced: m.c.Unsynced,
	})
	if e, ok := errors.AsType[*supervise.StartError](err); ok {
		m.commandEnded(u, t.notStarted(e.Detail))
		return nil
	}
	if err != nil {
		return err
	}
	m.commandRuns(u, p)
	return nil
}

// event takes what the supervisor tells; it may come again.
func (m *Manager) event(e supervise.Event) {
	u, err := m.unit(e.Unit)
	if err != nil || u.kind != command {
		return // released
	}
	switch {
	case e.Process != nil:
		m.commandRuns(u, *e.Process)
	case e.Exit != nil:
		m.commandEnded(u, m.exited(u, e.Exit))
	}
}

// exited is the change that the end of a command makes.
func (m *Manager) exited(u *unit, e *supervise.Exit) change {
	c := failed(e.Detail)
	if text := m.outcome(u.id, e); text != "" {
		c.detail = text
	}
	c.at = e.Ended
	if e.Started && e.Known && e.Signal == "" {
		code := e.Code
		c.exit = &code
	}
	switch {
	case e.Succeeded():
		c.state = controlproto.Succeeded
	case diskFull(m.c.Dir):
		c.detail += " (the disk that holds its output is full)"
	}
	return c
}

func (m *Manager) commandRuns(u *unit, p supervise.Process) {
	u.mu.Lock()
	stop := u.live != nil && u.stoppingLocked()
	moved := u.moveLocked(running(p.PID), func() {
		extra := commandExtra{Pid: p.PID, Params: u.live.params}
		u.rec.ExtraData = extra.encode()
	})
	u.mu.Unlock()
	if !moved {
		return
	}
	m.moved(u)
	if stop { // that was asked for while it was being started
		m.goes(func() { m.stopCommand(u) }) // ends when the signal was sent; events must not wait for that
	}
}

// stopCommand has a command interrupted, and killed if that does not end it.
func (m *Manager) stopCommand(u *unit) {
	if err := m.sup.Stop(m.ctx, u.id, m.c.Grace); err != nil && m.ctx.Err() == nil {
		m.c.Logger.Error("command could not be stopped", "unit", u.id, "err", err)
	}
}

// stopFor has a command stopped, and waits until it was told to or ctx ends. It is
// told also if nobody waits for that, as when the supervisor is just being replaced.
func (m *Manager) stopFor(ctx context.Context, u *unit) error {
	told := make(chan error, 1)
	if !m.goes(func() { told <- m.sup.Stop(m.ctx, u.id, m.c.Grace) }) { // ends when the signal was sent, or with Run
		return errOver
	}
	select {
	case err := <-told:
		if err != nil {
			return controlproto.New(controlproto.Internal, "stop the command: "+err.Error())
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stoppingLocked tells that the command's end was asked for.
func (u *unit) stoppingLocked() bool { return u.live.canceling || u.live.broken != "" }

// commandEnded moves a command unit to its final state, with the final size.
func (m *Manager) commandEnded(u *unit, c change) {
	c.size = m.store.size(u.id, fileStdout)
	errSize := m.store.size(u.id, fileStderr)
	u.mu.Lock()
	if u.live != nil && u.live.canceling {
		c.state, c.detail, c.exit = controlproto.StateCanceled, detailCanceled, nil
	}
	if u.rec.StderrSize != nil {
		c.stderr = &errSize
	}
	releasing := u.live != nil && u.live.releasing
	moved := u.moveLocked(c, u.endCommandLocked)
	u.mu.Unlock()
	if moved {
		m.moved(u)
	}
	if moved && releasing {
		m.goes(func() { m.dropLogged(u) }) // ends when the files are deleted
	}
}

// cancelCommand ends a command unit; "already ended" is success. It returns when
// the command has ended.
func (m *Manager) cancelCommand(ctx context.Context, u *unit) error {
	if u.ended() {
		return nil
	}
	// From here on a restarted daemon knows that the end was asked for.
	if err := m.store.mark(u.id, fileCancel); err != nil {
		m.c.Logger.Warn("cancel could not be noted on disk", "unit", u.id, "err", err)
	}
	u.mu.Lock()
	if u.rec.State.Ended() {
		u.mu.Unlock()
		return nil
	}
	u.live.canceling = true
	launched, legacy := u.live.launching, u.live.legacy
	moved := !launched && legacy == 0 &&
		u.moveLocked(canceled(keepSize), u.endCommandLocked)
	u.mu.Unlock()
	switch {
	case moved:
		m.moved(u)
		m.saveNow(ctx, u)
		return nil
	case legacy != 0:
		m.stopLegacy(u, legacy)
	default:
		if err := m.stopFor(ctx, u); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.c.Grace+stopSlack,
		controlproto.New(controlproto.Timeout, "the command has not ended yet; it was told to"))
	defer cancel()
	return u.awaitEnd(ctx)
}

// awaitEnd waits until the unit has ended.
func (u *unit) awaitEnd(ctx context.Context) error {
	for {
		u.mu.Lock()
		ended, news := u.rec.State.Ended() || u.removed, u.newsLocked()
		u.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
