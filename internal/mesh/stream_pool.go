package mesh

import (
	"context"
	"crypto/tls"
	"slices"

	"github.com/quic-go/quic-go"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// poolKey names what a session leads to.
type poolKey struct {
	node    wire.NodeID
	service wire.Service
	tls     *tls.Config // compared by address
}

// pool has the sessions that streams to one service may share. Dials to a
// service wait for the one that is under way, in the hope to share its
// session, unless the service turned out to speak the original's protocol.
type pool struct {
	sessions []*session // that take more streams, oldest first
	dialing  *attempt   // under way; nil if none
	plain    bool       // the last session was of the original's kind
}

// prune drops sessions that take no more streams.
func (p *pool) prune() {
	p.sessions = slices.DeleteFunc(p.sessions, func(s *session) bool { return s.retired })
}

// attempt is a dial under way.
type attempt struct {
	key    poolKey
	cancel context.CancelCauseFunc
	done   chan struct{} // closed at the end
	err    error         // valid once done is closed; nil if it succeeded or was canceled by its caller
}

// session returns a session for one more stream, which it dials if there is
// none to share; fresh tells so.
func (st *streams) session(ctx context.Context, key poolKey) (s *session, fresh bool, err error) {
	for {
		st.mu.Lock()
		if st.closed {
			st.mu.Unlock()
			return nil, false, ErrClosed
		}
		p := st.pools[key]
		if p == nil {
			p = &pool{}
			st.pools[key] = p
		}
		for _, s := range p.sessions {
			if !s.retired && s.conn.Context().Err() == nil {
				s.holdLocked()
				st.mu.Unlock()
				return s, false, nil
			}
		}
		if a := p.dialing; a != nil && !p.plain {
			st.mu.Unlock()
			select {
			case <-a.done:
			case <-ctx.Done():
				return nil, false, context.Cause(ctx)
			}
			if a.err != nil {
				return nil, false, a.err
			}
			continue
		}
		a := &attempt{key: key, done: make(chan struct{})}
		if p.dialing == nil {
			p.dialing = a
		}
		st.dials[a] = struct{}{}
		st.mu.Unlock()
		s, err := st.connect(ctx, a)
		return s, true, err
	}
}

// connect carries out a dial and enters its outcome. The session counts one
// stream for the caller.
func (st *streams) connect(ctx context.Context, a *attempt) (*session, error) {
	dctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	st.mu.Lock()
	a.cancel = cancel
	st.mu.Unlock()
	s, err := st.handshake(dctx, a.key)

	st.mu.Lock()
	defer st.mu.Unlock()
	p := st.pools[a.key]
	if p == nil { // dropped meanwhile: a dial beside another does not hold it
		p = &pool{}
		st.pools[a.key] = p
	}
	delete(st.dials, a)
	if p.dialing == a {
		p.dialing = nil
	}
	defer close(a.done)
	if err != nil {
		if cause := context.Cause(dctx); cause != nil {
			err = cause
		}
		err = streamError(err)
		if ctx.Err() == nil {
			a.err = err // others that wait need not try it again
		}
		st.dropPool(a.key)
		return nil, err
	}
	if st.closed {
		s.abort(reasonShutdown)
		return nil, ErrClosed
	}
	p.plain = !s.ours
	if s.ours {
		p.sessions = append(p.sessions, s)
	}
	return s, nil
}

// handshake opens a session.
func (st *streams) handshake(ctx context.Context, key poolKey) (*session, error) {
	e, err := st.dialerEndpoint()
	if err != nil {
		return nil, err
	}
	config := st.quicConfig()
	config.KeepAlivePeriod = sessionKeepAlive
	config.MaxIncomingStreams = -1
	to := newRemote(key.node, key.node.Hash(), key.service.Name())
	conn, err := st.dialQUIC(ctx, e, to, st.clientTLS(key.tls), config)
	if err != nil {
		return nil, err
	}
	if s := st.newSession(e, conn, to, true); s != nil {
		return s, nil
	}
	return nil, ErrClosed
}

// dialQUIC is Dial of the transport, but does not wait for a packet that waits
// for room in the queue of a link when ctx ends.
func (st *streams) dialQUIC(ctx context.Context, e *endpoint, to *remote, tlsc *tls.Config, c *quic.Config) (*quic.Conn, error) {
	if !st.n.box.enter() {
		return nil, ErrClosed
	}
	type outcome struct {
		conn *quic.Conn
		err  error
	}
	done := make(chan outcome)
	go func() { // ends soon after ctx, when the link takes a packet or closes
		defer st.n.box.wg.Done()
		conn, err := e.transport.Dial(ctx, to, tlsc, c)
		select {
		case done <- outcome{conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.CloseWithError(codeFailed, "")
			}
		}
	}()
	select {
	case o := <-done:
		return o.conn, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// dialerEndpoint returns the endpoint of all dials, made at the first.
func (st *streams) dialerEndpoint() (*endpoint, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, ErrClosed
	}
	if st.dialer == nil {
		st.dialer = st.newEndpoint(st.n.local.ephemeral(&socket{node: st.n, problem: st.dialProblem}))
	}
	return st.dialer, nil
}

// dialProblem handles a notice about a packet of a session that we dialled. It
// ends the dials under way to that service at once. Notices are not proof, so
// a session that is open is not closed, but takes no more streams: the next
// dial finds out. It runs on the reader of a link.
func (st *streams) dialProblem(reporter wire.NodeID, p wire.Problem) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for a := range st.dials {
		if a.key.node == p.ToNode && a.key.service == p.ToService && a.cancel != nil {
			a.cancel(problemError(p.Problem))
		}
	}
	if p.Problem != wire.ProblemServiceUnknown || reporter != p.ToNode {
		return
	}
	for key, pool := range st.pools {
		if key.node == p.ToNode && key.service == p.ToService {
			for _, s := range pool.sessions {
				s.retired = true
			}
			pool.prune()
		}
	}
}

// retire takes a session out of its pool, as the caller has failed to open the
// stream that it held.
func (st *streams) retire(s *session) {
	st.mu.Lock()
	s.retired = true
	for _, p := range st.pools {
		p.prune()
	}
	st.mu.Unlock()
	s.release()
}

// dropPool forgets a pool that holds nothing; streams.mu is held.
func (st *streams) dropPool(key poolKey) {
	if p := st.pools[key]; p != nil && len(p.sessions) == 0 && p.dialing == nil {
		delete(st.pools, key)
	}
}
