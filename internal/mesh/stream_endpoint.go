package mesh

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Parameters of QUIC (spec mesh-protocol 12.1).
const (
	packetSize       = 1452             // bytes in a packet; the original reads no more
	packetSizeLeast  = 1200             // every path of QUIC takes them
	handshakeSilence = 15 * time.Second // without a packet while a session opens
	sessionIdle      = 30 * time.Second // without a packet afterwards
	sessionKeepAlive = 15 * time.Second // of the dialer

	// Receive windows. They fit a long fat path: 24 MiB are 1 Gbit/s at 200 ms.
	streamWindow     = 4 << 20
	streamWindowMax  = 16 << 20
	sessionWindow    = 6 << 20
	sessionWindowMax = 24 << 20

	maxStreams = 4096 // open at a time in one session
)

// streams are the stream services and sessions of a node.
type streams struct {
	n    *Node
	cert func() (tls.Certificate, error) // made once

	mu        sync.Mutex
	dialer    *endpoint                  // of all sessions that we dial; nil before the first
	endpoints map[wire.Service]*endpoint // of services
	pools     map[poolKey]*pool
	dials     map[*attempt]struct{} // under way
	closed    bool
}

func (st *streams) init(n *Node) {
	st.n = n
	st.cert = sync.OnceValues(anonymousCert)
	st.endpoints = make(map[wire.Service]*endpoint)
	st.pools = make(map[poolKey]*pool)
	st.dials = make(map[*attempt]struct{})
}

// quicConfig is the configuration of all sessions.
func (st *streams) quicConfig() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           handshakeSilence,
		MaxIdleTimeout:                 sessionIdle,
		InitialPacketSize:              uint16(st.n.PacketSize),
		DisablePathMTUDiscovery:        true,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindowMax,
		InitialConnectionReceiveWindow: sessionWindow,
		MaxConnectionReceiveWindow:     sessionWindowMax,
		MaxIncomingUniStreams:          -1,
	}
}

// endpoint is a QUIC transport on a local service: that of a stream service,
// or the one that dials. It lives as long as it has a listener or sessions.
type endpoint struct {
	st        *streams
	sock      *socket
	packets   *packets
	transport *quic.Transport

	// Guarded by streams.mu.
	listener *listener // nil if nobody listens (any more)
	opening  bool      // a listener is being made
	sessions map[*session]struct{}
}

// newEndpoint makes an endpoint on a socket.
func (st *streams) newEndpoint(sock *socket) *endpoint {
	e := &endpoint{st: st, sock: sock, packets: &packets{sock: sock}, sessions: make(map[*session]struct{})}
	var key quic.StatelessResetKey
	rand.Read(key[:])
	e.transport = &quic.Transport{Conn: e.packets, StatelessResetKey: &key}
	return e
}

// close ends the transport and frees the service. Sessions that are left end
// without a word.
func (e *endpoint) close() {
	e.sock.Close() // first: writers that wait for a link let go
	e.transport.Close()
}

// close ends everything; sessions that are open are told in passing.
func (st *streams) close() {
	st.mu.Lock()
	st.closed = true
	var endpoints []*endpoint
	if st.dialer != nil {
		endpoints = append(endpoints, st.dialer)
	}
	for _, e := range st.endpoints {
		endpoints = append(endpoints, e)
	}
	var sessions []*session
	st.each(func(s *session) { sessions = append(sessions, s) })
	var listeners []*listener
	for _, e := range endpoints {
		if e.listener != nil {
			listeners = append(listeners, e.listener)
		}
	}
	for a := range st.dials {
		if a.cancel != nil {
			a.cancel(ErrClosed)
		}
	}
	st.mu.Unlock()

	var told sync.WaitGroup
	for _, s := range sessions {
		told.Go(func() { s.conn.CloseWithError(codeFailed, reasonShutdown) })
	}
	// A link that takes nothing must not hold up the shutdown.
	late := time.AfterFunc(shutdownPatience, func() {
		for _, e := range endpoints {
			e.sock.Close()
		}
	})
	told.Wait()
	late.Stop()
	for _, l := range listeners {
		l.Close()
	}
	for _, e := range endpoints {
		e.close()
	}
}

// spawn runs f on a goroutine that the node waits for. After the end of the
// node it does nothing.
func (st *streams) spawn(f func()) {
	if !st.n.box.enter() {
		return
	}
	go func() {
		defer st.n.box.wg.Done()
		f()
	}()
}

// shutdownPatience is how long sessions may take to tell the other end that
// the node goes.
const shutdownPatience = 200 * time.Millisecond

// restarted closes the sessions with nodes that are not the same process any
// more. It does not wait.
func (st *streams) restarted(nodes []wire.NodeID) {
	st.mu.Lock()
	defer st.mu.Unlock()
	gone := make(map[wire.NodeID]bool, len(nodes))
	for _, id := range nodes {
		gone[id] = true
	}
	st.each(func(s *session) {
		if gone[s.remote.Node] {
			s.abort(reasonRestart)
		}
	})
}

// each calls f for all sessions; streams.mu is held.
func (st *streams) each(f func(*session)) {
	if st.dialer != nil {
		for s := range st.dialer.sessions {
			f(s)
		}
	}
	for _, e := range st.endpoints {
		for s := range e.sessions {
			f(s)
		}
	}
}

// routesChanged looks which sessions have lost their route. One that was
// without for long takes no new streams: its packets may wait for a timer that
// has backed off, or the other end may have given it up. It does not wait.
func (st *streams) routesChanged(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	v := st.n.view.Load()
	for _, p := range st.pools {
		for _, s := range p.sessions {
			d := v.byName[s.remote.Node]
			lost := d == nil || d.next == nil && d.hash != st.n.hash
			switch {
			case lost && s.lostAt.IsZero():
				s.lostAt = now
			case !lost && !s.lostAt.IsZero():
				if now.Sub(s.lostAt) >= lostRoute {
					s.retired = true
				}
				s.lostAt = time.Time{}
			}
		}
		p.prune()
	}
}

// lostRoute is how long a session may be without a route and yet take streams
// afterwards.
const lostRoute = 10 * time.Second

// dial opens a stream.
func (st *streams) dial(ctx context.Context, node wire.NodeID, service wire.Service, tlsc *tls.Config) (net.Conn, error) {
	if len(service) > len(wire.ServiceName{}) {
		return nil, errServiceTooLong
	}
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		dst, err := st.n.resolve(node)
		if err != nil {
			return nil, err
		}
		if err := st.reachable(dst, service); err != nil {
			return nil, err
		}
		s, fresh, err := st.session(ctx, poolKey{dst.id, service, tlsc})
		if err != nil {
			return nil, err
		}
		c, err := s.open()
		if err == nil {
			return c, nil
		}
		st.retire(s)
		if fresh || try >= 2 || ctx.Err() != nil {
			return nil, streamError(err)
		}
		// The session that was there is dead or full: try a new one.
	}
}

// reachable makes the checks that need no packet.
func (st *streams) reachable(dst *destination, service wire.Service) error {
	name := service.Name()
	reserved := service == wire.Ping || service == wire.Unreachable
	switch {
	case reserved:
		return ErrServiceUnknown
	case dst.hash == st.n.hash:
		if st.n.local.lookup(name) == nil {
			return ErrServiceUnknown
		}
	case dst.next == nil:
		return unreachable(dst)
	}
	return nil
}
