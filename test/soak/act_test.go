//go:build soak && unix

package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// again is the pause before a daemon that does not answer is asked again.
const again = 200 * time.Millisecond

// session calls do with a session of the node until it returns no error, or the
// daemon's refusal; lost sessions, and those of a daemon that is being stopped, are
// opened again. It ends with ctx at the latest.
func (s *soak) session(ctx context.Context, node string, do func(context.Context, *rig.Session) error) error {
	for {
		err := s.try(ctx, node, do)
		if err == nil || errors.As(err, new(*controlproto.Error)) && controlproto.CodeOf(err) != controlproto.Unreachable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(again):
		}
	}
}

// try is one attempt of session.
func (s *soak) try(ctx context.Context, node string, do func(context.Context, *rig.Session) error) error {
	c, err := rig.Open(ctx, s.m.nodes[node].Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c)
}

// live submits a unit and does to it what its plan says.
func (s *soak) live(ctx context.Context, u *unit) {
	begun := make(chan struct{})
	if u.plan.early && u.chosen {
		s.actors.Go(func() { s.later(ctx, u, u.plan.cancel, "cancel") }) // ends with its one request, or ctx
	}
	var submitting sync.WaitGroup
	submitting.Go(func() { s.submit(ctx, u, begun) }) // ends with the payload, or ctx
	defer submitting.Wait()
	if u.stream {
		select {
		case <-begun:
		case <-ctx.Done():
		}
	} else {
		submitting.Wait()
	}
	if !u.isAccepted() {
		return
	}
	if u.plan.follow {
		s.actors.Go(func() { s.follow(ctx, u) }) // ends with the unit, or ctx
	}
	if u.plan.adopter != "" {
		s.actors.Go(func() { s.adopt(ctx, u) }) // ends with its one request, or ctx
	}
	switch p := u.plan; {
	case p.cancel > 0 && !p.early:
		s.later(ctx, u, p.cancel, "cancel")
	case p.release > 0:
		s.later(ctx, u, p.release, "release")
	case p.force > 0:
		s.later(ctx, u, p.force, "force-release")
	}
}

// submit hands a unit in, until that is answered if it has a chosen id. begun, if
// not nil, is closed when a streamed unit was accepted, or at the end.
func (s *soak) submit(ctx context.Context, u *unit, begun chan struct{}) {
	var once sync.Once
	start := func() {
		if begun != nil {
			once.Do(func() { close(begun) })
		}
	}
	defer start()
	pace := u.plan.pace
	if begun == nil { // all is mended, and waits for this
		pace = 0
	}
	submission := controlproto.Submit{Node: u.node(), WorkType: u.workType(), Params: u.params(), Stream: u.stream, Stderr: u.stderr()}
	if u.chosen {
		submission.UnitID = u.id
	}
	u.note("submitted to %s for %s, id chosen: %v", u.submitter, u.executor, u.chosen)
	attempt := func(ctx context.Context, c *rig.Session) error {
		options := controlproto.SubmitOptions{
			Resume: u.chosen,
			Created: func(e controlproto.UnitEvent) {
				u.note("created as %s, %d bytes received before", e.UnitID, e.Received)
				before := u.received
				u.set(func() { u.id, u.received, u.accepted = e.UnitID, e.Received, u.accepted || u.stream })
				if e.Received < before || e.Received > int64(u.size) {
					s.fail(u, "%d of %d bytes of its payload are stored, it were %d before", e.Received, u.size, before)
				}
				if before = e.Received; u.stream && before > 0 && before < int64(u.size) {
					s.count("streams resumed in the middle")
				}
				start()
			},
		}
		var payload io.Reader = bytes.NewReader(u.payload())
		if u.stream {
			reading, stop := context.WithCancel(ctx)
			defer stop()
			payload, options.Abandon = &dribble{ctx: reading, data: u.payload(), pace: pace}, stop
		}
		done, err := c.Submit(ctx, submission, payload, options)
		u.note("answer to the submission: %s, %v", done.Result, err)
		if err == nil {
			u.set(func() { u.accepted, u.fed = true, true })
		}
		return err
	}
	if u.chosen {
		if err := s.session(ctx, u.submitter, attempt); err != nil && ctx.Err() == nil && !u.canceledBy() {
			s.fail(u, "submission refused: %v", err)
		}
	} else if err := s.try(ctx, u.submitter, attempt); err != nil {
		s.count("submissions cut off, outcome unknown")
		return
	}
	if u.isAccepted() {
		s.count("units accepted: " + u.kind + map[bool]string{true: ", streamed"}[u.stream] + map[bool]string{true: ", errors apart"}[u.separate])
	}
}

// dribble is a payload that comes in pieces.
type dribble struct {
	ctx  context.Context
	data []byte
	pos  int
	pace time.Duration // 0: all at once
}

// pieces is about how many Reads a paced payload takes.
const pieces = 24

func (d *dribble) Read(p []byte) (int, error) {
	if d.pace > 0 {
		select {
		case <-time.After(d.pace):
		case <-d.ctx.Done():
		}
		p = p[:min(len(p), len(d.data)/pieces+1)]
	}
	switch {
	case d.ctx.Err() != nil:
		return 0, context.Cause(d.ctx)
	case d.pos >= len(d.data):
		return 0, io.EOF
	}
	n := copy(p, d.data[d.pos:])
	d.pos += n
	return n, nil
}

func (d *dribble) Seek(offset int64, _ int) (int64, error) {
	d.pos = int(offset)
	return offset, nil
}

func (u *unit) isAccepted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.accepted
}

// adopt has a third node take the unit over, once its executor has it.
func (s *soak) adopt(ctx context.Context, u *unit) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(u.plan.adopt):
	}
	far, err := s.farID(ctx, u)
	if err != nil || far == "" {
		return
	}
	u.note("%s is to adopt %s", u.plan.adopter, far)
	var done controlproto.Adopted
	err = s.session(ctx, u.plan.adopter, func(ctx context.Context, c *rig.Session) (err error) {
		done, err = c.Adopt(ctx, controlproto.Adopt{Node: u.executor, UnitID: far})
		u.note("answer to the adoption: %s, %v", done.UnitID, err)
		return err
	})
	switch {
	case err == nil:
		u.set(func() { u.adopted = done.UnitID })
		s.count("units adopted")
	case ctx.Err() == nil:
		s.fail(u, "adoption refused: %v", err)
	}
}

// farID waits until a unit has an id on its executor; empty if it ended before.
func (s *soak) farID(ctx context.Context, u *unit) (string, error) {
	if u.executor == u.submitter {
		return u.id, nil
	}
	for {
		var status controlproto.UnitStatus
		err := s.session(ctx, u.submitter, func(ctx context.Context, c *rig.Session) error {
			return c.Call(ctx, map[string]any{"command": "work", "subcommand": "status", "unitid": u.id}, &status)
		})
		var extra struct {
			RemoteUnitID  string
			RemoteStarted bool
		}
		if err == nil {
			err = json.Unmarshal(status.ExtraData, &extra)
		}
		switch {
		case err != nil:
			return "", err
		case extra.RemoteStarted:
			return extra.RemoteUnitID, nil
		case status.State.Ended():
			return "", nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(again):
		}
	}
}

func (u *unit) canceledBy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.canceled
}

// later cancels or releases a unit after a while.
func (s *soak) later(ctx context.Context, u *unit, after time.Duration, what string) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(after):
	}
	s.end(ctx, u, what)
}

// end asks for the unit's end until the daemon has answered.
func (s *soak) end(ctx context.Context, u *unit, what string) {
	u.set(func() {
		u.canceled = true
		u.released = u.released || what != "cancel"
		u.forced = u.forced || what == "force-release"
	})
	u.note("%s is asked for", what)
	var pending bool
	err := s.session(ctx, u.submitter, func(ctx context.Context, c *rig.Session) (err error) {
		pending, err = c.Unit(ctx, what, u.id)
		u.note("answer to %s: pending %v, %v", what, pending, err)
		return err
	})
	switch {
	case controlproto.CodeOf(err) == controlproto.NotFound && (what != "cancel" || u.plan.early || u.released):
		// An answer before it was lost, or the unit has not been made yet.
	case err != nil && ctx.Err() == nil:
		s.fail(u, "%s refused: %v", what, err)
	case pending:
		s.count(what + ", pending")
	case err == nil:
		s.count(what + ", done")
	}
}

// follow reads a unit's output as it comes, over as many sessions as it takes.
func (s *soak) follow(ctx context.Context, u *unit) {
	want, wantErrs := u.output()
	got, gotErrs := &expect{want: want}, &expect{want: wantErrs}
	var last controlproto.UnitStatus
	err := s.session(ctx, u.submitter, func(ctx context.Context, c *rig.Session) (err error) {
		last, err = c.Follow(ctx, u.id, got, controlproto.FollowOptions{From: int64(got.n), Stderr: gotErrs, StderrFrom: int64(gotErrs.n)})
		if got.wrong || gotErrs.wrong {
			return nil
		}
		return err
	})
	u.note("followed: %d of %d bytes, %d of %d of error output, %s, %v", got.n, len(want), gotErrs.n, len(wantErrs), last.Detail, err)
	switch {
	case got.wrong:
		s.fail(u, "what was followed differs from the command's output about byte %d", got.n)
	case gotErrs.wrong:
		s.fail(u, "what was followed differs from the command's error output about byte %d", gotErrs.n)
	case err != nil:
		s.count("follows ended early")
	case last.StderrSize != nil && int64(gotErrs.n) != *last.StderrSize:
		s.fail(u, "a follow ended after %d of %d bytes of error output", gotErrs.n, *last.StderrSize)
	case int64(got.n) != last.StdoutSize:
		s.fail(u, "a follow ended after %d of %d bytes", got.n, last.StdoutSize)
	default:
		s.count("follows to the end")
	}
}

// expect compares what is written with what is wanted.
type expect struct {
	want  []byte
	n     int
	wrong bool
}

func (e *expect) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(e.want[e.n:], p) {
		e.wrong = true
		return 0, errors.New("other bytes than expected")
	}
	e.n += len(p)
	return len(p), nil
}
