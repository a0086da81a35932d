package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// errCut is what a connection says whose link was cut.
var errCut = errors.New("no route to node")

// link is the way from a controller to one executor, in memory. It can be cut.
type link struct {
	t     testing.TB
	ours  bool
	serve func(conn *end) // one connection; returns when it is done with it

	mu    sync.Mutex
	down  bool
	conns map[*end]bool // both ends of the open ones
	dials int
	// budget, if not negative, is how many more bytes go through in each
	// direction of the next connection before it breaks.
	budget int64
	wg     sync.WaitGroup
}

func newLink(t testing.TB, ours bool, serve func(*end)) *link {
	l := &link{t: t, ours: ours, serve: serve, conns: make(map[*end]bool), budget: -1}
	t.Cleanup(func() { l.cut(); l.wg.Wait() })
	return l
}

func (l *link) dial(ctx context.Context, _, _ string) (io.ReadWriteCloser, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, false, errCut
	}
	l.dials++
	x, y := newPipe(), newPipe()
	a, b := &end{l: l, r: x, w: y}, &end{l: l, r: y, w: x}
	for _, e := range []*end{a, b} {
		e.left.Store(1 << 60)
		if l.budget >= 0 {
			e.left.Store(l.budget)
		}
		l.conns[e] = true
	}
	l.budget = -1
	l.wg.Go(func() { // ends with the connection
		defer b.Close()
		l.serve(b)
	})
	return a, l.ours, nil
}

// cut breaks all connections, and lets none come up until mend.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for e := range l.conns {
		e.breakOff()
	}
	clear(l.conns)
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

func (l *link) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) / 2
}

// end is one end of a connection.
type end struct {
	l    *link
	r, w *pipe
	left atomic.Int64
}

// pipe is one direction: a buffer of 1 MiB.
type pipe struct {
	mu     sync.Mutex
	moved  sync.Cond
	buf    []byte
	err    error // for the reader, once buf is empty
	broken error // for both, at once
	over   chan struct{}
}

func newPipe() *pipe {
	p := &pipe{over: make(chan struct{})}
	p.moved.L = &p.mu
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) == 0 && p.err == nil && p.broken == nil {
		p.moved.Wait()
	}
	if p.broken != nil {
		return 0, p.broken
	}
	n := copy(b, p.buf)
	if p.buf = p.buf[n:]; n == 0 {
		return 0, p.err
	}
	p.moved.Broadcast()
	return n, nil
}

func (p *pipe) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		for len(p.buf) >= 1<<20 && p.broken == nil {
			p.moved.Wait()
		}
		if p.broken != nil || p.err != nil {
			return n, io.ErrClosedPipe
		}
		part := b[:min(len(b), 1<<20-len(p.buf))]
		p.buf = append(p.buf, part...)
		b = b[len(part):]
		n += len(part)
		p.moved.Broadcast()
	}
	return n, nil
}

// end ends the direction behind what is in it.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.broken == nil {
		close(p.over)
	}
	if p.err == nil {
		p.err = io.EOF
	}
	p.moved.Broadcast()
}

// breakOff ends it at once.
func (p *pipe) breakOff(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.broken == nil {
		close(p.over)
	}
	if p.broken == nil {
		p.broken = err
	}
	p.moved.Broadcast()
}

func (e *end) Read(p []byte) (int, error) { return e.r.Read(p) }

func (e *end) Write(p []byte) (int, error) {
	if left := e.left.Add(-int64(len(p))); left < 0 {
		n, _ := e.w.Write(p[:max(0, int64(len(p))+left)])
		e.l.mu.Lock()
		for c := range e.l.conns { // one connection at a time where this is used
			c.breakOff()
		}
		e.l.mu.Unlock()
		return n, errCut
	}
	return e.w.Write(p)
}

func (e *end) CloseWrite() error { e.w.end(); return nil }

func (e *end) breakOff() {
	e.r.breakOff(errCut)
	e.w.breakOff(errCut)
}

func (e *end) Close() error {
	e.r.breakOff(io.ErrClosedPipe)
	e.w.end()
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	delete(e.l.conns, e)
	return nil
}

// serveV2 is a small control service of version 2 in front of a node, whose
// Manager may be replaced by a restart.
func serveV2(n *node, from string) func(*end) {
	return func(conn *end) {
		s := &session{n: n, from: from, r: controlproto.NewReader(conn), w: controlproto.NewWriter(conn), over: conn.r.over}
		s.w.Line(controlproto.Greeting(n.c.Node))
		if _, err := s.r.ReadLine(); err != nil {
			return
		}
		s.w.JSON(controlproto.Welcome{Version: 2, Node: n.c.Node})
		for {
			line, err := s.r.ReadLine()
			if err != nil {
				return
			}
			l, err := controlproto.ParseLine2(line)
			if err != nil || l.Request == nil {
				n.t.Errorf("line %s: %v", line, err)
				return
			}
			result, err := s.request(l.Request)
			if err == errGone {
				return
			}
			f := controlproto.Frame{ID: l.Request.ID}
			if err != nil {
				f.Error = controlproto.New(controlproto.CodeOf(err), err.Error())
			} else {
				f.Result, _ = json.Marshal(result)
			}
			if s.w.JSON(f) != nil {
				return
			}
		}
	}
}

// errGone ends a session without an answer.
var errGone = errors.New("the client is gone")

type session struct {
	n    *node
	from string
	r    *controlproto.Reader
	w    *controlproto.Writer
	id   uint64
	over <-chan struct{} // closed when the client sends no more
}

func (s *session) request(r *controlproto.Request) (any, error) {
	s.id = r.ID
	sub, _ := r.String("subcommand")
	unit, _ := r.String("unitid")
	m := s.n.m
	switch sub {
	case "cancel", "release", "follow":
		signature, _ := r.String("signature")
		if err := m.Authorize(sub, unit, signature, Origin{Node: s.from}); err != nil {
			return nil, err
		}
	}
	switch sub {
	case "submit":
		return s.submit(m, r)
	case "status":
		return m.Status(unit)
	case "cancel":
		_, err := m.Cancel(context.Background(), unit)
		return map[string]string{"cancelled": unit}, err
	case "release":
		_, err := m.Release(context.Background(), unit, false)
		return map[string]string{"released": unit}, err
	case "follow":
		from, _ := r.Fields["startpos"].(json.Number).Int64()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() { // as a follower that is gone ends its request
			select {
			case <-s.over:
				cancel()
			case <-ctx.Done():
			}
		}()
		last, err := m.Follow(ctx, unit, FollowOptions{From: from}, s)
		if err != nil && controlproto.CodeOf(err) == controlproto.Internal {
			return nil, errGone
		}
		return last, err
	}
	return nil, errors.New("bad command")
}

func (s *session) submit(m *Manager, r *controlproto.Request) (any, error) {
	var q controlproto.Submit
	raw, _ := json.Marshal(r.Fields)
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, err
	}
	sub, err := m.Create(q, Origin{Node: s.from})
	if err != nil {
		s.drain()
		return nil, err
	}
	data, _ := json.Marshal(controlproto.UnitEvent{UnitID: sub.ID(), Received: sub.Received()})
	s.w.JSON(controlproto.Frame{ID: s.id, Event: controlproto.EventUnit, Data: data})
	for {
		f, err := s.frame()
		if err != nil {
			sub.Abort(err)
			return nil, errGone
		}
		if f.EOF {
			sub.Seal(f.Signature)
			done, err := sub.Start(context.Background())
			return done, err
		}
		to := &tolerant{w: sub}
		if _, err := io.CopyN(to, s.r, f.Bytes); err != nil {
			sub.Abort(err)
			return nil, errGone
		}
		if to.err != nil {
			sub.Abort(to.err)
			s.drain()
			return nil, fmt.Errorf("error reading input data: %w", to.err)
		}
	}
}

// tolerant keeps its writer's first error and drops the rest, as the control
// service does with the payload of a submission that has failed.
type tolerant struct {
	w   io.Writer
	err error
}

func (t *tolerant) Write(p []byte) (int, error) {
	if t.err == nil {
		_, t.err = t.w.Write(p)
	}
	return len(p), nil
}

func (s *session) frame() (controlproto.Frame, error) {
	line, err := s.r.ReadLine()
	if err != nil {
		return controlproto.Frame{}, err
	}
	l, err := controlproto.ParseLine2(line)
	return l.Frame, err
}

// drain drops the payload of a refused submission.
func (s *session) drain() {
	for {
		f, err := s.frame()
		if err != nil || f.EOF {
			return
		}
		io.CopyN(io.Discard, s.r, f.Bytes)
	}
}

func (s *session) Status(u controlproto.UnitStatus) error {
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return s.w.JSON(controlproto.Frame{ID: s.id, Event: controlproto.EventStatus, Data: data})
}

func (*session) Stderr([]byte) error { return nil }

func (s *session) Output(p []byte) error { return s.w.Bytes(s.id, p) }
