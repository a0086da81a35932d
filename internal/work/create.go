package work

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Origin says where a request came from.
type Origin struct {
	Node       string // at the far end of a mesh stream; empty for sockets of this node
	UnixSocket bool   // signatures are not checked
}

// plan is a submission that was found acceptable.
type plan struct {
	kind   kind
	rec    record
	far    *remoteExtra
	params string // of a command
}

// Create makes a unit that waits for its payload. Its errors are *Error with the
// texts of spec control-protocol 7.2, step 2; a refused submission leaves
// nothing behind.
//
// s.UnitID, if set, makes the submission repeatable: if the same submitter has
// made that unit before, its Submission goes on where the first one was cut (and
// the first one, should it still live, fails).
func (m *Manager) Create(s controlproto.Submit, from Origin) (*Submission, error) {
	if s.UnitID != "" {
		if !validID(s.UnitID) {
			return nil, controlproto.New(controlproto.Invalid,
				fmt.Sprintf("unitid must be %d characters of 0-9a-zA-Z", idLength))
		}
	}
	signed, err := m.authorizeSubmit(s, from)
	if err != nil {
		return nil, err
	}
	if s.UnitID != "" {
		if u, err := m.unit(s.UnitID); err == nil {
			return m.repeat(u, s, from, signed)
		}
	}
	p, err := m.plan(s)
	if err != nil {
		return nil, err
	}
	p.rec, _ = p.rec.step(waiting())
	u := &unit{
		kind: p.kind, rec: p.rec, far: p.far, from: from.Node, chosen: s.UnitID != "", stream: s.Stream, seq: 1,
		live: &live{params: p.params},
	}
	if p.kind == remote {
		u.live.remoteID, u.live.stderr = newID(), s.Stderr
	}
	sub := &Submission{m: m, u: u, from: from, signed: signed}
	u.live.sub = sub
	if err := m.place(u, s.UnitID); err != nil {
		if other, e := m.unit(s.UnitID); e == nil { // made at the same time
			return m.repeat(other, s, from, signed)
		}
		return nil, err
	}
	if err := sub.open(); err != nil {
		m.dropNew(u)
		return nil, m.diskError("", err)
	}
	m.keep.later(u)
	return sub, nil
}

// place gives a new unit an id and a directory.
func (m *Manager) place(u *unit, chosen string) error {
	u.saveMu.Lock()
	defer u.saveMu.Unlock()
	var early *receipt
	if u.chosen { // its submitter may come back after a crash
		r := u.receiptLocked(false, 0) // nobody else knows u yet
		early = &r
	}
	for {
		if u.id = chosen; u.id == "" {
			u.id = newID()
		}
		err := m.add(u)
		if err == nil {
			if err = m.store.create(u.id, early); err == nil {
				return nil
			}
			m.mu.Lock()
			delete(m.units, u.id)
			m.mu.Unlock()
			if errors.Is(err, fs.ErrExist) {
				err = controlproto.New(controlproto.Exists, "work unit "+u.id+" exists already")
			} else {
				err = m.diskError("make the unit's directory", err)
			}
		}
		if chosen != "" || controlproto.CodeOf(err) != controlproto.Exists {
			return err
		}
	}
}

// dropNew removes a unit that could not be made whole.
func (m *Manager) dropNew(u *unit) {
	m.mu.Lock()
	delete(m.units, u.id)
	m.mu.Unlock()
	if err := m.store.remove(u.id); err != nil {
		m.c.Logger.Error("unit could not be removed", "unit", u.id, "err", err)
	}
}

// plan checks a submission but for its signature, in the order of the original.
func (m *Manager) plan(s controlproto.Submit) (plan, error) {
	t := m.types.Load().byName[s.WorkType]
	switch s.Stderr {
	case "", controlproto.StderrMixed, controlproto.StderrSeparate:
	default:
		return plan{}, controlproto.New(controlproto.Invalid,
			fmt.Sprintf("stderr is %q, but must be %q or %q", s.Stderr, controlproto.StderrMixed, controlproto.StderrSeparate))
	}
	if s.Node == m.c.Node || strings.EqualFold(s.Node, "localhost") {
		return planCommand(t, s)
	}
	return m.planRemote(s)
}

func planCommand(t *Command, s controlproto.Submit) (plan, error) {
	if s.TTL != "" {
		return plan{}, controlproto.New(controlproto.Invalid, "ttl option is intended for remote work only")
	}
	if t == nil {
		return plan{}, controlproto.New(controlproto.NotFound, "unknown work type "+s.WorkType)
	}
	params := s.Params["params"]
	if params != "" && !t.AllowRuntimeParams {
		return plan{}, controlproto.New(controlproto.Denied, "extra params provided but not allowed")
	}
	params = joinParams(t.Params, params)
	extra := commandExtra{Params: params}
	p := plan{
		kind: command, params: params,
		rec: record{Detail: detailCreated, WorkType: s.WorkType, ExtraData: extra.encode()},
	}
	if s.Stderr == controlproto.StderrSeparate || s.Stderr == "" && t.SeparateStderr {
		p.rec.StderrSize = new(int64)
	}
	return p, nil
}

func (m *Manager) planRemote(s controlproto.Submit) (plan, error) {
	if s.TLSClient != "" {
		if err := m.c.CheckTLSClient(s.TLSClient); err != nil {
			return plan{}, controlproto.New(controlproto.NotFound, err.Error())
		}
	}
	for name := range s.Params {
		if isSecret(name) && s.TLSClient == "" {
			return plan{}, controlproto.New(controlproto.Invalid, "cannot send secrets over a non-TLS connection")
		}
	}
	var expires time.Time
	if s.TTL != "" {
		ttl, err := time.ParseDuration(s.TTL)
		if err != nil {
			return plan{}, controlproto.New(controlproto.Invalid, err.Error())
		}
		expires = time.Now().Add(ttl).Round(0)
	}
	return plan{
		kind: remote,
		rec:  record{Detail: detailCreated, WorkType: remoteType},
		far: &remoteExtra{
			RemoteNode: s.Node, RemoteWorkType: s.WorkType, RemoteParams: maps.Clone(s.Params),
			SignWork: s.SignWork, TLSClient: s.TLSClient, Expiration: expires,
		},
	}, nil
}
