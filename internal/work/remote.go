package work

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// A remote unit is driven by one goroutine, which is the only one that talks to
// the other node about it. It looks at the record, does one thing (remotePlan
// says which), and looks again; a connection that fails costs a pause. What
// clients ask for is noted in the record first (LocalCancelled, LocalReleased),
// so it survives a restart, and the driver is interrupted to look at it.

// errInterrupted ends what the driver is doing because there is something else
// to do.
var errInterrupted = errors.New("interrupted")

// answer is what became of something a client asked for.
type answer struct {
	result  string // of a submission
	pending bool
	err     error
}

// errand is one thing to do about a remote unit.
type errand int

const (
	errandNone    errand = iota // nothing is left to do
	errandSubmit                // hand the unit on
	errandWatch                 // mirror its state and output
	errandCancel                // have it cancelled
	errandRelease               // have it released, then drop it here
	errandDisown                // have a unit released that may have come into being although the submission failed here
)

// remotePlan is what is to be done next. u.mu is held.
func (u *unit) remotePlanLocked() errand {
	x, ended := u.far, u.rec.State.Ended()
	known := x.RemoteUnitID != ""
	switch {
	case u.removed && known && u.live != nil && time.Now().Before(u.live.parting):
		return errandRelease
	case u.removed:
		return errandNone
	case x.LocalReleased && known:
		return errandRelease
	case ended && !x.RemoteStarted && known:
		return errandDisown
	case !x.RemoteStarted && !ended:
		return errandSubmit
	case !x.RemoteStarted:
		return errandNone
	case x.LocalCancelled && !ended && !u.live.cancelTold:
		return errandCancel
	case !ended || !u.mirroredLocked():
		return errandWatch
	}
	return errandNone
}

// owes tells that a remote unit that has ended has still to be driven.
func (m *Manager) owes(u *unit) bool {
	u.live = &live{cancelTold: true}
	e := u.remotePlanLocked()
	u.live = nil
	return e == errandRelease || e == errandWatch || e == errandDisown && u.accepted
}

// handOn hands an accepted unit to its node: one attempt, whose outcome is the
// answer; further ones follow in the background.
func (m *Manager) handOn(ctx context.Context, u *unit) (string, error) {
	done := make(chan answer, 1)
	u.mu.Lock()
	switch {
	case u.far.refusal != nil: // while its payload was still coming
		defer u.mu.Unlock()
		return "", u.far.refusal
	case u.far.RemoteStarted: // likewise
		u.mu.Unlock()
		return controlproto.JobStarted, nil
	case u.live == nil: // cancelled meanwhile
		u.mu.Unlock()
		return "", controlproto.New(controlproto.Canceled, "work unit "+u.id+" was cancelled")
	}
	u.live.first = done
	if u.live.driven { // a streamed one; it may be resting from an attempt that failed
		poke(u.live.kick)
	}
	ok := m.driveLocked(u)
	u.mu.Unlock()
	if !ok {
		return controlproto.JobSubmitted, nil // the next daemon does it
	}
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
	case <-m.over:
	}
	u.mu.Lock()
	if u.live != nil && u.live.first == done {
		u.live.first = nil // a refusal that comes now is a late one
	}
	u.mu.Unlock()
	select {
	case a := <-done: // just now
		return a.result, a.err
	default:
		return controlproto.JobSubmitted, nil
	}
}

// driveLocked starts the goroutine of a remote unit unless there is one.
func (m *Manager) driveLocked(u *unit) bool {
	if u.live == nil {
		u.live = &live{cancelTold: u.rec.State.Ended()}
	}
	if u.live.driven {
		return true
	}
	u.live.kick = make(chan struct{}, 1)
	// Ends when nothing is left to do about the unit, or with Run.
	u.live.driven = m.goes(func() { (&driver{m: m, u: u, pause: newBackoff()}).run() })
	return u.live.driven
}

// resumeRemote takes up a remote unit after a restart (spec work 7.8). Unlike
// with the original, one that waited for its node still does.
func (m *Manager) resumeRemote(u *unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live == nil { // cancelled a moment ago
		return
	}
	x := u.far
	u.live.heard.never = true
	if !u.rec.State.Ended() && !u.accepted && !x.RemoteStarted {
		switch {
		case u.rec.Detail == detailStarting && x.RemoteUnitID == "": // of the original, its payload complete
		case u.chosen:
			return // its submitter may come back
		default:
			u.moveLocked(failed(detailNotBefore), nil)
			u.live = nil
			m.keep.laterLocked(u)
			return
		}
	}
	if u.live.remoteID == "" {
		u.live.remoteID = newID()
	}
	u.live.resumed = true
	m.driveLocked(u)
}

// driver drives one remote unit.
type driver struct {
	m       *Manager
	u       *unit
	pause   *backoff
	conn    *farConn    // left open by a submission for the watch that follows
	feed    *feed       // payload of a streamed unit under way
	fed     bool        // all of it is there, or nobody wants it
	short   int         // how often the output came short
	payload string      // digest of the payload, once it was needed
	met     atomic.Bool // the node answered in the course of the errand

	late *controlproto.Error // why the unit was never started, if the answer to its submission has not said so
}

func (d *driver) run() {
	defer d.hangUp()
	for {
		e, ctx, done := d.next()
		d.reportLate()
		if e == errandNone {
			return
		}
		began := time.Now()
		d.met.Store(false)
		err := d.do(ctx, e)
		cause := context.Cause(ctx)
		done()
		d.m.keep.later(d.u)
		if err != nil && (errors.Is(cause, errInterrupted) || err == errInterrupted) {
			d.hangUp()
			d.pause.reset()
			continue
		}
		if err == nil {
			d.served()
		}
		d.answer(e, err)
		if d.m.ctx.Err() != nil {
			d.reportLate()
			return
		}
		if _, refused := errors.AsType[*refusedError](err); err == nil || refused && e != errandDisown {
			d.pause.reset()
			continue
		}
		d.hangUp()
		if !d.rest(e, began, err) {
			return
		}
	}
}

// next decides what to do, and makes it interruptible. When there is nothing
// left, the unit is no longer driven.
func (d *driver) next() (errand, context.Context, func()) {
	u := d.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.far.LocalCancelled && !u.far.RemoteStarted {
		u.moveLocked(change{state: controlproto.Failed, detail: detailLocally, size: keepSize}, nil)
	}
	e := u.remotePlanLocked()
	if e == errandSubmit && d.expired() {
		text := "Work unit expired on " + u.far.Expiration.Local().Format("Mon Jan 2 15:04:05")
		d.unstartedLocked(text, controlproto.New(controlproto.Timeout, text))
		e = u.remotePlanLocked()
	}
	if e == errandNone {
		d.answerAllLocked(answer{})
		released := u.far.LocalReleased && !u.removed
		u.live = nil
		d.m.keep.laterLocked(u)
		u.wakeLocked()
		if released { // the other node never knew it
			d.m.goes(func() { d.m.dropLogged(u) })
		}
		return e, nil, nil
	}
	ctx, cancel := context.WithCancelCause(d.m.ctx)
	done := func() { cancel(nil) }
	if e == errandSubmit && !u.far.Expiration.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, u.far.Expiration)
		done = func() { stop(); cancel(nil) }
	}
	u.live.interrupt = func() { cancel(errInterrupted) }
	return e, ctx, done
}

func (d *driver) expired() bool {
	return !d.u.far.Expiration.IsZero() && !time.Now().Before(d.u.far.Expiration)
}

// do runs one errand.
func (d *driver) do(ctx context.Context, e errand) error {
	switch e {
	case errandSubmit:
		return d.submit(ctx)
	case errandWatch:
		return d.watch(ctx)
	case errandCancel:
		return d.tell(ctx, "cancel")
	default:
		return d.tell(ctx, "release")
	}
}

// rest pauses after a failure. A connection that had held for a while is first
// replaced at once. It is false when Run ends.
func (d *driver) rest(e errand, began time.Time, err error) bool {
	node := d.u.far.RemoteNode
	d.u.mu.Lock()
	kick := d.u.live.kick
	stuck, isStuck := errors.AsType[*storeError](err)
	if isStuck {
		d.noteStuckLocked(stuck)
	} else {
		d.noteSilenceLocked(e, err, time.Now())
	}
	d.u.mu.Unlock()
	if isStuck {
		defer d.pause.limit(lastStorePause)
	} else if e == errandWatch && time.Since(began) > firstPause {
		d.pause.reset()
		return d.m.ctx.Err() == nil
	}
	if _, mute := errors.AsType[*signError](err); !d.met.Load() && !isStuck && !mute { // else it is not the node's silence that this waits out
		defer d.m.peers.wait(node, kick)()
	}
	return d.pause.until(d.m.ctx, kick, d.deadline(e))
}

// deadline is when a pause has to end for the unit's time to live.
func (d *driver) deadline(e errand) time.Time {
	if e != errandSubmit {
		return time.Time{}
	}
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	return d.u.far.Expiration
}

// noteSilenceLocked notes since when the node cannot be reached, and what is
// special about TLS (spec work 7.3).
func (d *driver) noteSilenceLocked(e errand, err error, since time.Time) {
	l := d.u.live
	if l == nil {
		return
	}
	refusal, answered := errors.AsType[*controlproto.Error](err)
	answered = answered && refusal.Code != controlproto.Unreachable // it is just being stopped
	if refused, ok := errors.AsType[*refusedError](err); ok {
		refusal, answered = refused.err, true
	}
	_, mute := errors.AsType[*signError](err)
	if mute {
		refusal, answered = controlproto.New(controlproto.Denied, err.Error()), true
	}
	if l.heard.since.IsZero() || answered != l.heard.refuses || mute != l.heard.mute {
		l.heard.since = since
		text := "remote unit has no connection"
		switch {
		case mute:
			text = "requests about a remote unit cannot be signed, trying again"
		case answered:
			text = "the other node refuses, trying again"
		}
		d.m.c.Logger.Warn(text, "unit", d.u.id, "node", d.u.far.RemoteNode, "err", err)
	}
	l.heard.node, l.heard.why = d.u.far.RemoteNode, err.Error()
	l.heard.mute = mute
	if l.heard.refuses = answered; answered {
		l.heard.why = refusal.Message
	}
	l.heard.why = controlproto.Clip(l.heard.why, maxRemark)
	if !strings.Contains(err.Error(), "CRYPTO_ERROR") {
		return
	}
	text := "TLS error connecting to remote service: " + err.Error()
	if e == errandSubmit {
		d.unstartedLocked(text, controlproto.New(controlproto.Denied, text))
		return
	}
	d.u.moveLocked(change{state: d.u.rec.State, detail: text, size: keepSize}, nil)
}

// heard notes that the node answers.
func (d *driver) heard() {
	d.met.Store(true)
	d.u.mu.Lock()
	if d.u.live == nil {
		d.u.mu.Unlock()
		return
	}
	d.u.live.sign = time.Now()
	was := d.u.live.heard
	if was.refuses { // an answer, but not yet what is wanted; see served
		d.u.mu.Unlock()
		return
	}
	d.u.live.heard = silence{}
	node := d.u.far.RemoteNode
	d.u.mu.Unlock()
	if !was.since.IsZero() {
		d.m.c.Logger.Info("remote unit has a connection again", "unit", d.u.id, "node", node, "delay", time.Since(was.since))
	}
	d.m.peers.reached(node)
}

// served notes that the node does what it is asked.
func (d *driver) served() {
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	if d.u.live != nil && d.u.live.heard.refuses {
		d.u.live.heard = silence{}
	}
}

func (d *driver) hangUp() {
	if d.feed != nil {
		d.feed.halt()
		d.feed = nil
	}
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
}

// lastStorePause is the longest pause before something that could not be stored
// is tried again: a disk has room again without telling.
const lastStorePause = 10 * time.Second

// noteStuckLocked notes that something of the unit cannot be stored here.
func (d *driver) noteStuckLocked(e *storeError) {
	l := d.u.live
	if l == nil {
		return
	}
	to := &l.stuck.output
	if e.what == "status" {
		to = &l.stuck.status
	}
	if *to == nil {
		d.m.c.Logger.Error("unit waits for room on the disk of this node, trying again", "unit", d.u.id, "err", e)
	}
	if *to == nil || (*to).Error() != e.Error() {
		d.u.moves++
		d.u.wakeLocked()
	}
	*to = e
}
