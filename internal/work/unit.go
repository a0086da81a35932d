package work

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// kind is what runs a unit.
type kind uint8

const (
	command kind = iota // a program on this node
	remote              // another node
	foreign             // a work type that is not configured, or a directory that cannot be read: it is shown, and can be released
)

// unit is a unit in memory. What only a unit that has not ended needs is in
// live, so that many finished ones cost little.
type unit struct {
	id     string
	kind   kind
	chosen bool   // the submitter chose the id
	stream bool   // its command reads the payload while that comes
	from   string // node that submitted it

	stdinMu sync.Mutex // held while a submission writes the payload, or takes it over; taken before mu

	saveMu sync.Mutex // serialises writes of the unit's files; taken before mu
	saved  uint64     // value of seq that is on disk; guarded by saveMu

	mu       sync.Mutex
	rec      record // but for ExtraData of remote units, which is in far
	far      *remoteExtra
	live     *live  // nil once the unit has ended and nothing is owed to anybody
	seq      uint64 // counts what is to be saved
	moves    uint64 // counts what followers are told
	size     int64  // bytes in stdout of a remote unit
	errSize  int64  // bytes in its stderr
	changed  chan struct{}
	unsaved  bool // waits for the keeper
	accepted bool
	removed  bool
	readers  int32 // followers that read its output now

	payloadSize  int64 // bytes in stdin of a streamed unit
	payloadEnded bool  // and there will not be more
}

// live is the part of a unit that is needed while it has not ended. Guarded by
// the unit's mu.
type live struct {
	sub       *Submission // takes the payload; nil if none does
	accepting bool        // it is being made durable
	broken    string      // why the rest of a streamed payload will never come, as the Detail that the unit ends with; empty: it may
	stderr    string      // Submit.Stderr of a remote unit

	// Of a command unit.
	params    string
	order     int64  // place in the order of acceptance; 0: not accepted yet
	damage    string // why the receipt of a loaded unit cannot be read; empty: it can, or there is none
	launching bool   // it was, or is being, given to the supervisor
	canceling bool   // the command's end was asked for
	releasing bool   // the unit is deleted once the command has ended
	legacy    int    // pid of the original's runner that owns the command; 0: none

	// Of a remote unit.
	remoteID   string        // id chosen for it on the other node, if that is one of ours
	from       uint64        // seq of the first record that shows the acceptance
	resumed    bool          // taken up after a restart: the other node may know it already
	cancelTold bool          // the other node knows that it is cancelled
	heard      silence       // since when the other node is silent
	sign       time.Time     // when the other node last gave one; zero: not to this daemon
	stuck      stuck         // what of it cannot be stored here
	fed        string        // why the payload cannot be handed on; empty: it can
	awaits     bool          // the other node takes the payload only when it is whole
	parting    time.Time     // dropped here by force: until then the driver goes on to tell the other node; zero: not
	driven     bool          // there is a driver
	kick       chan struct{} // 1; ends the driver's pause
	interrupt  func()        // ends what the driver does; nil if it was never busy
	first      chan answer   // 1; wants to know what became of the first attempt; nil: nobody does
	asks       []chan answer // 1 each; want to know what became of a cancel or release
}

// move applies a change and tells whether it moved the unit. also, which may be
// nil, changes more under the same lock.
func (u *unit) move(c change, also func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.moveLocked(c, also)
}

func (u *unit) moveLocked(c change, also func()) bool {
	if c.state.Ended() {
		if c.at.IsZero() {
			c.at = time.Now()
		}
		if u.live != nil && u.live.broken != "" && (c.state != controlproto.StateCanceled || !u.live.canceling) {
			// It was not the command's idea, nor a client's wish.
			c.state, c.detail, c.exit = controlproto.Failed, u.live.broken, nil
		}
	}
	next, moved := u.rec.step(c)
	if !moved || u.removed {
		return false
	}
	u.rec = next
	if also != nil {
		also()
	}
	u.touchLocked()
	return true
}

// touchLocked notes that the record is to be saved, and wakes who follows it.
func (u *unit) touchLocked() {
	u.seq++
	u.moves++
	u.wakeLocked()
}

// wakeLocked wakes who waits for news of the unit.
func (u *unit) wakeLocked() {
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// newsLocked returns a channel that is closed at the unit's next change or, for
// a remote unit, when output arrives.
func (u *unit) newsLocked() <-chan struct{} {
	if u.changed == nil {
		u.changed = make(chan struct{})
	}
	return u.changed
}

// grew tells how much output of a remote unit is here.
func (u *unit) grew(size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l := u.live; l != nil && l.stuck.output != nil && (size > u.size || l.stuck.output.opening) {
		l.stuck.output = nil
	}
	u.size = size
	if !u.rec.State.Ended() {
		u.rec.StdoutSize = max(u.rec.StdoutSize, size)
	}
	u.wakeLocked()
}

// forDisk is the record as it is to be written.
func (u *unit) forDiskLocked() record {
	r := u.rec
	if u.far != nil {
		r.ExtraData = u.far.encode()
	}
	return r
}

// save writes the unit's newest record, unless it is on disk.
func (u *unit) save(s *store) error {
	_, err := u.saveNewer(s)
	return err
}

// saveNewer is save, and tells whether there was something to write.
func (u *unit) saveNewer(s *store) (wrote bool, err error) {
	u.saveMu.Lock()
	defer u.saveMu.Unlock()
	u.mu.Lock()
	r, seq, removed, broken := u.forDiskLocked(), u.seq, u.removed, u.kind == foreign
	u.mu.Unlock()
	if removed || broken || seq == u.saved {
		return false, nil
	}
	if err := s.save(u.id, r); err != nil {
		return false, err
	}
	u.saved = seq
	return true, nil
}

// status is the unit as clients see it.
func (m *Manager) status(u *unit) controlproto.UnitStatus {
	u.mu.Lock()
	r, extra, grows, queued := u.rec, u.extraLocked(), u.growsLocked(), u.queuedLocked()
	r.Detail += u.remarkLocked()
	u.mu.Unlock()
	if grows {
		r.StdoutSize = m.store.size(u.id, fileStdout)
		if r.StderrSize != nil {
			size := m.store.size(u.id, fileStderr)
			r.StderrSize = &size
		}
	}
	if queued {
		if text := m.queue.text(u, m.types.Load()); text != "" {
			r.Detail = text
		}
	}
	return r.view(extra)
}

// growsLocked tells that a command may be writing to stdout.
func (u *unit) growsLocked() bool {
	return u.kind == command && u.rec.State == controlproto.Running
}

// queuedLocked tells that the unit may wait for others of its work type.
func (u *unit) queuedLocked() bool {
	return u.kind == command && u.accepted && u.rec.State == controlproto.Pending && u.live != nil && !u.live.launching
}

// receiptLocked is the unit's receipt as of now; payload is the size of a
// complete one.
func (u *unit) receiptLocked(accepted bool, payload int64) receipt {
	r := receipt{
		Node: u.from, Chosen: u.chosen, Accepted: accepted, Payload: payload, Stream: u.stream, Status: u.forDiskLocked(),
	}
	if l := u.live; l != nil {
		r.RemoteID, r.Order, r.Stderr, r.Broken = l.remoteID, l.order, l.stderr, l.broken
	}
	if u.stream {
		r.Payload = 0
	}
	return r
}

func (u *unit) extraLocked() json.RawMessage {
	switch {
	case u.far != nil:
		return u.far.shown()
	case u.kind == foreign:
		return json.RawMessage(`"Unknown WorkType"`)
	}
	return u.rec.ExtraData
}

func (u *unit) ended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rec.State.Ended()
}
