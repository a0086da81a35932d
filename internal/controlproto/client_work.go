package controlproto

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// SubmitOptions are what a submit may tell and ask on the way.
type SubmitOptions struct {
	// Created is called once the unit exists, with what of the payload the
	// daemon has already (not 0 only if the submission is a repeated one).
	Created func(UnitEvent)
	// Resume makes version 2 wait for that number before it reads the payload,
	// and skip as much of it; the payload must be an io.Seeker if it is not 0.
	Resume bool
	// Abandon, if set, is called in version 2 when the submission failed before
	// the payload was all read: it must make a Read of the payload that waits,
	// and all later ones, return an error. Without it Submit waits for the end
	// of the payload, as it always does for a Read under way.
	Abandon func()
}

// Submit makes a unit, sends its payload (nil for none) up to io.EOF, and
// returns what became of it. An error of the payload's reader ends the session
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
	if c.version == V1 {
		return c.submitV1(ctx, s, payload, o)
	}
	return c.submitV2(ctx, s, payload, o)
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
	if !ok {
		return Submitted{}, New(Internal, "could not parse response: "+string(line))
	}
	o.Created(UnitEvent{UnitID: unit})
	c.spent = true
	source := &source{r: payload}
	if _, err := io.CopyBuffer(struct{ io.Writer }{c.conn}, source, make([]byte, ChunkSize)); err != nil {
		return Submitted{UnitID: unit}, c.refusedV1(ctx, source, err)
	}
	if err := CloseWrite(c.conn); err != nil {
		return Submitted{UnitID: unit}, c.broken(ctx, err)
	}
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
	sent := make(chan error, 1) // the answer may come before the payload is all sent
	go func() {
		err := c.sendInput(payload)
		sent <- err
		if err != nil { // so that the daemon does not take it for the end
			c.conn.Close()
		}
	}()
	done, err := c.submitted(ctx, o)
	if err == nil {
		return done, <-sent
	}
	return done, c.refusedV2(ctx, err, sent, o)
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

// sendInput sends a payload and its end.
func (c *Client) sendInput(payload io.Reader) error {
	buf := make([]byte, ChunkSize)
	for {
		n, err := payload.Read(buf)
		if n > 0 {
			if e := c.w.Bytes(c.lastID, buf[:n]); e != nil {
				return e
			}
		}
		if err == io.EOF {
			return c.w.JSON(Frame{ID: c.lastID, EOF: true})
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
			if err := json.Unmarshal(f.Data, &u); err != nil {
				return done, fmt.Errorf("event unit: %w", err)
			}
			done.UnitID = u.UnitID
			o.Created(u)
		case f.Result != nil:
			err := json.Unmarshal(f.Result, &done)
			return done, err
		}
	}
}

// FollowOptions say what to follow of a unit.
type FollowOptions struct {
	From      int64            // first byte of output wanted
	Signature string           // where the unit needs one
	Status    func(UnitStatus) // called at each change, version 2 only; may be nil
}

// Follow writes the output of a unit to out as it comes, up to its end. In
// version 2 it returns the unit's last status; version 1 cannot tell it, so
// the zero status comes back: ask for it on a new connection. An error of out
// ends the session.
func (c *Client) Follow(ctx context.Context, unit string, out io.Writer, o FollowOptions) (UnitStatus, error) {
	defer c.guard(ctx)()
	members := map[string]any{"command": "work", "subcommand": "results", "unitid": unit, "startpos": o.From}
	if o.Signature != "" {
		members["signature"] = o.Signature
	}
	if c.version == V2 {
		members["subcommand"] = "follow"
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
			n, err := io.CopyBuffer(struct{ io.Writer }{out}, io.LimitReader(c.r, f.Bytes), buf)
			if err == nil && n < f.Bytes {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				c.conn.Close()
				return UnitStatus{}, c.broken(ctx, err)
			}
		case f.Event == EventStatus && o.Status != nil:
			if err := json.Unmarshal(f.Data, &u); err != nil {
				return u, fmt.Errorf("event status: %w", err)
			}
			o.Status(u)
		case f.Result != nil:
			err := json.Unmarshal(f.Result, &u)
			return u, err
		}
	}
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
