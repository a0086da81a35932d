package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work"
)

// work carries out the subcommands of work (spec control-protocol 7).
func (s *Server) work(ctx context.Context, x exchange) (any, error) {
	a, err := parseWork(x.request())
	if err != nil {
		return nil, err
	}
	switch a.sub {
	case "submit":
		return s.workSubmit(ctx, x, a)
	case "list":
		return s.workList(x, a)
	}
	switch a.sub { // these need no signature
	case "status":
		if err := s.permitUnit(x, access.WorkList, a.unit); err != nil {
			return nil, err
		}
		u, err := s.Work.Status(a.unit)
		return view(x, u), err
	case "adopt":
		return s.workAdopt(ctx, x, a)
	}
	if err := s.permitUnit(x, commandOf(a.sub), a.unit); err != nil {
		return nil, err
	}
	if err := s.Work.Authorize(a.sub, a.unit, a.signature, x.origin()); err != nil {
		return nil, err
	}
	switch a.sub {
	case "cancel":
		pending, err := s.Work.Cancel(ctx, a.unit)
		return outcome("cancelled", "cancel pending", a.unit, pending, err)
	case "release", "force-release":
		pending, err := s.Work.Release(ctx, a.unit, a.sub == "force-release")
		return outcome("released", "release pending", a.unit, pending, err)
	default: // results, follow
		return s.workFollow(ctx, x, a)
	}
}

// outcome is the answer to cancel and release: one member, named by what came of it.
func outcome(done, notYet, unit string, pending bool, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if pending {
		done = notYet
	}
	return map[string]string{done: unit}, nil
}

// commandOf is the command of the access rules for a request about a unit.
func commandOf(sub string) string {
	switch sub {
	case "cancel":
		return access.WorkCancel
	case "release", "force-release":
		return access.WorkRelease
	}
	return access.WorkResults
}

func (s *Server) workList(x exchange, a workArgs) (any, error) {
	units := map[string]controlproto.UnitStatus{}
	var err error
	if a.one {
		err = s.permitUnit(x, access.WorkList, a.unit)
	} else {
		err = s.permit(x, access.Request{Command: access.WorkList, Any: true}, "")
	}
	if err != nil {
		return nil, err
	}
	if a.one {
		u, err := s.Work.Status(a.unit)
		if err != nil {
			return nil, err
		}
		units[a.unit] = u
	} else {
		units = s.Work.List()
		maps.DeleteFunc(units, func(id string, _ controlproto.UnitStatus) bool { return !s.mayList(x, id) })
	}
	for id, u := range units {
		units[id] = view(x, u)
	}
	return units, nil
}

// view is the record of a unit with the members that the version of x has.
func view(x exchange, u controlproto.UnitStatus) controlproto.UnitStatus {
	if x.request().ID == 0 {
		return u.V1()
	}
	return u
}

// workAdopt takes over a unit that another controller has submitted.
func (s *Server) workAdopt(ctx context.Context, x exchange, a workArgs) (any, error) {
	r := access.Request{Command: access.WorkAdopt, Node: a.adopt.Node, Any: true}
	if err := s.permit(x, r, a.adopt.UnitID); err != nil {
		return nil, err
	}
	id, err := s.Work.Adopt(ctx, a.adopt, func(workType string) error {
		r.WorkType, r.Any = workType, false
		return s.permit(x, r, a.adopt.UnitID)
	})
	if err != nil {
		return nil, err
	}
	x.note().unit = id
	return controlproto.Adopted{Result: controlproto.ResultAdopted, UnitID: id}, nil
}

// workSubmit takes a unit's payload and starts it.
func (s *Server) workSubmit(ctx context.Context, x exchange, a workArgs) (any, error) {
	r := access.Request{Command: access.WorkSubmit, WorkType: a.submit.WorkType, Node: a.submit.Node}
	if err := s.permit(x, r, a.submit.UnitID); err != nil {
		return nil, err
	}
	sub, err := s.Work.Create(a.submit, x.origin())
	if err != nil {
		return nil, err
	}
	x.note().unit = sub.ID()
	if sub.Streams() {
		return s.workStream(ctx, x, sub)
	}
	if err := x.created(sub.ID(), sub.Received()); err != nil {
		sub.Abort(err)
		return nil, err
	}
	buf := s.buffer()
	defer s.buffers.Put(buf)
	in, read := s.traced(x, sub.ID())
	if _, err := io.CopyBuffer(sink{sub}, struct{ io.Reader }{in}, buf.Bytes); err != nil {
		sub.Abort(err)
		return nil, fmt.Errorf("error reading input data: %w", err)
	}
	read()
	// The work is accepted even if its submitter goes away while it is started.
	return sub.Start(ctx)
}

// streamBlock is the size of one read of a streamed payload, in bytes: it is
// held for as long as the payload comes.
const streamBlock = 32 << 10

// workStream starts a unit and takes its payload while its command reads it, for
// as long as the command runs and the payload comes.
func (s *Server) workStream(ctx context.Context, x exchange, sub *work.Submission) (any, error) {
	if err := sub.Begin(ctx); err != nil {
		sub.Abort(err)
		return nil, err
	}
	s.record(x, nil, nil) // it is accepted; a refusal of its node has a record of its own
	if err := x.created(sub.ID(), sub.Received()); err != nil {
		sub.Abort(err)
		return nil, err
	}
	unwatch := s.endInput(ctx, x, sub.ID())
	in, read := s.traced(x, sub.ID())
	_, err := io.CopyBuffer(sink{sub}, struct{ io.Reader }{in}, make([]byte, streamBlock))
	unwatch()
	read()
	if err != nil && !s.ended(sub.ID()) {
		sub.Abort(err)
		return nil, fmt.Errorf("error reading input data: %w", err)
	}
	sub.Seal(x.seal())
	done, err := sub.Start(context.WithoutCancel(ctx))
	if refusal := sub.Refusal(); refusal != nil {
		return nil, refusal
	}
	if err != nil && s.ended(sub.ID()) {
		// The command has ended without the rest of its payload. The unit tells
		// what became of it, so this is no error of the submission.
		return controlproto.Submitted{Result: controlproto.JobStarted, UnitID: sub.ID()}, nil
	}
	return done, err
}

func (s *Server) ended(unit string) bool {
	u, err := s.Work.Status(unit)
	return err == nil && u.State.Ended()
}

// endInput ends the input of an exchange when the unit has ended, until the
// function it returns is called.
func (s *Server) endInput(ctx context.Context, x exchange, unit string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with the unit, or by stop, which waits
		defer close(done)
		if _, err := s.Work.Follow(ctx, unit, work.FollowOptions{From: noOutput}, deaf{}); err == nil {
			x.close(true)
		}
	}()
	return func() { cancel(); <-done }
}

// noOutput is a position behind all output there can be.
const noOutput = 1 << 62

// deaf follows a unit for its end alone.
type deaf struct{}

func (deaf) Status(controlproto.UnitStatus) error { return nil }
func (deaf) Output([]byte) error                  { return nil }
func (deaf) Stderr([]byte) error                  { return nil }

// sink hides all but Write, so that a copy uses our buffer.
type sink struct{ io.Writer }

// workFollow streams a unit's output, and in version 2 its changes.
func (s *Server) workFollow(ctx context.Context, x exchange, a workArgs) (any, error) {
	ctx, stop, err := x.streaming(ctx, a.unit)
	if err != nil {
		return nil, err
	}
	defer stop()
	s.record(x, nil, nil)
	if a.startpos < 0 || a.stderr && a.stderrpos < 0 { // nothing comes before the first byte
		u, err := s.Work.Status(a.unit)
		return view(x, u), err
	}
	o := work.FollowOptions{From: a.startpos, Stderr: a.stderr, StderrFrom: a.stderrpos}
	if !a.output {
		o.From = noOutput
	}
	last, err := s.Work.Follow(ctx, a.unit, o, &followSink{x: x, events: a.sub == "follow", output: a.output})
	if err != nil {
		return nil, err
	}
	return last, nil
}

type followSink struct {
	x              exchange
	events, output bool
}

func (f *followSink) Status(u controlproto.UnitStatus) error {
	if !f.events {
		return nil
	}
	return f.x.status(u)
}

func (f *followSink) Output(p []byte) error {
	if !f.output {
		return nil
	}
	_, err := f.x.output().Write(p)
	return err
}

func (f *followSink) Stderr(p []byte) error { return f.x.stderr(p) }

// workArgs are the decoded arguments of a work request.
type workArgs struct {
	sub       string
	unit      string
	one       bool // list: the one unit, not all
	startpos  int64
	output    bool
	stderr    bool // version 2
	stderrpos int64
	signature string
	submit    controlproto.Submit
	adopt     controlproto.Adopt
}

func parseWork(r controlproto.Request) (workArgs, error) {
	if r.Text {
		return parseWorkText(r.Params)
	}
	a := workArgs{output: true}
	sub, err := field(r, "subcommand")
	if err != nil {
		return a, err
	}
	a.sub = strings.ToLower(sub)
	switch a.sub {
	case "submit":
		a.submit, err = parseSubmit(r)
		return a, err
	case "adopt":
		a.adopt, err = parseAdopt(r)
		return a, err
	case "list":
		a.unit, a.one = r.String("unitid") // of another type: as if it were not there
		return a, nil
	case "status", "cancel", "release", "force-release", "results":
	case "follow":
		if r.ID == 0 {
			return a, invalid("bad command")
		}
	default:
		return a, invalid("bad command")
	}
	if a.unit, err = field(r, "unitid"); err != nil {
		return a, err
	}
	if a.sub == "results" || a.sub == "follow" {
		if a.startpos, err = position(r, "startpos"); err != nil {
			return a, err
		}
		if r.ID != 0 {
			if err = a.parseStreams(r); err != nil {
				return a, err
			}
		}
	}
	if _, ok := r.Fields["signature"]; ok {
		a.signature, err = field(r, "signature")
	}
	return a, err
}

// field is a member that must be there and be a string.
func field(r controlproto.Request, name string) (string, error) {
	value, ok := r.Fields[name]
	if !ok {
		return "", invalid("field " + name + " missing")
	}
	text, ok := value.(string)
	if !ok {
		return "", invalid("field " + name + " must be a string")
	}
	return text, nil
}

// parseStreams says which of the streams of a unit version 2 wants.
func (a *workArgs) parseStreams(r controlproto.Request) (err error) {
	if a.output, err = flag(r, "output", true); err != nil {
		return err
	}
	if a.stderr, err = flag(r, "stderr", false); err != nil {
		return err
	}
	a.stderrpos, err = position(r, "stderrpos")
	return err
}

// flag is a boolean member that may be missing.
func flag(r controlproto.Request, name string, missing bool) (bool, error) {
	value, ok := r.Fields[name]
	if !ok || value == nil {
		return missing, nil
	}
	v, ok := value.(bool)
	if !ok {
		return false, invalid("field " + name + " must be a boolean")
	}
	return v, nil
}

// position is the member of that name: a number, of which a fraction is cut
// off; version 2 takes its absence for 0.
func position(r controlproto.Request, name string) (int64, error) {
	value, ok := r.Fields[name]
	if !ok {
		if r.ID != 0 {
			return 0, nil
		}
		return 0, invalid("field " + name + " missing")
	}
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		if f, err := v.Float64(); err == nil && f > -1e18 && f < 1e18 {
			return int64(f), nil
		}
	case string:
		if _, err := parseInt(v); err != nil {
			return 0, invalid(err.Error())
		}
	}
	return 0, invalid(fmt.Sprintf("field %s value %v is not convertible to an int", name, value))
}

// parseAdopt decodes the JSON forms of adopt.
func parseAdopt(r controlproto.Request) (a controlproto.Adopt, err error) {
	if a.Node, err = field(r, "node"); err != nil {
		return a, err
	}
	if a.UnitID, err = field(r, "unitid"); err != nil {
		return a, err
	}
	if _, ok := r.Fields["tlsclient"]; ok {
		if a.TLSClient, err = field(r, "tlsclient"); err != nil {
			return a, err
		}
	}
	if text, ok := r.String("signwork"); ok && r.ID == 0 {
		a.SignWork = text == "true" // as in a submit of version 1
		return a, nil
	}
	a.SignWork, err = flag(r, "signwork", false)
	return a, err
}

// parseSubmit decodes the JSON forms of a submit.
func parseSubmit(r controlproto.Request) (controlproto.Submit, error) {
	if r.ID != 0 {
		return parseSubmit2(r)
	}
	var s controlproto.Submit
	var err error
	if s.Node, err = field(r, "node"); err != nil {
		return s, err
	}
	if s.WorkType, err = field(r, "worktype"); err != nil {
		return s, err
	}
	s.Params = map[string]string{}
	for name, value := range r.Fields {
		text, ok := value.(string)
		if !ok {
			return s, invalid("submit parameters must all be strings and " + name + " is not")
		}
		switch name {
		case "command", "subcommand", "node", "worktype":
		case "tlsclient":
			s.TLSClient = text
		case "ttl":
			s.TTL = text
		case "signwork":
			s.SignWork = text == "true"
		case "signature":
			s.Signature = text
		default:
			s.Params[name] = text
		}
	}
	return s, nil
}

// parseSubmit2 decodes version 2's form, by way of its JSON.
func parseSubmit2(r controlproto.Request) (controlproto.Submit, error) {
	var s controlproto.Submit
	for _, name := range []string{"node", "worktype"} {
		if _, err := field(r, name); err != nil {
			return s, err
		}
	}
	raw, err := json.Marshal(r.Fields)
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return s, invalid("member " + e.Field + " has the wrong type: " + e.Value)
	}
	return s, err
}
