package work

import (
	"context"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Cancel ends a unit; one that has ended already stays as it is, which is
// success too. pending tells that the unit is on another node that cannot be
// reached now: it will be told as soon as it can be. Unknown units are an *Error
// of code NotFound.
func (m *Manager) Cancel(ctx context.Context, id string) (pending bool, err error) {
	u, err := m.unit(id)
	if err != nil {
		return false, err
	}
	if err := m.up(ctx); err != nil {
		return false, err
	}
	switch u.kind {
	case command:
		return false, m.cancelCommand(ctx, u)
	case remote:
		return m.cancelRemote(ctx, u)
	}
	return false, nil // a unit of a foreign type is left alone
}

// Release cancels a unit and deletes it with all its files. pending tells that
// the unit is on another node that cannot be reached now: it stays listed until
// that node has agreed. With force it is deleted here in any case, after one
// attempt to tell the other node. Unknown units are an *Error of code NotFound, and
// their submission is refused should it come yet.
func (m *Manager) Release(ctx context.Context, id string, force bool) (pending bool, err error) {
	u, err := m.unitOrGrave(id)
	if err != nil {
		return false, err
	}
	if err := m.up(ctx); err != nil {
		return false, err
	}
	switch u.kind {
	case command:
		m.releaseLater(u)
		err = m.cancelCommand(ctx, u)
	case remote:
		pending, err = m.releaseRemote(ctx, u, force)
	}
	if force {
		if err != nil {
			m.c.Logger.Warn("unit is released by force", "unit", id, "err", err)
		}
		pending, err = false, nil
	}
	if pending || err != nil {
		return pending, err
	}
	if err := m.drop(u); err != nil {
		return false, controlproto.New(controlproto.Internal, "delete the unit's files: "+err.Error())
	}
	m.c.Logger.Info("unit released", "unit", id)
	return false, nil
}

// releaseLater has a command unit deleted when its command has ended, also if the
// client that asks for its release does not wait so long, or the daemon ends.
func (m *Manager) releaseLater(u *unit) {
	if u.ended() {
		return
	}
	if err := m.store.mark(u.id, fileRelease); err != nil {
		m.c.Logger.Warn("release could not be noted on disk", "unit", u.id, "err", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live != nil {
		u.live.releasing = true
	}
}
