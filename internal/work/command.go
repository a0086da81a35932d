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

// launch has the command of an accepted unit started. Nobody waits for that: the
// unit is on disk, and that its command cannot run is its own outcome, not the
// submission's. If Run ends first, the next daemon starts it.
func (m *Manager) launch(u *unit) {
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
	params, name, canceling := u.live.params, u.rec.WorkType, u.live.canceling
	u.mu.Unlock()
	if canceling {
		if _, err := supervise.ReadProcess(m.store.path(u.id)); errors.Is(err, fs.ErrNotExist) {
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
	if err != nil {
		m.commandEnded(u, failed(err.Error()))
		return nil
	}
	p, err := m.sup.Start(ctx, supervise.Job{Unit: u.id, UnitDir: m.store.path(u.id), Command: t.Command, Args: args})
	if e, ok := errors.AsType[*supervise.StartError](err); ok {
		m.commandEnded(u, failed(e.Detail))
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
		c := failed(e.Exit.Detail)
		if e.Exit.Succeeded() {
			c.state = controlproto.Succeeded
		}
		m.commandEnded(u, c)
	}
}

func (m *Manager) commandRuns(u *unit, p supervise.Process) {
	u.mu.Lock()
	stop := u.live != nil && u.live.canceling
	moved := u.moveLocked(running(p.PID), func() {
		extra := commandExtra{Pid: p.PID, Params: u.live.params}
		u.rec.ExtraData = extra.encode()
	})
	u.mu.Unlock()
	if !moved {
		return
	}
	m.moved(u)
	if stop { // it was cancelled while it was being started
		if err := m.sup.Stop(m.ctx, u.id, m.c.Grace); err != nil {
			m.c.Logger.Error("command could not be stopped", "unit", u.id, "err", err)
		}
	}
}

// commandEnded moves a command unit to its final state, with the final size.
func (m *Manager) commandEnded(u *unit, c change) {
	c.size = m.store.size(u.id, fileStdout)
	u.mu.Lock()
	if u.live != nil && u.live.canceling {
		c = canceled(c.size)
	}
	moved := u.moveLocked(c, func() { u.rec.ExtraData, u.live = nil, nil })
	u.mu.Unlock()
	if moved {
		m.moved(u)
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
		u.moveLocked(canceled(keepSize), func() { u.rec.ExtraData, u.live = nil, nil })
	u.mu.Unlock()
	switch {
	case moved:
		m.moved(u)
		m.saveNow(ctx, u)
		return nil
	case legacy != 0:
		m.stopLegacy(u, legacy)
	default:
		if err := m.sup.Stop(ctx, u.id, m.c.Grace); err != nil {
			return controlproto.New(controlproto.Internal, "stop the command: "+err.Error())
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
