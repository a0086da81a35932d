package link

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a UDP listener. Sessions are opened by whoever sends a datagram,
// before anything is known about him; what exceeds a bound is dropped.
const (
	maxUDPSessions   = 4096
	udpSessionQueue  = 512       // frames received and not read yet, per session
	udpSessionBytes  = 4 << 20   // and the memory that they take
	udpSessionFloor  = 128 << 10 // which a session has in any case, however much others hold
	udpListenerBytes = 16 << 20  // and that of all sessions together
	udpAcceptQueue   = 128       // sessions opened and not accepted yet
	udpErrorInterval = 10 * time.Millisecond
)

// udpListener shares one socket between sessions, which it tells apart by
// the remote address (spec mesh-protocol 3.2).
type udpListener struct {
	c        *net.UDPConn
	accepted chan *udpSession
	done     chan struct{} // closed by Close
	ended    chan struct{} // closed when the reader goroutine has ended
	once     sync.Once
	dropped  atomic.Uint64
	waiting  atomic.Int64 // bytes of memory that frames take that sessions have not read yet

	mu       sync.Mutex // guards sessions
	sessions map[netip.AddrPort]*udpSession
}

// ListenUDP listens on HOST:PORT. The first datagram of an unknown address
// opens a link. At most 4096 are open at a time: while there are so many,
// datagrams of unknown addresses are dropped.
func ListenUDP(addr string) (Listener, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, err
	}
	enlarge(c)
	l := &udpListener{
		c:        c,
		accepted: make(chan *udpSession, udpAcceptQueue),
		done:     make(chan struct{}),
		ended:    make(chan struct{}),
		sessions: make(map[netip.AddrPort]*udpSession),
	}
	go l.read() // ends when Close closes the socket, which waits for it
	return l, nil
}

func (l *udpListener) Addr() string { return l.c.LocalAddr().String() }

// Dropped counts datagrams of unknown addresses that found no room.
func (l *udpListener) Dropped() uint64 { return l.dropped.Load() }

// Accept implements Listener.
func (l *udpListener) Accept() (Link, error) {
	if isClosed(l.done) {
		return nil, ErrClosed
	}
	select {
	case s := <-l.accepted:
		return s, nil
	case <-l.done:
		return nil, ErrClosed
	}
}

// Close implements Listener.
func (l *udpListener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.c.Close()
	})
	<-l.ended
	return nil
}

// read is the goroutine that serves all sessions. It waits for none of them.
func (l *udpListener) read() {
	defer close(l.ended)
	defer l.closeSessions()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := l.c.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Some systems report here that an earlier datagram was refused
			// somewhere. Whatever it is, the socket lives.
			l.pause()
		case n > 0:
			l.deliver(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

func (l *udpListener) pause() {
	t := time.NewTimer(udpErrorInterval)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.done:
	}
}

// deliver queues a datagram for its session, which it opens if need be.
func (l *udpListener) deliver(b []byte, from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock() // nothing below waits
	s := l.sessions[from]
	if s == nil {
		if len(l.sessions) >= maxUDPSessions || len(l.accepted) == cap(l.accepted) {
			l.dropped.Add(1)
			return
		}
		s = newUDPSession(l, from)
		l.sessions[from] = s
		l.accepted <- s // has room: this goroutine alone sends
	}
	s.deliver(b)
}

func (l *udpListener) remove(s *udpSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sessions[s.from] == s {
		delete(l.sessions, s.from)
	}
}

// discard drops what a session that has closed had waiting. It was removed, so
// nothing is delivered to it any more.
func (l *udpListener) discard(s *udpSession) {
	for {
		select {
		case f := <-s.in:
			s.count(-f.Size())
			f.Release()
		default:
			return
		}
	}
}

func (l *udpListener) closeSessions() {
	l.mu.Lock()
	open := make([]*udpSession, 0, len(l.sessions))
	for _, s := range l.sessions {
		open = append(open, s)
	}
	l.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
}
