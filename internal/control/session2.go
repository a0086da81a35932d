package control

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work"
)

// errCutOff is what a request reads when its session ended before its input did.
var errCutOff = errors.New("the control connection ended before the payload did")

// errStalled ends a request that does not take its input: it holds up the session.
var errStalled = errors.New("the request did not take its input for too long")

// stallLimit is how long one frame of input may take.
const stallLimit = 30 * time.Second

// takesInput tells which requests have input; that of others is dropped.
func takesInput(r controlproto.Request) bool {
	sub, _ := r.String("subcommand")
	return r.Command == "connect" || r.Command == "work" && strings.EqualFold(sub, "submit")
}

// session2 is a session of version 2. Its reader goroutine owns active; each
// request has a goroutine that ends by itself or by its context.
type session2 struct {
	*session1
	daemon   context.Context // ends when the daemon is stopped
	requests sync.WaitGroup
	done     chan uint64 // ids of requests that have ended
	active   map[uint64]*exchange2
}

func newSession2(s *session1) *session2 {
	return &session2{
		session1: s,
		done:     make(chan uint64, controlproto.MaxActive),
		active:   map[uint64]*exchange2{},
	}
}

// serve reads lines until the client ends, then waits for the requests. A
// client that ended its sending direction still gets its answers, but those
// whose input is not complete are cut off.
func (s *session2) serve(ctx context.Context) {
	if ctx.Err() != nil { // stop may have come too early to know of version 2
		return
	}
	s.daemon = ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer onGone(s.conn, cancel)()
	err := s.readLines(ctx)
	for _, x := range s.active {
		x.in.CloseWithError(errCutOff)
	}
	if err != io.EOF { // the connection is broken, or of no use any more
		cancel()
	} else if s.gone() {
		cancel()
	}
	s.requests.Wait()
}

// gone waits, once the client has ended its sending direction, until all
// requests are done (false) or the client is gone altogether (true).
func (s *session2) gone() bool {
	hangup := make(chan bool, 1)
	go func() { hangup <- closedBothWays(s.conn) }() // ended by interruptReads
	idle := make(chan struct{})
	go func() { s.requests.Wait(); close(idle) }() // ends with the requests
	select {
	case <-idle:
		interruptReads(s.conn)
		<-hangup
		return false
	case gone := <-hangup:
		return gone
	}
}

func (s *session2) readLines(ctx context.Context) error {
	for {
		s.here.read(true)
		line, err := s.r.ReadLine()
		s.here.read(false)
		if err != nil {
			if errors.Is(err, controlproto.ErrLineTooLong) || errors.Is(err, controlproto.ErrBusy) {
				s.fail(0, controlproto.New(controlproto.Invalid, err.Error()))
			}
			return err
		}
		if len(line) == 0 {
			continue
		}
		l, err := controlproto.ParseLine2(line)
		s.r.Free() // nothing of the line is in the request
		if err != nil {
			s.fail(0, err)
			return err
		}
		s.reap()
		if l.Request != nil {
			s.start(ctx, *l.Request)
		} else if err := s.feed(l.Frame); err != nil {
			return err
		}
	}
}

// reap forgets requests that have ended.
func (s *session2) reap() {
	for {
		select {
		case id := <-s.done:
			delete(s.active, id)
		default:
			return
		}
	}
}

// start begins a request.
func (s *session2) start(ctx context.Context, r controlproto.Request) {
	switch {
	case s.active[r.ID] != nil:
		s.fail(r.ID, controlproto.New(controlproto.Invalid, "the id is in use by another request"))
		return
	case len(s.active) >= controlproto.MaxActive:
		s.fail(r.ID, controlproto.New(controlproto.Busy, "too many requests on this connection, wait for one to end"))
		return
	}
	x := &exchange2{session: s, req: r}
	x.pr, x.in = io.Pipe()
	if !takesInput(r) {
		x.pr.Close()
	}
	ctx, x.cancel = context.WithCancel(ctx)
	s.active[r.ID] = x
	s.here.work(1)
	s.requests.Go(func() { // ends with the request, whose context ends with the session
		defer s.here.work(-1)
		defer x.cancel()
		reply, err := s.server.do(ctx, x)
		x.pr.Close() // input that still comes is dropped
		if err != nil && ctx.Err() != nil {
			err = s.canceled()
		}
		// The id is free before the client has the answer and may use it again.
		s.done <- r.ID // holds as many as can be active
		x.answer(reply, err)
	})
}

// canceled is the answer to a request whose context has ended.
func (s *session2) canceled() error {
	if s.daemon.Err() != nil {
		return controlproto.New(controlproto.Unreachable, "the daemon is shutting down")
	}
	return controlproto.New(controlproto.Canceled, "the request was canceled")
}

// feed hands a frame to its request.
func (s *session2) feed(f controlproto.Frame) error {
	x := s.active[f.ID]
	switch {
	case f.Bytes > 0:
		var to io.Writer = io.Discard
		if x != nil {
			to = tolerant{x.in}
			// Nothing else of the session is read meanwhile, not even a cancel.
			stalled := time.AfterFunc(stallLimit, func() {
				x.cancel()
				x.in.CloseWithError(errStalled)
			})
			defer stalled.Stop()
		}
		buf := s.server.buffer()
		defer s.server.buffers.Put(buf)
		n, err := io.CopyBuffer(to, struct{ io.Reader }{io.LimitReader(s.r, f.Bytes)}, buf.Bytes)
		if err == nil && n < f.Bytes {
			err = io.ErrUnexpectedEOF
		}
		return err
	case x == nil: // about a request that has ended
	case f.EOF:
		x.sealed.Store(&f.Signature)
		x.in.Close()
	case f.Cancel:
		x.cancel()
		x.in.CloseWithError(context.Canceled)
	}
	return nil
}

func (s *session2) fail(id uint64, err error) {
	_ = s.w.JSON(controlproto.Frame{ID: id, Error: asError(err)})
}

// tolerant drops what its writer does not want any more.
type tolerant struct{ w *io.PipeWriter }

func (t tolerant) Write(p []byte) (int, error) {
	_, _ = t.w.Write(p) // the only error is that the request has ended
	return len(p), nil
}

// exchange2 is one request of a session of version 2.
type exchange2 struct {
	session *session2
	req     controlproto.Request
	pr      *io.PipeReader
	in      *io.PipeWriter
	cancel  context.CancelFunc
	sealed  atomic.Pointer[string] // signature that came with the end of the input
	notes   note
}

func (x *exchange2) request() controlproto.Request { return x.req }
func (x *exchange2) origin() work.Origin           { return x.session.from }
func (x *exchange2) caller() access.Caller         { return x.session.who }
func (x *exchange2) rules() access.Rules           { return x.session.terms.rules() }
func (x *exchange2) note() *note                   { return &x.notes }

func (x *exchange2) created(unit string, received int64) error {
	return x.event(controlproto.EventUnit, controlproto.UnitEvent{UnitID: unit, Received: received})
}

func (x *exchange2) streaming(ctx context.Context, _ string) (context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	return ctx, cancel, nil
}

func (x *exchange2) connecting() error { return x.event("connected", struct{}{}) }
func (x *exchange2) input() io.Reader  { return x.pr }
func (x *exchange2) output() io.Writer { return x }
func (x *exchange2) seal() string {
	if s := x.sealed.Load(); s != nil {
		return *s
	}
	return ""
}
func (x *exchange2) hangup() bool { return false } // the session's business
func (x *exchange2) close(bool)   { x.pr.Close() }

// Write announces and sends output bytes.
func (x *exchange2) Write(p []byte) (int, error) {
	if err := x.session.w.Bytes(x.req.ID, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (x *exchange2) stderr(p []byte) error {
	return x.session.w.StreamBytes(x.req.ID, controlproto.StreamStderr, p)
}

func (x *exchange2) status(u controlproto.UnitStatus) error {
	return x.event(controlproto.EventStatus, u)
}

func (x *exchange2) event(name string, data any) error {
	return x.session.w.JSON(map[string]any{"id": x.req.ID, "event": name, "data": data})
}

// answer ends the request.
func (x *exchange2) answer(reply any, err error) {
	if err != nil {
		x.session.fail(x.req.ID, err)
		return
	}
	if ready, ok := reply.(encoded); ok {
		_ = x.session.w.Result(x.req.ID, ready[:len(ready)-1])
		return
	}
	if reply == nil {
		reply = struct{}{}
	}
	_ = x.session.w.JSON(map[string]any{"id": x.req.ID, "result": reply})
}
