package mesh

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Bounds of a listener.
const (
	firstStreamWait = time.Minute // spec mesh-protocol 1
	backlog         = 64          // streams that wait for Accept
	maxSessions     = 4096        // of one service
)

// Reasons of spec mesh-protocol 12.4.
const (
	reasonListenerClosed = "Listener Closed"
	reasonAcceptTimeout  = "Accept Timeout"
	reasonReadData       = "Read Data Error"
	reasonCrowded        = "too many sessions"
)

// listener is a net.Listener for streams. Streams wait in a bounded queue; one
// that finds it full waits too, for as long as an unused stream may.
type listener struct {
	endpoint *endpoint
	addr     Addr
	quic     *quic.Listener
	conns    chan *streamConn
	ended    context.Context // ends with the listener
	end      context.CancelCauseFunc
	once     sync.Once
	accepts  sync.WaitGroup // acceptSessions
}

// listen opens a stream service. If sessions of an earlier listener are left,
// it shares their endpoint.
func (st *streams) listen(s Service) (net.Listener, error) {
	kind := wire.Stream
	if s.TLS != nil {
		kind = wire.StreamTLS
	}
	e, err := st.serviceEndpoint(s, kind)
	if err != nil {
		return nil, err
	}
	config := st.quicConfig()
	config.MaxIncomingStreams = maxStreams
	ql, err := e.transport.Listen(st.serverTLS(s.TLS), config)
	if err != nil {
		st.closeListener(e)
		return nil, streamError(err)
	}
	l := &listener{
		endpoint: e,
		addr:     Addr{st.n.ID, e.sock.service},
		quic:     ql,
		conns:    make(chan *streamConn, backlog),
	}
	l.ended, l.end = context.WithCancelCause(context.Background())
	st.mu.Lock()
	e.listener = l
	e.packets.refuse.Store(false)
	st.mu.Unlock()
	l.accepts.Go(l.acceptSessions) // until Close
	return l, nil
}

// serviceEndpoint returns the endpoint for a new listener.
func (st *streams) serviceEndpoint(s Service, kind wire.ConnType) (*endpoint, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, ErrClosed
	}
	if e := st.endpoints[s.Name]; e != nil && s.Name != "" && e.listener == nil && !e.opening {
		e.opening = true
		st.n.announce(e.sock, s, kind)
		return e, nil
	}
	sock, err := st.n.listen(s, kind, st.serviceProblem)
	if err != nil {
		return nil, err
	}
	e := st.newEndpoint(sock)
	e.opening = true
	st.endpoints[sock.service] = e
	return e, nil
}

// serviceProblem handles a notice about a packet of a session that we accepted:
// an ephemeral service that is gone does not come back, so the session is dead.
// It runs on the reader of a link.
func (st *streams) serviceProblem(reporter wire.NodeID, p wire.Problem) {
	if p.Problem != wire.ProblemServiceUnknown || reporter != p.ToNode {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	e := st.endpoints[p.FromService]
	if e == nil {
		return
	}
	for s := range e.sessions {
		if s.remote.Node == p.ToNode && s.remote.Service == p.ToService {
			s.abort(p.Problem)
		}
	}
}

// acceptSessions takes sessions in until the listener closes.
func (l *listener) acceptSessions() {
	for {
		conn, err := l.quic.Accept(context.Background())
		if err != nil {
			return
		}
		to, ok := conn.RemoteAddr().(*remote)
		st := l.endpoint.st
		st.mu.Lock()
		full := len(l.endpoint.sessions) >= maxSessions
		st.mu.Unlock()
		if !ok || full {
			st.spawn(func() { conn.CloseWithError(codeFailed, reasonCrowded) })
			continue
		}
		s := st.newSession(l.endpoint, conn, to, false)
		switch {
		case s == nil:
		case s.ours:
			st.spawn(func() { l.acceptMany(s) }) // until the session ends
		default:
			st.spawn(func() { l.acceptOne(s) }) // for firstStreamWait
		}
	}
}

// acceptOne takes in the only stream of an original's session.
func (l *listener) acceptOne(s *session) {
	ctx, cancel := context.WithTimeout(s.conn.Context(), firstStreamWait)
	defer cancel()
	stop := context.AfterFunc(l.ended, cancel)
	defer stop()
	stream, err := s.conn.AcceptStream(ctx)
	switch {
	case err != nil && l.ended.Err() == nil:
		s.abort(reasonAcceptTimeout)
	case err != nil:
		s.abort(reasonListenerClosed)
	case l.first(ctx, stream) != byteStream:
		s.abort(reasonReadData)
	case !l.hand(ctx, s.newConn(stream)):
		s.abort(reasonListenerClosed)
	}
}

// acceptMany takes in the streams of a session between nodes of ours. Streams
// that come after the end of the listener are reset.
func (l *listener) acceptMany(s *session) {
	st := l.endpoint.st
	s.release() // what a new session counts
	for {
		stream, err := s.conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		st.mu.Lock()
		s.holdLocked()
		st.mu.Unlock()
		st.spawn(func() { // for firstStreamWait
			ctx, cancel := context.WithTimeout(s.conn.Context(), firstStreamWait)
			defer cancel()
			c := s.newConn(stream)
			switch first := l.first(ctx, stream); {
			case first == byteAsk:
				s.answer(c)
			case first != byteStream || !l.hand(ctx, c):
				c.Reset()
				if l.ended.Err() != nil {
					l.tellOne(s.remote) // the first notice was lost
				}
			}
		})
	}
}

// first reads the byte that every stream begins with; it is negative if there
// is none in time.
func (l *listener) first(ctx context.Context, stream *quic.Stream) int {
	stop := context.AfterFunc(ctx, func() { stream.SetReadDeadline(time.Unix(1, 0)) })
	var b [1]byte
	n, err := stream.Read(b[:])
	if !stop() || n != 1 || err != nil && err != io.EOF {
		return -1
	}
	return int(b[0])
}

// hand passes a stream to Accept.
func (l *listener) hand(ctx context.Context, c *streamConn) bool {
	select {
	case <-l.ended.Done():
		return false
	default:
	}
	select {
	case l.conns <- c:
	case <-l.ended.Done():
		return false
	case <-ctx.Done():
		return false
	}
	if l.ended.Err() != nil {
		l.drain()
	}
	return true
}

// Accept waits for the next stream.
func (l *listener) Accept() (net.Conn, error) {
	if l.ended.Err() != nil {
		return nil, ErrClosed
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended.Done():
		return nil, ErrClosed
	}
}

// Close ends the listener, withdraws the service and resets streams that
// nobody has accepted. Streams that were accepted live on.
func (l *listener) Close() error {
	l.once.Do(func() {
		st := l.endpoint.st
		st.n.withdraw(l.endpoint.sock)
		l.endpoint.packets.refuse.Store(true)
		l.end(ErrClosed)
		l.quic.Close()
		l.accepts.Wait()
		l.drain()
		l.tell()
		st.closeListener(l.endpoint)
	})
	return nil
}

// drain resets the streams that wait for Accept.
func (l *listener) drain() {
	for {
		select {
		case c := <-l.conns:
			c.Reset()
		default:
			return
		}
	}
}

// tell lets the dialers of shared sessions know that these take no more
// streams.
func (l *listener) tell() {
	st := l.endpoint.st
	var tell []*remote
	st.mu.Lock()
	for s := range l.endpoint.sessions {
		if s.ours {
			tell = append(tell, s.remote)
		}
	}
	st.mu.Unlock()
	for _, r := range tell {
		l.tellOne(r)
	}
}

// tellOne tells one of them.
func (l *listener) tellOne(r *remote) {
	n := l.endpoint.st.n
	v := n.view.Load()
	if to := v.byHash[r.hash]; to != nil {
		n.notifyAbout(to, v.byHash[n.hash], r.to, l.endpoint.sock.name, wire.ProblemServiceUnknown)
	}
}

// Addr is the Addr of the service.
func (l *listener) Addr() net.Addr { return l.addr }

// closeListener frees the endpoint for another listener, or closes it if it
// has no sessions.
func (st *streams) closeListener(e *endpoint) {
	st.mu.Lock()
	e.listener, e.opening = nil, false
	unused := st.disuse(e)
	st.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}

// disuse takes out an endpoint of a service that has neither listener nor
// sessions, and returns it to be closed; else nil. streams.mu is held.
func (st *streams) disuse(e *endpoint) *endpoint {
	if e == st.dialer || e.listener != nil || e.opening || len(e.sessions) > 0 || st.endpoints[e.sock.service] != e {
		return nil
	}
	delete(st.endpoints, e.sock.service)
	return e
}
