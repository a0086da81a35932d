package work

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// adoptPatience bounds the wait for the node of a unit that is to be adopted.
const adoptPatience = 20 * time.Second

// Adopt makes a unit that stands for one that another controller has submitted
// to a.Node, and returns its id: its state and all of its output are mirrored,
// live, and it is cancelled and released as any remote unit. The first controller
// keeps its own; it sees the unit gone once it was released here.
//
// The node is asked for the unit first; ctx bounds that wait. A unit that this
// node stands for already is answered with the id that it has. allow is asked
// when the work type is known, and before anything is told or made. Errors are
// those of allow, or *Error: Invalid, NotFound (the tls-client entry, or the
// unit), Denied, or Unreachable.
func (m *Manager) Adopt(ctx context.Context, a controlproto.Adopt, allow func(workType string) error) (id string, err error) {
	if err := m.checkAdopt(a); err != nil {
		return "", err
	}
	if err := m.up(ctx); err != nil {
		return "", err
	}
	if u := m.standsFor(a); u != nil {
		u.mu.Lock()
		workType := u.far.RemoteWorkType
		u.mu.Unlock()
		return u.id, allow(workType)
	}
	st, err := m.askToAdopt(ctx, a)
	if err == nil {
		err = allow(st.WorkType)
	}
	if err != nil {
		return "", err
	}
	u := &unit{
		kind: remote, accepted: true, seq: 1,
		rec: record{Detail: detailStarting, WorkType: remoteType},
		far: &remoteExtra{
			RemoteNode: a.Node, RemoteUnitID: a.UnitID, RemoteStarted: true, RemoteWorkType: st.WorkType,
			SignWork: a.SignWork, TLSClient: a.TLSClient,
		},
		live: &live{},
	}
	if !st.State.Ended() { // its end is taken over with its output
		u.rec, _ = u.rec.step(change{state: st.State, detail: st.Detail, size: keepSize})
	}
	m.adopting.Lock() // two requests for one unit make one
	defer m.adopting.Unlock()
	if other := m.standsFor(a); other != nil {
		return other.id, nil
	}
	if err := m.placeAdopted(context.WithoutCancel(ctx), u); err != nil {
		return "", err
	}
	u.mu.Lock()
	m.driveLocked(u)
	u.mu.Unlock()
	m.moved(u)
	m.c.Logger.Info("unit adopted", "unit", u.id, "node", a.Node, "remote", a.UnitID)
	return u.id, nil
}

func (m *Manager) checkAdopt(a controlproto.Adopt) error {
	switch {
	case a.Node == "":
		return controlproto.New(controlproto.Invalid, "work adopt requires a target node")
	case a.Node == m.c.Node || strings.EqualFold(a.Node, "localhost"):
		return controlproto.New(controlproto.Invalid, "units of this node need no adoption: ask for them by their id")
	case !validID(a.UnitID):
		return controlproto.New(controlproto.Invalid,
			fmt.Sprintf("unitid must be %d characters of 0-9a-zA-Z", idLength))
	case a.SignWork && m.keys.Load().Sign == nil:
		return controlproto.New(controlproto.Denied, errNoKey.Error())
	}
	if a.TLSClient != "" {
		if err := m.c.CheckTLSClient(a.TLSClient); err != nil {
			return controlproto.New(controlproto.NotFound, err.Error())
		}
	}
	return nil
}

// standsFor finds the unit that stands for another node's one, if there is one
// that has not lost it.
func (m *Manager) standsFor(a controlproto.Adopt) *unit {
	for _, u := range m.all() {
		if u.kind == remote && u.isFor(a) {
			return u
		}
	}
	return nil
}

func (u *unit) isFor(a controlproto.Adopt) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.far
	return x != nil && !u.removed && x.RemoteNode == a.Node && x.RemoteUnitID == a.UnitID && x.RemoteStarted &&
		!x.LocalReleased && u.rec.Detail != detailGone
}

// askToAdopt asks a node for a unit.
func (m *Manager) askToAdopt(ctx context.Context, a controlproto.Adopt) (st controlproto.UnitStatus, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, adoptPatience, errors.New("no answer in time"))
	defer cancel()
	d := &driver{m: m, u: &unit{far: &remoteExtra{RemoteNode: a.Node, TLSClient: a.TLSClient}}}
	err = d.askStatus(ctx, a.UnitID, &st)
	e, answered := errors.AsType[*controlproto.Error](err)
	switch {
	case err == nil:
		return st, nil
	case answered && e.Code == controlproto.NotFound:
		return st, controlproto.New(controlproto.NotFound, fmt.Sprintf("node %s has no work unit %s", a.Node, a.UnitID))
	case answered && !passing(e):
		return st, controlproto.New(e.Code, fmt.Sprintf("node %s refuses: %s", a.Node, e.Message))
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return st, controlproto.New(controlproto.Unreachable, fmt.Sprintf(
		"node %s cannot be reached: %v; try again when there is a route to it (receptorctl ping %s)", a.Node, err, a.Node))
}

// askStatus asks the driver's node for any unit, in the words that it knows.
func (d *driver) askStatus(ctx context.Context, id string, st *controlproto.UnitStatus) error {
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if conn.ours {
		return conn.client.Call(ctx, map[string]any{"command": "work", "subcommand": "status", "unitid": id}, st)
	}
	l, err := d.openLines(ctx, conn)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	*st, err = l.status(id)
	if err == nil || controlproto.CodeOf(err) == controlproto.NotFound {
		conn.leave()
	}
	return err
}

// placeAdopted makes an adopted unit durable.
func (m *Manager) placeAdopted(ctx context.Context, u *unit) error {
	if err := m.place(u, ""); err != nil {
		return err
	}
	u.mu.Lock()
	r := u.receiptLocked(true, 0)
	u.mu.Unlock()
	u.saveMu.Lock()
	err := m.store.saveReceipt(u.id, r)
	u.saveMu.Unlock()
	if err == nil {
		err = u.save(m.store)
	}
	if err == nil {
		err = m.durable(ctx, u.id, fileReceipt, fileStatus)
	}
	if err != nil {
		m.dropNew(u)
		return controlproto.New(controlproto.Internal, "store the adopted unit: "+err.Error())
	}
	return nil
}
