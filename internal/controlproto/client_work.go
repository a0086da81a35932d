package controlproto

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"unicode"
)

// SubmitOptions are what a submit may tell and ask on the way.
type SubmitOptions struct {
	// Created is called once the unit exists, with what of the payload the
	// daemon has already (not 0 only if the submission is a repeated one).
	Created func(UnitEvent)
	// Resume makes version 2 wait for that number before it reads the payload,
	// and skip as much of it; the payload must be an io.Seeker if it is not 0.
	Resume bool
	// Sent is called when the end of the payload was sent: from then on the daemon
	// may take it for complete, whatever Submit returns. By another goroutine,
	// before Submit returns; may be nil.
	Sent func()
	// Abandon, if set, is called in version 2 when the submission has failed, or
	// its unit ended (Submit.Stream), before the payload was all read: it must
	// make a Read of the payload that waits, and all later ones, return an error.
	// Without it Submit waits for the Read under way, and after a failure for
	// the end of the payload.
	Abandon func()
	// Seal, if set, is called in version 2 at the end of the payload, and makes
	// the signature that goes with it, "" for none. An error of it is one of the payload.
	Seal func() (signature string, err error)
}

// Submit makes a unit, sends its payload (nil for none) up to io.EOF, and
// returns what became of it. Each Read of the payload is sent at once, so a
// streamed one (s.Stream) may come in pieces over hours; when the unit ends
// before it Submit returns, and what is left of the payload is not read. A
// daemon of version 1 knows neither s.Stream nor s.Stderr: asked for them it is
// sent nothing, and the error has the code Invalid. An error of the payload's reader ends the session
// without starting the unit in version 2; version 1 cannot tell it from the end
// of the payload unless the connection is torn down, which closing it does as
// well as it can.
func (c *Client) Submit(ctx context.Context, s Submit, payload io.Reader, o SubmitOptions) (Submitted, error) {
	defer c.guard(ctx)()
	if payload == nil {
		payload = strings.NewReader("")
	}
	if o.Created == nil {
		o.Created = func(UnitEvent) {}
	}
	if o.Sent == nil {
		o.Sent = func() {}
	}
	if c.version == V1 {
		if err := s.needsV2(); err != nil {
			return Submitted{}, err
		}
		return c.submitV1(ctx, s, payload, o)
	}
	return c.submitV2(ctx, s, payload, o)
}

// needsV2 is the error of a submit that version 1 has no members for.
func (s Submit) needsV2() error {
	switch {
	case s.Stream:
		return onlyV2("a streamed payload")
	case s.Stderr != "":
		return onlyV2("a choice of where error output goes")
	}
	return nil
}

// onlyV2 is the error of a request that version 1 has no place for.
func onlyV2(what string) error {
	return New(Invalid, "the daemon speaks version 1 of the control protocol only, which has no place for "+what)
}

func (c *Client) submitV1(ctx context.Context, s Submit, payload io.Reader, o SubmitOptions) (Submitted, error) {
	if err := c.send(s.v1()); err != nil {
		return Submitted{}, c.broken(ctx, err)
	}
	line, err := c.answer(ctx)
	if err != nil {
		return Submitted{}, err
	}
	unit, ok := between(string(line), "with ID ", ".")
	if !ok || !oneWord(unit) {
		return Submitted{}, New(Internal, Clip("could not parse response: "+string(line), MaxText))
	}
	o.Created(UnitEvent{UnitID: unit})
	c.spent = true
	source := &source{r: payload}
	if _, err := io.CopyBuffer(struct{ io.Writer }{c.conn}, source, make([]byte, ChunkSize)); err != nil {
		return Submitted{UnitID: unit}, c.refusedV1(ctx, source, err)
	}
	if ctx.Err() != nil { // given up: what was read is not to pass for the whole
		return Submitted{UnitID: unit}, context.Cause(ctx)
	}
	if err := CloseWrite(c.conn); err != nil {
		return Submitted{UnitID: unit}, c.broken(ctx, err)
	}
	o.Sent()
	if line, err = c.answer(ctx); err != nil {
		return Submitted{UnitID: unit}, err
	}
	var done Submitted
	if err := json.Unmarshal(line, &done); err != nil {
		return Submitted{UnitID: unit}, fmt.Errorf("unexpected answer %s", quote(string(line)))
	}
	return done, nil
}

// source remembers the error of a payload, to tell it from one of the connection.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// refusedV1 tells why a payload could not be sent: the daemon may have answered
// before it closed.
func (c *Client) refusedV1(ctx context.Context, payload *source, err error) error {
	defer c.conn.Close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if payload.err != nil {
		return fmt.Errorf("read payload: %w", payload.err)
	}
	if line, e := c.r.ReadLine(); e == nil && errorLine(line) != nil {
		return errorLine(line)
	}
	return err
}

// v1 is the request in version 1: flat, and all strings.
func (s Submit) v1() map[string]any {
	m := make(map[string]any, len(s.Params)+8)
	for k, v := range s.Params {
		m[k] = v
	}
	m["command"], m["subcommand"] = "work", "submit"
	m["node"], m["worktype"] = s.Node, s.WorkType
	if s.TLSClient != "" {
		m["tlsclient"] = s.TLSClient
	}
	if s.TTL != "" {
		m["ttl"] = s.TTL
	}
	if s.SignWork {
		m["signwork"] = "true"
	}
	if s.Signature != "" {
		m["signature"] = s.Signature
	}
	return m
}

func (c *Client) submitV2(ctx context.Context, s Submit, payload io.Reader, o SubmitOptions) (Submitted, error) {
	members, err := s.v2()
	if err != nil {
		return Submitted{}, err
	}
	if err := c.send(members); err != nil {
		return Submitted{}, c.broken(ctx, err)
	}
	if o.Resume {
		f, err := c.next(ctx)
		if err != nil {
			return Submitted{}, err
		}
		if err := c.resume(f, payload, &o); err != nil {
			return Submitted{}, err
		}
	}
	var ended atomic.Bool       // the result is here: nothing more is to be sent
	sent := make(chan error, 1) // the answer may come before the payload is all sent
	go func() {                 // Submit waits for it
		err := c.sendInput(ctx, payload, &ended, o)
		sent <- err                      // before the failed read that follows from the Close
		if err != nil && !ended.Load() { // so that the daemon does not take it for the end
			c.conn.Close()
		}
	}()
	done, err := c.submitted(ctx, o)
	if err != nil {
		return done, c.refusedV2(ctx, err, sent, o)
	}
	ended.Store(true)
	select {
	case <-sent:
	default: // the unit has ended, and does not want the rest of its payload
		if o.Abandon != nil {
			o.Abandon()
		}
		<-sent
	}
	return done, nil
}

// refusedV2 ends the sending of a payload after a submission failed with err,
// and tells why it failed.
func (c *Client) refusedV2(ctx context.Context, err error, sent chan error, o SubmitOptions) error {
	refused := errors.As(err, new(*Error))
	select {
	case e := <-sent:
		if e != nil && !refused && ctx.Err() == nil {
			return e
		}
		return err
	default:
	}
	if o.Abandon != nil {
		o.Abandon()
	}
	// After a refusal the daemon reads and drops the rest, so the sender ends by
	// itself; else it ends because the connection is closed.
	if !refused {
		c.conn.Close()
	}
	<-sent
	return err
}

func (s Submit) v2() (map[string]any, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	members := map[string]any{}
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	members["command"], members["subcommand"] = "work", "submit"
	return members, nil
}

// resume handles the event unit of a repeated submission.
func (c *Client) resume(f Frame, payload io.Reader, o *SubmitOptions) error {
	var u UnitEvent
	if f.Event != EventUnit || json.Unmarshal(f.Data, &u) != nil {
		return New(Internal, "unexpected answer to a repeated submit")
	}
	o.Created(u)
	o.Created = func(UnitEvent) {}
	if u.Received == 0 {
		return nil
	}
	seeker, ok := payload.(io.Seeker)
	if !ok {
		return New(Internal, "the payload of a repeated submit cannot be resumed")
	}
	_, err := seeker.Seek(u.Received, io.SeekStart)
	return err
}

// sendInput sends a payload and its end, or what comes of it before ended.
func (c *Client) sendInput(ctx context.Context, payload io.Reader, ended *atomic.Bool, o SubmitOptions) error {
	buf := make([]byte, ChunkSize)
	for {
		n, err := payload.Read(buf)
		switch {
		case ended.Load():
			return nil
		case ctx.Err() != nil: // given up: what was read is not to pass for the whole
			return context.Cause(ctx)
		}
		if n > 0 {
			if e := c.w.Bytes(c.lastID, buf[:n]); e != nil {
				return e
			}
		}
		if err == io.EOF {
			end := Frame{ID: c.lastID, EOF: true}
			if o.Seal != nil {
				if end.Signature, err = o.Seal(); err != nil {
					return fmt.Errorf("sign payload: %w", err)
				}
			}
			if err = c.w.JSON(end); err == nil {
				o.Sent()
			}
			return err
		}
		if err != nil {
			return fmt.Errorf("read payload: %w", err)
		}
	}
}

// submitted reads the answers to a submit.
func (c *Client) submitted(ctx context.Context, o SubmitOptions) (Submitted, error) {
	var done Submitted
	for {
		f, err := c.next(ctx)
		if err != nil {
			return done, err
		}
		switch {
		case f.Event == EventUnit:
			var u UnitEvent
			if err := decode(f.Data, &u); err != nil {
				return done, fmt.Errorf("event unit: %w", err)
			}
			done.UnitID = u.UnitID
			o.Created(u)
		case f.Result != nil:
			err := decode(f.Result, &done)
			return done, err
		}
	}
}

// FollowOptions say what to follow of a unit.
type FollowOptions struct {
	From      int64            // first byte of output wanted
	Signature string           // where the unit needs one
	Status    func(UnitStatus) // called at each change, version 2 only; may be nil
	// Stderr takes the error output of a unit that keeps it apart, from byte
	// StderrFrom on; nil: it is not wanted. Version 2 only.
	Stderr     io.Writer
	StderrFrom int64
}

// Follow writes the output of a unit to out as it comes, up to its end; in
// version 2 out may be nil, if the output is not wanted. There Follow returns the
// unit's last status; version 1 cannot tell it, so the zero status comes back:
// ask for it on a new connection. An error of out or o.Stderr ends the session.
// A daemon of version 1 that is asked for error output, or for no output, is
// sent nothing, and the error has the code Invalid.
func (c *Client) Follow(ctx context.Context, unit string, out io.Writer, o FollowOptions) (UnitStatus, error) {
	defer c.guard(ctx)()
	members := map[string]any{"command": "work", "subcommand": "results", "unitid": unit, "startpos": o.From}
	if o.Signature != "" {
		members["signature"] = o.Signature
	}
	if c.version == V1 && (o.Stderr != nil || out == nil) {
		return UnitStatus{}, onlyV2("error output of its own")
	}
	if c.version == V2 {
		members["subcommand"] = "follow"
		if o.Stderr != nil {
			members["stderr"], members["stderrpos"] = true, o.StderrFrom
		}
		if out == nil {
			members["output"] = false
		}
	}
	if err := c.send(members); err != nil {
		return UnitStatus{}, c.broken(ctx, err)
	}
	if c.version == V1 {
		return UnitStatus{}, c.followV1(ctx, out)
	}
	return c.followV2(ctx, out, o)
}

func (c *Client) followV1(ctx context.Context, out io.Writer) error {
	line, err := c.answer(ctx)
	if err != nil {
		return err
	}
	if !strings.Contains(string(line), "Streaming results") {
		return New(Internal, "unexpected answer "+quote(string(line)))
	}
	c.spent = true
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{c.r}, make([]byte, ChunkSize))
	if err != nil {
		return c.broken(ctx, err)
	}
	return nil
}

func (c *Client) followV2(ctx context.Context, out io.Writer, o FollowOptions) (UnitStatus, error) {
	buf := make([]byte, ChunkSize)
	for {
		f, err := c.next(ctx)
		if err != nil {
			return UnitStatus{}, err
		}
		var u UnitStatus
		switch {
		case f.Bytes > 0:
			if err := c.copyBytes(f, out, o.Stderr, buf); err != nil {
				c.conn.Close()
				return UnitStatus{}, c.broken(ctx, err)
			}
		case f.Event == EventStatus && o.Status != nil:
			if err := decode(f.Data, &u); err != nil {
				return u, fmt.Errorf("event status: %w", err)
			}
			o.Status(u)
		case f.Result != nil:
			err := decode(f.Result, &u)
			return u, err
		}
	}
}

// copyBytes hands the bytes that f announced to whom they are for. Those of a
// stream that was not asked for, or is not known, are dropped.
func (c *Client) copyBytes(f Frame, out, errOut io.Writer, buf []byte) error {
	to := out
	switch f.Stream {
	case "":
	case StreamStderr:
		to = errOut
	default:
		to = nil
	}
	if to == nil {
		to = io.Discard
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(c.r, f.Bytes), buf)
	if err == nil && n < f.Bytes {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Adopt has the daemon take over a unit that another controller has submitted
// to a.Node. A daemon of ansible/receptor does not know the request; its error has
// the code Invalid.
func (c *Client) Adopt(ctx context.Context, a Adopt) (Adopted, error) {
	members := map[string]any{"command": "work", "subcommand": "adopt", "node": a.Node, "unitid": a.UnitID}
	if a.TLSClient != "" {
		members["tlsclient"] = a.TLSClient
	}
	if a.SignWork {
		members["signwork"] = true
	}
	var done Adopted
	err := c.Call(ctx, members, &done)
	if e, ok := errors.AsType[*Error](err); ok && e.Message == "bad command" {
		err = New(Invalid, "the daemon does not know work adopt")
	}
	return done, err
}

// CloseWrite ends the sending direction of a connection that can do so.
func CloseWrite(conn any) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot end one direction alone")
	}
	return half.CloseWrite()
}

func between(s, before, after string) (string, bool) {
	_, s, found := strings.Cut(s, before)
	if !found {
		return "", false
	}
	s, _, found = strings.Cut(s, after)
	return s, found && s != ""
}

// oneWord tells whether a unit's id is one word of the text form, in which it is
// asked for.
func oneWord(id string) bool {
	return len(id) <= MaxUnitID && !strings.ContainsFunc(id, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
