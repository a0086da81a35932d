package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work"
)

// session1 is a session of version 1: one request at a time. It is its own
// exchange, as there is never more than one.
type session1 struct {
	server *Server
	conn   net.Conn
	terms  Terms
	who    access.Caller
	from   work.Origin
	notes  note // of the present request
	r      *controlproto.Reader
	w      *controlproto.Writer
	here   *presence
	req    controlproto.Request
	spent  bool        // the connection is closed after this request
	v2     atomic.Bool // a session2 serves the connection
	raw    bool        // the connection left the line form: the end of the stream says all there is
}

// serve greets and answers requests until the client ends or a request uses
// the connection up. A hello as the first request hands over to version 2.
func (s *session1) serve(ctx context.Context) {
	if s.w.Line(controlproto.Greeting(string(s.server.Node.ID))) != nil {
		return
	}
	for first := true; !s.spent; first = false {
		s.here.read(true)
		line, err := s.r.ReadLine()
		s.here.read(false)
		if err != nil {
			if errors.Is(err, controlproto.ErrLineTooLong) || errors.Is(err, controlproto.ErrBusy) {
				_ = s.w.Line("ERROR: " + err.Error())
			}
			return
		}
		if len(line) == 0 {
			continue
		}
		s.notes = note{}
		s.req, err = controlproto.ParseRequest(line)
		s.r.Free() // nothing of the line is in the request
		if err == nil && first && s.req.Command == "hello" && !s.req.Text {
			if s.hello() {
				s.v2.Store(true)
				newSession2(s).serve(ctx)
				return
			}
			err = controlproto.New(controlproto.Invalid, "no common version of the control protocol; this daemon speaks 1 and 2")
		}
		var reply any
		if err == nil {
			reply, err = s.server.do(ctx, s)
		}
		if s.answer(reply, err) != nil {
			return
		}
	}
}

// stop ends the session. Version 2 is left a moment to tell so: its requests have
// ended, and its reader ends with the deadline.
func (s *session1) stop() {
	if !s.v2.Load() {
		s.conn.Close()
		return
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(shutdownGrace))
	interruptReads(s.conn)
}

// hello tells whether the client speaks version 2, and if so welcomes it.
func (s *session1) hello() bool {
	versions, _ := s.req.Fields["versions"].([]any)
	for _, v := range versions {
		if n, ok := v.(interface{ Int64() (int64, error) }); ok {
			if i, err := n.Int64(); err == nil && i == controlproto.V2 {
				return s.w.JSON(controlproto.Welcome{
					Version: controlproto.V2, Node: string(s.server.Node.ID), Software: s.server.Version,
				}) == nil
			}
		}
	}
	return false
}

// answer writes the one line that a request is answered with.
func (s *session1) answer(reply any, err error) error {
	switch {
	case s.raw:
	case err != nil:
		// One line: a text that came from elsewhere may have line breaks.
		text := strings.ReplaceAll(strings.TrimRight(err.Error(), "\n"), "\n", " ")
		return s.w.Line("ERROR: " + text)
	case reply != nil:
		if ready, ok := reply.(encoded); ok {
			return s.w.Raw(ready)
		}
		return s.w.JSON(reply)
	}
	return nil
}

func (s *session1) request() controlproto.Request { return s.req }
func (s *session1) origin() work.Origin           { return s.from }
func (s *session1) caller() access.Caller         { return s.who }
func (s *session1) rules() access.Rules           { return s.terms.rules() }
func (s *session1) note() *note                   { return &s.notes }

func (s *session1) created(unit string, _ int64) error {
	s.spent = true
	return s.w.Line("Work unit created with ID " + unit + ". Send stdin data and EOF.")
}

func (s *session1) streaming(ctx context.Context, unit string) (context.Context, context.CancelFunc, error) {
	s.spent, s.raw = true, true
	ctx, cancel := context.WithCancel(ctx)
	if err := s.w.Line("Streaming results for work unit " + unit); err != nil {
		cancel()
		return nil, nil, err
	}
	// What a client sends after the request is of no interest, and its
	// half-close neither; that it is gone altogether ends the stream.
	unwatch := onGone(s.conn, cancel)
	gone := make(chan struct{})
	go func() { // ends with the connection, or when stop interrupts it
		defer close(gone)
		if waitHangup(s.conn, s.r) {
			cancel()
		}
	}()
	return ctx, func() {
		unwatch()
		cancel()
		interruptReads(s.conn)
		<-gone
	}, nil
}

func (s *session1) connecting() error {
	s.spent, s.raw = true, true
	return s.w.Line("Connecting")
}

func (s *session1) input() io.Reader                     { return s.r }
func (s *session1) seal() string                         { return "" }
func (s *session1) output() io.Writer                    { return s.here.writer() }
func (s *session1) stderr([]byte) error                  { return nil }
func (s *session1) status(controlproto.UnitStatus) error { return nil }
func (s *session1) hangup() bool {
	if m, ok := s.conn.(meshConn); ok {
		<-m.WriteContext().Done()
		return true
	}
	return closedBothWays(s.conn)
}

func (s *session1) close(all bool) {
	if all {
		s.conn.Close()
		return
	}
	_ = controlproto.CloseWrite(s.conn)
	_ = s.conn.SetReadDeadline(time.Now().Add(bridgeGrace))
}
