package work

import (
	"context"
	"errors"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// cancelRemote cancels a remote unit (spec work 7.6).
func (m *Manager) cancelRemote(ctx context.Context, u *unit) (pending bool, err error) {
	if u.ended() {
		return false, nil
	}
	return m.ask(ctx, u, func() { u.far.LocalCancelled = true })
}

// releaseRemote has the other node release a unit (spec work 7.7). The caller
// drops it here.
func (m *Manager) releaseRemote(ctx context.Context, u *unit, force bool) (pending bool, err error) {
	if !force {
		return m.ask(ctx, u, func() { u.far.LocalCancelled, u.far.LocalReleased = true, true })
	}
	ctx, cancel := context.WithTimeoutCause(ctx, forcePatience, errors.New("no answer of the other node in time"))
	defer cancel()
	pending, err = m.ask(ctx, u, func() { u.far.LocalCancelled, u.far.LocalReleased = true, true })
	u.mu.Lock()
	if u.live != nil {
		u.live.parting = time.Now().Add(partingPatience)
	}
	u.mu.Unlock()
	return pending, err
}

const (
	// forcePatience is how long a forced release waits for the other node.
	forcePatience = 3 * time.Second
	// partingPatience is how long the other node is still told afterwards, with
	// nobody waiting, that it is to release the unit; the daemon's end ends that.
	partingPatience = time.Hour
	// askPatience is how long a cancel or release waits for a driver that does
	// not come back; after that it is pending.
	askPatience = dialPatience + tellPatience + 5*time.Second
)

// ask notes a wish in the record, durably if the disk can take it, and waits for the driver's next
// attempt to fulfil it.
func (m *Manager) ask(ctx context.Context, u *unit, wish func()) (pending bool, err error) {
	done := make(chan answer, 1)
	u.mu.Lock()
	if u.removed {
		u.mu.Unlock()
		return false, nil
	}
	wish()
	u.touchLocked()
	if !u.far.RemoteStarted {
		u.moveLocked(change{state: controlproto.Failed, detail: detailLocally, size: keepSize}, nil)
	}
	if u.live == nil && u.remotePlanLocked() == errandNone || u.live != nil && !u.live.driven && u.far.RemoteUnitID == "" {
		u.live = nil // the other node knows nothing
		u.mu.Unlock()
		m.saveNow(ctx, u)
		return false, nil
	}
	if !m.driveLocked(u) {
		u.mu.Unlock()
		return false, errOver
	}
	// A unit that was not handed on has ended here, and nobody waits until its
	// node has agreed; that it may know the unit is the driver's business.
	waits := u.far.RemoteStarted || u.far.LocalReleased
	if waits {
		u.live.asks = append(u.live.asks, done)
	}
	interrupt, kick := u.live.interrupt, u.live.kick
	u.mu.Unlock()
	m.saveNow(ctx, u)
	if interrupt != nil {
		interrupt()
	}
	poke(kick)
	if !waits {
		return false, nil
	}
	timer := time.NewTimer(askPatience)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case a := <-done:
		return a.pending, a.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-m.over:
		return true, nil // the next daemon does it
	}
}

// saveNow saves and syncs a unit's status. That it cannot does not stop what is
// being done: a full disk is freed by cancels and releases. The keeper tries again.
func (m *Manager) saveNow(ctx context.Context, u *unit) {
	err := u.save(m.store)
	if err == nil {
		err = m.store.sync.unit(ctx, u.id, fileStatus)
	}
	if err != nil {
		m.c.Logger.Warn("status of a unit could not be saved", "unit", u.id, "err", err)
		m.keep.later(u)
	}
}

// answer tells the clients that wait what became of an errand.
func (d *driver) answer(e errand, err error) {
	u := d.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live == nil {
		return
	}
	refusal, refused := errors.AsType[*refusedError](err)
	switch e {
	case errandSubmit:
		a := answer{result: controlproto.JobStarted}
		switch {
		case refused:
			a = answer{err: refusal.err}
		case err != nil:
			a.result = controlproto.JobSubmitted
		}
		if u.live.first != nil {
			u.live.first <- a
			u.live.first = nil
			if refused && !u.stream { // of a streamed one the acceptance was told before
				d.late = nil
			}
		}
	case errandCancel, errandRelease, errandDisown:
		a := answer{pending: err != nil && e != errandDisown}
		if refused {
			a = answer{err: refusal.err}
		}
		d.answerAllLocked(a)
	}
}

// answerAllLocked answers everyone who waits for the driver.
func (d *driver) answerAllLocked(a answer) {
	for _, done := range d.u.live.asks {
		done <- answer{pending: a.pending, err: a.err}
	}
	d.u.live.asks = nil
	if first := d.u.live.first; first != nil {
		d.u.live.first = nil
		a := answer{result: controlproto.JobSubmitted}
		if d.u.far.LocalCancelled {
			a = answer{err: controlproto.New(controlproto.Canceled, "work unit "+d.u.id+" was cancelled")}
		}
		first <- a
	}
}

// dropLogged drops a unit whose release was pending.
func (m *Manager) dropLogged(u *unit) {
	if err := m.drop(u); err != nil {
		m.c.Logger.Error("released unit could not be deleted", "unit", u.id, "err", err)
		return
	}
	m.c.Logger.Info("unit released", "unit", u.id)
}
