package link

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// Sizes of UDP. Many datagrams per system call (recvmmsg, sendmmsg) were tried
// and gained nothing that could be measured on loopback.
const (
	maxDatagram = 65535   // bytes, of the buffers to receive in: whatever the system may hand out
	udpBuffer   = 4 << 20 // bytes, of the socket, asked for in both directions; the system may give less
)

// DialUDP returns a dialer to HOST:PORT, which is resolved now.
func DialUDP(addr string) (Dialer, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	return &udpDialer{addr, to}, nil
}

type udpDialer struct {
	addr string
	to   *net.UDPAddr
}

func (d *udpDialer) String() string { return "udp " + d.addr }

// Dial makes a connected socket; nothing is sent.
func (d *udpDialer) Dial(ctx context.Context) (Link, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	c, err := net.DialUDP("udp", nil, d.to)
	if err != nil {
		return nil, err
	}
	enlarge(c)
	return &udpLink{c: c, remote: d.to.String()}, nil
}

// enlarge asks for large socket buffers. Less is not an error: it means that
// more is lost under load, which UDP links are prepared for.
func enlarge(c *net.UDPConn) {
	c.SetReadBuffer(udpBuffer)
	c.SetWriteBuffer(udpBuffer)
}

// udpLink is the dialer's end: a socket of its own.
type udpLink struct {
	c       *net.UDPConn
	buf     []byte // the reader's, made at the first read
	remote  string
	closed  atomic.Bool
	dropped atomic.Uint64
}

func (l *udpLink) MaxFrame() int      { return MaxDatagramFrame }
func (l *udpLink) Lossy() bool        { return true }
func (l *udpLink) RemoteAddr() string { return l.remote }

// Dropped counts the frames that the system refused to send.
func (l *udpLink) Dropped() uint64 { return l.dropped.Load() }

// Close implements Link. The peer is not told.
func (l *udpLink) Close() error {
	if l.closed.CompareAndSwap(false, true) {
		l.c.Close()
	}
	return nil
}

// ReadFrame implements Link. An ICMP error (nobody listens there) is an error.
func (l *udpLink) ReadFrame() (*Frame, error) {
	if l.buf == nil {
		l.buf = make([]byte, maxDatagram)
	}
	for {
		n, err := l.c.Read(l.buf)
		if err != nil {
			l.buf = nil
			return nil, l.ended(err)
		}
		if n > 0 {
			return FrameOf(l.buf[:n]), nil
		}
	}
}

// WriteFrames implements Link.
func (l *udpLink) WriteFrames(frames []*Frame) error {
	if err := checkFrames(frames, MaxDatagramFrame); err != nil {
		return err
	}
	for _, f := range frames {
		_, err := l.c.Write(f.Bytes())
		if isNoRoom(err) {
			l.dropped.Add(1)
		} else if err != nil {
			return l.ended(err)
		}
	}
	return nil
}

// ended is ErrClosed if we have closed the link, otherwise err.
func (l *udpLink) ended(err error) error {
	if l.closed.Load() {
		return ErrClosed
	}
	return err
}

// isNoRoom tells that the system has no room for a datagram now or allows none
// of its size. It is then lost like one that is lost on its way.
func isNoRoom(err error) bool {
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EMSGSIZE)
}
