package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/receptor-go/receptor/internal/controlproto"
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
		return s.workList(a)
	}
	if a.sub == "status" { // needs no signature
		return s.Work.Status(a.unit)
	}
	if err := s.Work.Authorize(a.unit, a.signature, x.origin()); err != nil {
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

func (s *Server) workList(a workArgs) (any, error) {
	if !a.one {
		return s.Work.List(), nil
	}
	u, err := s.Work.Status(a.unit)
	if err != nil {
		return nil, err
	}
	return map[string]controlproto.UnitStatus{a.unit: u}, nil
}

// workSubmit takes a unit's payload and starts it.
func (s *Server) workSubmit(ctx context.Context, x exchange, a workArgs) (any, error) {
	sub, err := s.Work.Create(a.submit, x.origin())
	if err != nil {
		return nil, err
	}
	if err := x.created(sub.ID(), sub.Received()); err != nil {
		sub.Abort(err)
		return nil, err
	}
	buf := s.buffer()
	defer s.buffers.Put(buf)
	if _, err := io.CopyBuffer(sink{sub}, struct{ io.Reader }{x.input()}, *buf); err != nil {
		sub.Abort(err)
		return nil, fmt.Errorf("error reading input data: %w", err)
	}
	// The work is accepted even if its submitter goes away while it is started.
	return sub.Start(ctx)
}

// sink hides all but Write, so that a copy uses our buffer.
type sink struct{ io.Writer }

// workFollow streams a unit's output, and in version 2 its changes.
func (s *Server) workFollow(ctx context.Context, x exchange, a workArgs) (any, error) {
	ctx, stop, err := x.streaming(ctx, a.unit)
	if err != nil {
		return nil, err
	}
	defer stop()
	out := &followSink{x: x, events: a.sub == "follow", output: a.output}
	if a.startpos < 0 { // nothing comes before the first byte
		return s.Work.Status(a.unit)
	}
	last, err := s.Work.Follow(ctx, a.unit, a.startpos, out)
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

// workArgs are the decoded arguments of a work request.
type workArgs struct {
	sub       string
	unit      string
	one       bool // list: the one unit, not all
	startpos  int64
	output    bool
	signature string
	submit    controlproto.Submit
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
		if a.startpos, err = startpos(r); err != nil {
			return a, err
		}
	}
	if v, ok := r.Fields["output"].(bool); ok {
		a.output = v
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

// startpos is the member of that name: a number, of which a fraction is cut
// off; version 2 takes its absence for 0.
func startpos(r controlproto.Request) (int64, error) {
	value, ok := r.Fields["startpos"]
	if !ok {
		if r.ID != 0 {
			return 0, nil
		}
		return 0, invalid("field startpos missing")
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
	return 0, invalid(fmt.Sprintf("field startpos value %v is not convertible to an int", value))
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
