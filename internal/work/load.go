package work

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// loaders is how many directories are read side by side at the start.
const loaders = 4

// load reads all units. One that cannot be read is shown as Failed and hurts no
// other.
func (m *Manager) load() error {
	ids, err := m.store.ids()
	if err != nil {
		return err
	}
	next := make(chan string)
	var wg sync.WaitGroup
	for range min(loaders, len(ids)) {
		wg.Go(func() { // ends when next is closed
			for id := range next {
				u := m.loadUnit(id)
				if u == nil {
					continue
				}
				m.mu.Lock()
				m.units[id] = u
				if u.live != nil || u.seq != 0 {
					m.found = append(m.found, u)
				}
				m.mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	wg.Wait()
	return nil
}

// loadUnit makes a unit of a directory; nil if it holds none.
func (m *Manager) loadUnit(id string) *unit {
	r, err := m.loadStatus(id)
	rc, rcErr := m.store.loadReceipt(id)
	if rcErr != nil && !errors.Is(rcErr, fs.ErrNotExist) {
		m.c.Logger.Warn("receipt of a unit cannot be read", "unit", id, "err", rcErr)
	}
	if rc.Accepted && m.store.size(id, fileStdin) < rc.Payload {
		// The receipt reached the disk before the payload, and then the power
		// went: Start had not answered.
		rc.Accepted, rc.Status.Detail = false, detailWaiting
	}
	u := &unit{id: id, from: rc.Node, chosen: rc.Chosen, accepted: rc.Accepted}
	switch {
	case err == nil:
	case rcErr == nil: // a power cut took the status, or it was never written
		m.c.Logger.Warn("status of a unit cannot be read, going on from its receipt", "unit", id, "err", err)
		r, u.seq = rc.Status, 1
	case errors.Is(err, fs.ErrNotExist):
		m.removeEmpty(id)
		return nil
	default:
		m.c.Logger.Warn("unit restart failed", "unit", m.store.path(id), "err", err)
		u.kind = foreign
		u.rec = record{State: controlproto.Failed, Detail: "Failed to restart: " + err.Error()}
		return u
	}
	u.rec = r
	if !rc.Accepted && r.State == controlproto.Pending && r.Detail == detailStarting && !m.store.marked(id, fileLock) {
		u.rec.Detail = detailWaiting // ours, and its acceptance did not reach the disk
	}
	u.rec.WorkType = m.intern(r.WorkType)
	m.classify(u, rcErr == nil)
	if u.live != nil {
		u.live.remoteID = rc.RemoteID
		if u.accepted && u.rec.State == controlproto.Pending {
			if u.far != nil && (err != nil || u.rec.Detail != detailStarting) && u.far.RemoteUnitID == "" {
				u.far.RemoteUnitID = rc.RemoteID // the first attempt was never noted: it may have got through
			}
			u.rec.Detail = detailStarting
		}
	}
	return u
}

func (m *Manager) loadStatus(id string) (record, error) {
	b, err := m.store.read(id, fileStatus, maxStatus)
	if err != nil {
		return record{}, err
	}
	return parseStatus(b)
}

// intern makes units of one work type share its name.
func (m *Manager) intern(name string) string {
	if name == remoteType {
		return remoteType
	}
	if t := m.types.Load().byName[name]; t != nil {
		return t.WorkType
	}
	return name
}

// classify finds out what runs a loaded unit. ours tells that it has a receipt.
func (m *Manager) classify(u *unit, ours bool) {
	ended := u.rec.State.Ended()
	if u.rec.WorkType == remoteType {
		u.kind, u.far = remote, &remoteExtra{}
		if err := json.Unmarshal(u.rec.ExtraData, u.far); err != nil {
			m.c.Logger.Error("a remote unit's ExtraData cannot be read", "unit", u.id, "err", err)
			u.kind, u.far = foreign, nil
			u.rec = record{State: controlproto.Failed, Detail: fmt.Sprintf("Failed to restart: %v", err), WorkType: remoteType}
			return
		}
		u.rec.ExtraData = nil
		u.size = m.store.size(u.id, fileStdout)
		if !ended || m.owes(u) {
			u.live = &live{}
		}
		return
	}
	known := m.types.Load().byName[u.rec.WorkType] != nil
	switch {
	case ended:
		u.kind = command
	case !known && !ours:
		u.kind = foreign
	default:
		var x commandExtra
		json.Unmarshal(u.rec.ExtraData, &x) // what cannot be read is not there
		u.kind = command
		u.live = &live{params: x.Params, canceling: m.store.marked(u.id, fileCancel)}
		if !ours {
			u.live.legacy = x.Pid
		}
	}
}

// removeEmpty removes a directory that holds nothing of an accepted unit: at
// most a payload, which a crash left behind before the unit's status was first
// written, or the lock that a refused submission to the original leaves.
func (m *Manager) removeEmpty(id string) {
	entries, err := os.ReadDir(m.store.path(id))
	for _, e := range entries {
		name := e.Name()
		leftover := name == fileStdin || name == "."+fileStatus || name == fileLock && len(entries) == 1 ||
			name == fileReceipt && m.store.size(id, fileReceipt) == 0 // a power cut emptied it
		if !leftover {
			err = fmt.Errorf("it has a file %s", name)
		}
	}
	if err == nil {
		err = os.RemoveAll(m.store.path(id))
	}
	if err != nil {
		m.c.Logger.Error("not a unit: it has no status; left alone", "unit", m.store.path(id), "err", err)
	}
}

// resume takes up what had not ended when the last daemon did.
func (m *Manager) resume() {
	var starts []*unit
	for _, u := range m.found {
		u.mu.Lock()
		open := u.live != nil && !u.removed
		u.mu.Unlock()
		switch {
		case open && u.kind == command:
			if m.resumeCommand(u) {
				starts = append(starts, u)
			}
		case open && u.kind == remote:
			m.resumeRemote(u)
		default:
			m.keep.later(u)
		}
	}
	m.found = nil
	m.goes(func() { // ends when each was tried once, or with Run
		for _, u := range starts {
			if m.startCommand(m.ctx, u) != nil {
				m.launch(u)
			}
		}
	})
}

// resumeCommand finds out what became of a command; true if it is to be started.
func (m *Manager) resumeCommand(u *unit) (start bool) {
	dir := m.store.path(u.id)
	u.mu.Lock()
	if u.live == nil { // cancelled a moment ago
		u.mu.Unlock()
		return false
	}
	l, state, accepted := *u.live, u.rec.State, u.accepted
	u.mu.Unlock()
	exit, exitErr := supervise.ReadExit(dir)
	_, processErr := supervise.ReadProcess(dir)
	switch {
	case exitErr == nil:
		m.event(supervise.Event{Unit: u.id, Exit: &exit})
	case !errors.Is(processErr, fs.ErrNotExist): // it was started, or that was begun
		u.setLaunching()
		if err := m.sup.Adopt(u.id, dir); err != nil {
			m.restartFailed(u, err)
			return false
		}
		if l.canceling {
			m.goes(func() { m.sup.Stop(m.ctx, u.id, m.c.Grace) }) // ends when the signal was sent
		}
	case l.canceling && l.legacy == 0:
		m.commandEnded(u, canceled(0))
	case accepted:
		u.setLaunching()
		return true
	case l.legacy != 0 && isLegacyRunner(l.legacy, u.id):
		m.goes(func() { m.watchLegacy(u, l.legacy) }) // ends with the runner
	case u.chosen: // its submitter may come back
	case state == controlproto.Running:
		m.commandEnded(u, failed("Failed to restart: the command's runner is gone, its end was not seen"))
	default:
		m.commandEnded(u, failed(detailPending))
	}
	return false
}

func (u *unit) setLaunching() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live != nil {
		u.live.launching = true
	}
}

func (m *Manager) restartFailed(u *unit, err error) {
	m.c.Logger.Warn("unit restart failed", "unit", m.store.path(u.id), "err", err)
	m.commandEnded(u, failed("Failed to restart: "+err.Error()))
}
