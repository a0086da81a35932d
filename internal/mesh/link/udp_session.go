package link

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// udpSession is the listener's end of a link: a remote address and a queue.
// It has no goroutine of its own.
type udpSession struct {
	ln      *udpListener
	from    netip.AddrPort
	in      chan *Frame   // filled by the listener's reader, which drops what finds no room
	done    chan struct{} // closed by Close
	once    sync.Once
	dropped atomic.Uint64
	waiting atomic.Int64 // bytes of memory that in takes
}

func newUDPSession(l *udpListener, from netip.AddrPort) *udpSession {
	return &udpSession{
		ln:   l,
		from: from,
		in:   make(chan *Frame, udpSessionQueue),
		done: make(chan struct{}),
	}
}

func (s *udpSession) MaxFrame() int      { return MaxDatagramFrame }
func (s *udpSession) Lossy() bool        { return true }
func (s *udpSession) RemoteAddr() string { return s.from.String() }

// Dropped counts the frames that came faster than they were read, and those
// that the system refused to send.
func (s *udpSession) Dropped() uint64 { return s.dropped.Load() }

// Close implements Link. The peer is not told; the next datagram of its
// address opens another link.
func (s *udpSession) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.ln.remove(s)
		s.ln.discard(s)
	})
	return nil
}

// deliver is called by the listener's reader alone.
func (s *udpSession) deliver(b []byte) {
	room := max(udpSessionFloor, min(udpSessionBytes, udpListenerBytes-s.ln.waiting.Load()))
	if len(s.in) == cap(s.in) || s.waiting.Load() >= room {
		s.dropped.Add(1)
		return
	}
	f := FrameOf(b)
	s.count(f.Size())
	s.in <- f // has room: this goroutine alone sends
}

// count enters that the queue takes so much more memory.
func (s *udpSession) count(bytes int) {
	s.waiting.Add(int64(bytes))
	s.ln.waiting.Add(int64(bytes))
}

// ReadFrame implements Link.
func (s *udpSession) ReadFrame() (*Frame, error) {
	if isClosed(s.done) {
		return nil, ErrClosed
	}
	select {
	case f := <-s.in:
		s.count(-f.Size())
		return f, nil
	case <-s.done:
		return nil, ErrClosed
	}
}

// WriteFrames implements Link.
func (s *udpSession) WriteFrames(frames []*Frame) error {
	if err := checkFrames(frames, MaxDatagramFrame); err != nil {
		return err
	}
	for _, f := range frames {
		if isClosed(s.done) {
			return ErrClosed
		}
		_, err := s.ln.c.WriteToUDPAddrPort(f.Bytes(), s.from)
		if isNoRoom(err) {
			s.dropped.Add(1)
		} else if err != nil {
			return err
		}
	}
	return nil
}
