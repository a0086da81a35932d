package work

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

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
	u := &unit{id: id, from: rc.Node, chosen: rc.Chosen, stream: rc.Stream, accepted: rc.Accepted}
	m.queue.seen(rc.Order)
	switch {
	case err == nil:
	case rcErr == nil: // a power cut took the status, or it was never written
		m.c.Logger.Warn("status of a unit cannot be read, going on from its receipt", "unit", id, "err", err)
		r, u.seq = rc.Status, 1
	case errors.Is(err, fs.ErrNotExist) && errors.Is(rcErr, fs.ErrNotExist):
		m.removeEmpty(id)
		return nil
	default:
		if errors.Is(err, fs.ErrNotExist) {
			err = rcErr
		}
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
	m.complete(u)
	if u.live != nil {
		u.live.remoteID, u.live.order, u.live.stderr = rc.RemoteID, rc.Order, rc.Stderr
		if rcErr != nil && !errors.Is(rcErr, fs.ErrNotExist) {
			u.live.damage = rcErr.Error()
		}
		begun := u.accepted && u.rec.State == controlproto.Pending
		if begun && u.far != nil && (err != nil || u.rec.Detail != detailStarting) && u.far.RemoteUnitID == "" {
			u.far.RemoteUnitID = rc.RemoteID // the first attempt was never noted: it may have got through
		}
		if u.accepted && u.stream {
			m.loadPayload(u, rc.Broken)
		}
		if begun && u.rec.State == controlproto.Pending {
			u.rec.Detail = detailStarting
		}
	}
	return u
}

// complete fills in what the record of a unit that has ended lacks: that of the
// original has neither an exit code nor the time of the end.
func (m *Manager) complete(u *unit) {
	if !u.rec.State.Ended() || u.kind == foreign {
		return
	}
	if u.rec.ExitCode == nil {
		u.rec.ExitCode = exitOf(u.rec.State, u.rec.Detail)
	}
	if u.rec.Ended.IsZero() {
		if info, err := os.Stat(m.store.path(u.id, fileStatus)); err == nil {
			u.rec.Ended = info.ModTime().UTC().Truncate(time.Microsecond)
		}
	}
}

// loadPayload finds out how far the payload of a streamed unit has come. broken
// is what its receipt says of it.
func (m *Manager) loadPayload(u *unit, broken string) {
	u.payloadSize = m.store.size(u.id, fileStdin)
	end, err := m.store.payloadEnd(u.id)
	switch {
	case broken != "":
	case err == nil:
		u.payloadSize, u.payloadEnded = end, true
	case !errors.Is(err, fs.ErrNotExist):
		broken = "Error reading input data: " + err.Error()
	case !u.chosen:
		broken = detailBroken
	}
	u.live.broken = broken
	if u.kind != remote || broken == "" || u.rec.State.Ended() {
		return
	}
	if u.far.RemoteStarted {
		u.far.LocalCancelled = true // the driver has it stopped
	} else {
		u.moveLocked(failed(broken), nil)
	}
	u.seq++
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
		u.size, u.errSize = m.store.size(u.id, fileStdout), m.store.size(u.id, fileStderr)
		if !ended && u.far.RemoteUnitID != "" && u.size+u.errSize > 0 {
			u.far.RemoteStarted = true // the status is older than what came from there
		}
		if !ended {
			u.rec.StdoutSize = u.size // the status is older than its output, or newer
			if u.rec.StderrSize != nil {
				size := u.errSize
				u.rec.StderrSize = &size
			}
		}
		if !ended || m.owes(u) {
			u.live = &live{}
		}
		return
	}
	known := m.types.Load().byName[u.rec.WorkType] != nil
	switch {
	case ended:
		u.kind = command
		if m.store.marked(u.id, fileRelease) { // the last daemon ended before it was deleted
			u.seq = 1 // for resume to see
		}
	case !known && !ours:
		u.kind = foreign
	default:
		var x commandExtra
		json.Unmarshal(u.rec.ExtraData, &x) // what cannot be read is not there
		u.kind = command
		u.live = &live{params: x.Params, canceling: m.store.marked(u.id, fileCancel), releasing: m.store.marked(u.id, fileRelease)}
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
	var accepted, starts []*unit
	for _, u := range m.found {
		u.mu.Lock()
		open := u.live != nil && !u.removed
		u.mu.Unlock()
		switch {
		case open && u.kind == command:
			if m.resumeCommand(u) {
				accepted = append(accepted, u)
			}
		case open && u.kind == remote:
			m.resumeRemote(u)
		case u.kind == command && m.store.marked(u.id, fileRelease):
			m.goes(func() { m.dropLogged(u) }) // ends when the files are deleted
		default:
			m.keep.later(u)
		}
	}
	m.found = nil
	slices.SortFunc(accepted, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.acceptance(), b.acceptance()), cmp.Compare(a.id, b.id))
	})
	for _, u := range accepted {
		starts = append(starts, m.enter(u)...)
	}
	for _, u := range starts {
		u.setLaunching()
	}
	m.goes(func() { // ends when each was tried once, or with Run
		for _, u := range starts {
			if m.startCommand(m.ctx, u) != nil {
				m.launchOne(u)
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
	l, state, accepted, workType := *u.live, u.rec.State, u.accepted, u.rec.WorkType
	u.mu.Unlock()
	if err := plain(m.store.path(u.id, fileProcess)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.restartFailed(u, err)
		return false
	}
	exit, exitErr := supervise.ReadExit(dir)
	prepared := supervise.Prepared(dir) // before the next, as it may be begun in between
	_, processErr := supervise.ReadProcess(dir)
	switch {
	case exitErr == nil:
		if l.broken == detailBroken { // it did not want the rest
			u.mu.Lock()
			if u.live != nil {
				u.live.broken = ""
			}
			u.mu.Unlock()
		}
		m.event(supervise.Event{Unit: u.id, Exit: &exit})
	case !errors.Is(processErr, fs.ErrNotExist), accepted && state == controlproto.Running, // it was started, or that was begun
		prepared && (l.canceling || l.broken != ""): // perhaps a supervisor is about to
		u.setLaunching()
		m.hold(u, workType)
		if err := m.sup.Adopt(u.id, dir); err != nil {
			m.restartFailed(u, err)
			return false
		}
		if l.canceling || l.broken != "" {
			m.goes(func() { m.stopCommand(u) }) // ends when the signal was sent
		}
	case l.canceling && l.legacy == 0, l.broken != "":
		m.commandEnded(u, canceled(0))
	case accepted && !prepared && m.store.size(u.id, fileProcess) > 0: // it must not run twice
		m.restartFailed(u, errors.New("the record of the command's process is damaged; whether the command ran is not known"))
	case accepted:
		for _, file := range []string{fileStdin, fileStdout, fileStderr} {
			if err := plain(m.store.path(u.id, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				m.restartFailed(u, err)
				return false
			}
		}
		return true
	case l.legacy != 0 && isLegacyRunner(l.legacy, u.id):
		m.hold(u, workType)
		m.goes(func() { m.watchLegacy(u, l.legacy) }) // ends with the runner
	case l.legacy != 0 && m.endedMeanwhile(u):
	case u.chosen: // its submitter may come back
	case state == controlproto.Running:
		m.commandEnded(u, failed("Failed to restart: the command's runner is gone, its end was not seen"))
	case l.damage != "":
		m.commandEnded(u, failed("Failed to restart: "+l.damage))
	default:
		m.commandEnded(u, failed(detailPending))
	}
	return false
}

// endedMeanwhile ends a unit of the original as its runner has recorded: a runner
// that is gone now may have been there when the status was read.
func (m *Manager) endedMeanwhile(u *unit) bool {
	r, err := m.loadStatus(u.id)
	if err != nil || !r.State.Ended() {
		return false
	}
	m.commandEnded(u, change{state: r.State, detail: r.Detail, size: keepSize, exit: exitOf(r.State, r.Detail)})
	return true
}

// acceptance is the unit's place in the order of acceptance.
func (u *unit) acceptance() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live == nil {
		return 0
	}
	return u.live.order
}

// setLaunching notes that the unit was, or is being, given to the supervisor.
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
