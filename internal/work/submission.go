package work

import (
	"context"
	"fmt"
	"os"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Submission is a unit that takes its payload. It is for one goroutine, which
// ends it with Start or Abort.
type Submission struct {
	m        *Manager
	u        *unit
	file     *os.File // stdin; nil if the unit was accepted before
	received int64
	size     int64
	again    bool // the unit was accepted by an earlier submission
}

// repeat goes on with a unit that its submitter has made before.
func (m *Manager) repeat(u *unit, s controlproto.Submit, from Origin) (*Submission, error) {
	if _, err := m.plan(s, from); err != nil {
		return nil, err
	}
	u.stdinMu.Lock() // what another submission is writing is counted
	defer u.stdinMu.Unlock()
	u.mu.Lock()
	same := u.chosen && u.from == from.Node && (u.far == nil && u.rec.WorkType == s.WorkType ||
		u.far != nil && u.far.RemoteNode == s.Node && u.far.RemoteWorkType == s.WorkType)
	sub := &Submission{m: m, u: u, again: u.accepted || u.rec.State.Ended() || u.live != nil && u.live.accepting}
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
		return nil, controlproto.New(controlproto.Internal, err.Error())
	}
	return sub, nil
}

// open opens the payload's file, at its end.
func (s *Submission) open() error {
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

// receipt is the unit's receipt as of its acceptance.
func (s *Submission) receipt() receipt {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	r := receipt{
		Node: s.u.from, Chosen: s.u.chosen, Accepted: true, Payload: s.size, Status: s.u.forDiskLocked(),
	}
	if s.u.live != nil {
		r.RemoteID = s.u.live.remoteID
	}
	return r
}

// ID is the id of the unit.
func (s *Submission) ID() string { return s.u.id }

// Received is how much of the payload was here when the Submission was made: not
// 0 only if it repeats another one.
func (s *Submission) Received() int64 { return s.received }

// current tells why the payload is not taken any more, if so.
func (s *Submission) current() error {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	return s.currentLocked()
}

func (s *Submission) currentLocked() error {
	switch {
	case s.u.removed:
		return controlproto.New(controlproto.NotFound, "unknown work unit "+s.u.id)
	case s.u.rec.State == controlproto.StateCanceled || s.u.rec.Detail == detailLocally:
		return controlproto.New(controlproto.Canceled, "work unit "+s.u.id+" was cancelled")
	case s.u.rec.State.Ended() || s.u.live.sub != s:
		return controlproto.New(controlproto.Busy, "work unit "+s.u.id+" is submitted on another connection")
	}
	return nil
}

// Write takes a part of the payload. It fails once the unit was cancelled or
// released, or the submission was repeated on another connection.
func (s *Submission) Write(p []byte) (int, error) {
	if s.again {
		return len(p), nil // it is here
	}
	s.u.stdinMu.Lock()
	defer s.u.stdinMu.Unlock()
	if err := s.current(); err != nil {
		return 0, err
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("store the payload: %w", err)
	}
	return n, s.m.store.step("write", s.file.Name())
}

// Abort says that the payload broke off. The unit becomes Failed, unless its id
// was chosen by its submitter, who may come back and go on.
func (s *Submission) Abort(cause error) {
	if s.again {
		return
	}
	s.file.Close()
	if s.current() != nil {
		return
	}
	s.u.mu.Lock()
	if s.u.live != nil && s.u.live.sub == s {
		s.u.live.sub = nil
	}
	moved := !s.u.chosen && s.u.moveLocked(failed("Error reading input data: "+cause.Error()), nil)
	s.u.mu.Unlock()
	if moved {
		s.m.moved(s.u)
	}
}

// Start says that the payload is complete. When it returns without an error the
// unit would survive a power cut, and it was started, handed on, or is kept to be
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
	if s.again {
		var err error
		done.Result, err = s.m.startedBefore(ctx, s.u)
		return done, err
	}
	if err := s.accept(whole); err != nil {
		return done, err
	}
	var err error
	switch s.u.kind {
	case remote:
		done.Result, err = s.m.handOn(ctx, s.u)
	default:
		s.m.launch(s.u)
		done.Result = controlproto.JobStarted
	}
	return done, err
}

// accept makes the submission durable.
func (s *Submission) accept(ctx context.Context) error {
	if err := s.file.Close(); err != nil {
		return s.refuse(err)
	}
	s.u.mu.Lock()
	err := s.currentLocked()
	if err == nil {
		s.u.moveLocked(starting(), nil)
		s.u.live.sub, s.u.live.accepting, s.u.live.from = nil, true, s.u.seq
	}
	s.u.mu.Unlock()
	if err != nil {
		return err
	}
	s.u.saveMu.Lock()
	err = s.m.store.saveReceipt(s.u.id, s.receipt())
	s.u.saveMu.Unlock()
	if err == nil {
		files := []string{fileStdin, fileReceipt}
		if s.size == 0 {
			files = files[1:]
		}
		err = s.m.store.sync.unit(ctx, s.u.id, files...)
	}
	if err != nil {
		return s.refuse(err)
	}
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.accepted = true
	s.u.wakeLocked() // who repeated the submission meanwhile
	switch {
	case s.u.removed:
		return controlproto.New(controlproto.NotFound, "unknown work unit "+s.u.id)
	case s.u.rec.State.Ended():
		return controlproto.New(controlproto.Canceled, "work unit "+s.u.id+" was cancelled")
	}
	s.u.live.launching = true
	return nil
}

// refuse fails a unit that could not be stored.
func (s *Submission) refuse(err error) error {
	if s.u.move(failed("Error starting worker: "+err.Error()), nil) {
		s.m.moved(s.u)
	}
	return controlproto.New(controlproto.Internal, err.Error())
}

// startedBefore is the answer to a repeated submission of an accepted unit.
func (m *Manager) startedBefore(ctx context.Context, u *unit) (string, error) {
	for {
		u.mu.Lock()
		r, accepted, news := u.rec, u.accepted, u.newsLocked()
		started := u.far == nil || u.far.RemoteStarted
		u.mu.Unlock()
		switch {
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
