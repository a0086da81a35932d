package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// Submission is a unit that takes its payload. It is for one goroutine, which
// ends it with Start or Abort.
//
// Usually the payload comes first:
//
//	Create, Write ..., Start | Abort
//
// A streamed one (Streams) is accepted and started at once, and its command
// reads the payload while it comes:
//
//	Create, Begin, Write ..., Start | Abort
//
// What Write takes after the command has ended by itself is thrown away: the
// command did not want it.
type Submission struct {
	m        *Manager
	u        *unit
	file     *os.File // stdin; nil if all of the payload was here before
	received int64
	size     int64
	again    bool // nothing of the payload is missing, or wanted
	begun    bool // of a streamed unit: it is accepted, or being accepted, and takes the rest of its payload

	from   Origin
	signed *sign.Work // what its signature binds it to; nil: nothing
	seal   string     // signature that came with the end of the payload
}

// errEnough says that a streamed unit has ended, and wants nothing more.
var errEnough = errors.New("the unit has ended")

// repeat goes on with a unit that its submitter has made before.
func (m *Manager) repeat(u *unit, s controlproto.Submit, from Origin, signed *sign.Work) (*Submission, error) {
	if _, err := m.plan(s); err != nil {
		return nil, err
	}
	u.stdinMu.Lock() // what another submission is writing is counted
	defer u.stdinMu.Unlock()
	u.mu.Lock()
	same := u.chosen && u.from == from.Node && (u.far == nil && u.rec.WorkType == s.WorkType ||
		u.far != nil && u.far.RemoteNode == s.Node && u.far.RemoteWorkType == s.WorkType)
	accepted := u.accepted || u.live != nil && u.live.accepting
	sub := &Submission{m: m, u: u, from: from, signed: signed, begun: u.stream && accepted}
	sub.again = u.rec.State.Ended() || accepted && (!u.stream || u.payloadEnded) || u.live != nil && u.live.broken != ""
	if same && !sub.again && !u.removed {
		u.live.sub = sub
	}
	u.mu.Unlock()
	if !same {
		return nil, controlproto.New(controlproto.Exists, "work unit "+u.id+" exists already")
	}
	if sub.again {
		sub.received = m.store.size(u.id, fileStdin)
		return sub, nil
	}
	if err := sub.open(); err != nil {
		return nil, m.diskError("open the unit's payload", err)
	}
	return sub, nil
}

// open opens the payload's file, at its end.
func (s *Submission) open() error {
	if err := plain(s.m.store.path(s.u.id, fileStdin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(s.m.store.path(s.u.id, fileStdin), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the unit's stdin: %w", err)
	}
	if err := s.m.store.step("create", f.Name()); err != nil {
		f.Close()
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open the unit's stdin: %w", err)
	}
	s.file, s.received, s.size = f, info.Size(), info.Size()
	return nil
}

// ID is the id of the unit.
func (s *Submission) ID() string { return s.u.id }

// Received is how much of the payload was here when the Submission was made: not
// 0 only if it repeats another one.
func (s *Submission) Received() int64 { return s.received }

// Streams tells that the command reads the payload while it comes. Begin is then
// to be called before the submitter is told of the unit.
func (s *Submission) Streams() bool { return s.u.stream }

// current tells why the payload is not taken any more, if so.
func (s *Submission) current() error {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	return s.currentLocked()
}

func (s *Submission) currentLocked() error {
	canceled := s.u.rec.State == controlproto.StateCanceled || s.u.rec.Detail == detailLocally ||
		s.u.live != nil && (s.u.live.canceling || s.u.stream && s.u.far != nil && s.u.far.LocalCancelled && s.u.live.broken == "")
	switch {
	case s.u.removed:
		return controlproto.New(controlproto.NotFound, "unknown work unit "+s.u.id)
	case canceled:
		return controlproto.New(controlproto.Canceled, "work unit "+s.u.id+" was cancelled")
	case s.begun && s.u.rec.State == controlproto.Failed && s.u.far != nil && !s.u.far.RemoteStarted:
		if s.u.far.refusal != nil {
			return s.u.far.refusal
		}
		return controlproto.New(controlproto.Internal, strings.TrimPrefix(s.u.rec.Detail, "Error starting worker: "))
	case s.begun && s.u.rec.State.Ended():
		return errEnough
	case s.u.rec.State.Ended() || s.u.live.sub != s:
		return controlproto.New(controlproto.Busy, "work unit "+s.u.id+" is submitted on another connection")
	}
	return nil
}

// Write takes a part of the payload. It fails once the unit was cancelled or
// released, or the submission was repeated on another connection. If this node
// cannot store the payload the unit has Failed, and the error is an *Error of
// code Internal whose text begins with `store the payload: `.
func (s *Submission) Write(p []byte) (int, error) {
	if s.again {
		return len(p), nil // it is here, or nobody wants it
	}
	s.u.stdinMu.Lock()
	defer s.u.stdinMu.Unlock()
	if err := s.current(); err == errEnough {
		return len(p), nil
	} else if err != nil {
		return 0, err
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	if err == nil {
		err = s.m.store.step("write", s.file.Name())
	}
	if err != nil {
		return n, s.unstored(err)
	}
	s.grew(false)
	return n, nil
}

// grew notes how much of a streamed payload is here, and wakes who hands it on.
func (s *Submission) grew(ended bool) {
	if !s.u.stream {
		return
	}
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.payloadSize, s.u.payloadEnded = s.size, ended
	if s.u.kind == remote || ended {
		s.u.wakeLocked()
	}
}

// unstored fails the unit because this node could not store its payload; the
// result is what the submitter is told. u.stdinMu is held.
func (s *Submission) unstored(err error) error {
	if errors.Is(err, errStopped) {
		return err
	}
	e := s.m.diskError("store the payload", err)
	s.m.c.Logger.Error("payload of a unit could not be stored", "unit", s.u.id, "err", err)
	s.m.payloadBroke(s.u, "Error reading input data: "+e.Message)
	if !s.begun {
		s.file.Truncate(0) // nobody will read it, and the disk is full
	}
	return e
}

// Abort says that the payload broke off. The unit becomes Failed, and a command
// that reads it already is stopped; unless the unit's id was chosen by its
// submitter, who may come back and go on.
func (s *Submission) Abort(cause error) {
	if s.file != nil {
		s.file.Close()
	}
	if s.again || s.current() != nil {
		return
	}
	s.u.mu.Lock()
	if s.u.live != nil && s.u.live.sub == s {
		s.u.live.sub = nil
	}
	s.u.mu.Unlock()
	if !s.u.chosen {
		s.m.payloadBroke(s.u, "Error reading input data: "+cause.Error())
	}
}

// payloadBroke ends a unit whose payload will never be complete; detail is what
// it ends with.
func (m *Manager) payloadBroke(u *unit, detail string) {
	u.mu.Lock()
	if u.live == nil || u.rec.State.Ended() || u.removed || u.live.broken != "" {
		u.mu.Unlock()
		return
	}
	u.live.sub = nil
	begun := u.stream && (u.accepted || u.live.accepting)
	if begun {
		u.live.broken = detail
	}
	r := u.receiptLocked(true, 0)
	moved, stop := false, false
	switch {
	case u.kind == remote && begun && u.live.driven:
		m.breakRemoteLocked(u)
	case u.kind == command && u.live.launching:
		stop = true
	default:
		moved = u.moveLocked(failed(detail), u.endCommandLocked)
	}
	interrupt := func() {}
	if u.live != nil && u.live.interrupt != nil && begun {
		interrupt = u.live.interrupt
	}
	u.mu.Unlock()
	if begun { // a daemon that is restarted now knows it
		u.saveMu.Lock()
		if err := m.store.saveReceipt(u.id, r); err != nil {
			m.c.Logger.Warn("the end of a unit's payload could not be noted on disk", "unit", u.id, "err", err)
		}
		u.saveMu.Unlock()
	}
	if moved {
		m.moved(u)
	}
	interrupt()
	if stop {
		m.goes(func() { m.stopCommand(u) }) // ends when the signal was sent
	}
}

// breakRemoteLocked has the other node stop a unit whose payload broke off here. The driver does it.
func (m *Manager) breakRemoteLocked(u *unit) {
	if !u.far.RemoteStarted { // the driver releases what may have come into being
		u.moveLocked(failed(u.live.broken), nil)
	}
	u.far.LocalCancelled = true
	u.touchLocked()
	m.keep.laterLocked(u)
	poke(u.live.kick)
}

// endCommandLocked drops what a command unit that has ended does not need.
func (u *unit) endCommandLocked() {
	if u.kind == command {
		u.rec.ExtraData, u.live = nil, nil
	}
}

// Refusal is why a unit that was accepted was never started; nil if that is not
// so, as far as it is known.
func (s *Submission) Refusal() error {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	if s.u.far == nil || s.u.far.refusal == nil {
		return nil
	}
	return s.u.far.refusal
}

// Begin accepts a streamed unit and starts it, or has it started when its turn
// comes. When it returns without an error the unit would survive a power cut,
// though not the payload that follows. A repeated submission goes on with what
// the first one has begun. Errors are those of Start. Of other units Begin does
// nothing.
func (s *Submission) Begin(ctx context.Context) error {
	if !s.u.stream || s.again {
		return nil
	}
	whole := context.WithoutCancel(ctx) // half an acceptance is none
	if err := s.m.up(whole); err != nil {
		s.Abort(err)
		return err
	}
	if s.begun {
		_, err := s.m.startedBefore(ctx, s.u)
		return err
	}
	if err := s.accept(whole); err != nil {
		return err
	}
	s.begun = true
	if s.u.kind == command {
		s.m.admit(s.u)
		return nil
	}
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	if s.u.live != nil {
		s.m.driveLocked(s.u) // if it is too late for that the next daemon does it
	}
	return nil
}

// Start says that the payload is complete. When it returns without an error the
// unit would survive a power cut, and it was started, waits for its turn, was handed on, or is kept to be
// handed on when its node can be reached. An error has the text of spec
// control-protocol 7.2, step 4; the unit is then Failed or Canceled. ctx bounds
// the wait only: an accepted unit is started all the same.
func (s *Submission) Start(ctx context.Context) (controlproto.Submitted, error) {
	done := controlproto.Submitted{UnitID: s.u.id}
	whole := context.WithoutCancel(ctx) // half an acceptance is none
	if err := s.m.up(whole); err != nil {
		s.Abort(err)
		return done, err
	}
	var err error
	if s.u.stream && !s.again {
		if err = s.Begin(ctx); err == nil {
			err = s.finish(whole)
		}
		if err != nil {
			return done, err
		}
	}
	if s.again || s.u.stream {
		if s.u.kind == remote && !s.again {
			done.Result, err = s.m.handOn(ctx, s.u)
		} else {
			done.Result, err = s.m.startedBefore(ctx, s.u)
		}
		return done, err
	}
	if err := s.accept(whole); err != nil {
		return done, err
	}
	switch s.u.kind {
	case remote:
		done.Result, err = s.m.handOn(ctx, s.u)
	default:
		s.m.admit(s.u)
		done.Result = controlproto.JobStarted
	}
	return done, err
}

// finish notes on disk that a streamed payload is complete.
func (s *Submission) finish(ctx context.Context) error {
	s.u.stdinMu.Lock()
	defer s.u.stdinMu.Unlock()
	defer s.file.Close()
	if err := s.current(); err == errEnough {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.checkPayload(); err != nil {
		if err == errOtherPayload { // else its submitter may repeat it
			s.m.payloadBroke(s.u, "Error reading input data: "+err.Error())
		}
		return err
	}
	switch err := s.m.endPayload(ctx, s.u.id, s.size); {
	case err == errOver:
		return err
	case err != nil:
		return s.unstored(err)
	}
	s.grew(true)
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	if s.u.live != nil {
		s.u.live.sub = nil
	}
	return nil
}

// endPayload makes a streamed payload durable, and then its end: who sees that
// can rely on all of it.
func (m *Manager) endPayload(ctx context.Context, id string, size int64) error {
	path := m.store.path(id, fileEnd)
	beside := "." + fileEnd
	if err := m.store.write(m.store.path(id, beside), fmt.Appendf(nil, "%d\n", size)); err != nil {
		return err
	}
	if err := m.durable(ctx, id, fileStdin, beside); err != nil {
		return err
	}
	if err := os.Rename(m.store.path(id, beside), path); err != nil {
		return err
	}
	if err := m.store.step("rename", path); err != nil {
		return err
	}
	return m.durable(ctx, id, fileEnd)
}

// durable waits until files of a unit would survive a power cut, unless the
// configuration does not want that.
func (m *Manager) durable(ctx context.Context, id string, files ...string) error {
	if m.c.Unsynced {
		return nil
	}
	return m.store.sync.unit(ctx, id, files...)
}

// accept makes the submission durable.
func (s *Submission) accept(ctx context.Context) error {
	if !s.u.stream {
		if err := s.file.Close(); err != nil {
			return s.refuse(err)
		}
		if err := s.checkWhole(); err != nil {
			return err
		}
	}
	s.u.mu.Lock()
	err := s.currentLocked()
	var r receipt
	if err == nil {
		s.u.moveLocked(starting(), nil)
		s.u.live.accepting, s.u.live.from = true, s.u.seq
		if !s.u.stream {
			s.u.live.sub = nil
		}
		if s.u.kind == command {
			s.u.live.order = s.m.queue.number()
		}
		r = s.u.receiptLocked(true, s.size)
	}
	s.u.mu.Unlock()
	if err != nil {
		return err
	}
	s.u.saveMu.Lock()
	err = s.m.store.saveReceipt(s.u.id, r)
	s.u.saveMu.Unlock()
	if err == nil {
		files := []string{fileStdin, fileReceipt}
		if s.size == 0 {
			files = files[1:]
		}
		err = s.m.durable(ctx, s.u.id, files...)
	}
	if err == errOver && s.u.chosen {
		return err // its submitter repeats it, and the next daemon finds the receipt or takes it anew
	}
	if err != nil {
		return s.refuse(err)
	}
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.accepted = true
	s.u.payloadSize = s.size
	s.u.wakeLocked() // who repeated the submission meanwhile
	switch {
	case s.u.removed:
		return controlproto.New(controlproto.NotFound, "unknown work unit "+s.u.id)
	case s.u.rec.State.Ended():
		return controlproto.New(controlproto.Canceled, "work unit "+s.u.id+" was cancelled")
	}
	return nil
}

// refuse fails a unit that could not be stored.
func (s *Submission) refuse(err error) error {
	e := s.m.diskError("", err)
	if err == errOver {
		e = errOver
	}
	if denied, ok := errors.AsType[*controlproto.Error](err); ok {
		e = denied
	}
	if !errors.Is(err, errStopped) {
		s.u.mu.Lock()
		r := s.u.receiptLocked(false, 0)
		s.u.mu.Unlock()
		s.u.saveMu.Lock()
		s.m.store.voidReceipt(s.u.id)
		if s.u.chosen { // its submitter may ask again, after a restart of this daemon too
			if err := s.m.store.saveReceipt(s.u.id, r); err != nil {
				s.m.c.Logger.Warn("the submitter of a refused unit could not be noted on disk", "unit", s.u.id, "err", err)
			}
		}
		s.u.saveMu.Unlock()
	}
	if s.u.move(failed("Error starting worker: "+e.Message), s.u.endCommandLocked) {
		s.m.moved(s.u)
	}
	return e
}

// startedBefore is the answer to a repeated submission of an accepted unit.
func (m *Manager) startedBefore(ctx context.Context, u *unit) (string, error) {
	for {
		u.mu.Lock()
		r, accepted, news := u.rec, u.accepted, u.newsLocked()
		started := u.far == nil || u.far.RemoteStarted
		var refusal *controlproto.Error
		if u.far != nil {
			refusal = u.far.refusal
		}
		u.mu.Unlock()
		switch {
		case refusal != nil:
			return "", refusal
		case r.State == controlproto.StateCanceled:
			return "", controlproto.New(controlproto.Canceled, "work unit "+u.id+" was cancelled")
		case r.State != controlproto.Pending, accepted && started:
			return controlproto.JobStarted, nil
		case accepted:
			return controlproto.JobSubmitted, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-m.over:
			return "", errOver
		}
	}
}
