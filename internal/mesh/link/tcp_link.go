package link

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// tcpLink is a link over a byte stream: TCP, or TLS over TCP.
type tcpLink struct {
	conn   net.Conn // the stream: TCP, or *tls.Conn
	wire   *conn    // under TLS, otherwise nil
	in     deframer // the reader's
	out    gather   // the writer's; without TLS
	remote string
	closed atomic.Bool

	// The TLS handshake of an accepted link is made by whoever comes first,
	// reader or writer; the other one waits for it.
	handshake func() error
	state     atomic.Pointer[tls.ConnectionState] // once the handshake has been made
}

func newTCPLink(c net.Conn) *tcpLink {
	l := &tcpLink{conn: c, remote: c.RemoteAddr().String()}
	l.out.to = patientConn{Conn: c, limit: writeTimeout}
	l.in.src = c
	return l
}

func newTLSLink(c *tls.Conn, wire *conn) *tcpLink {
	l := newTCPLink(c)
	l.wire = wire
	l.handshake = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), tlsTimeout)
		defer cancel()
		err := c.HandshakeContext(ctx) // returns at once where Dial has made it
		if err == nil {
			state := c.ConnectionState()
			l.state.Store(&state)
		}
		return err
	})
	return l
}

func (l *tcpLink) MaxFrame() int      { return MaxStreamFrame }
func (l *tcpLink) Lossy() bool        { return false }
func (l *tcpLink) RemoteAddr() string { return l.remote }

// TLS implements Secured.
func (l *tcpLink) TLS() (tls.ConnectionState, bool) {
	if s := l.state.Load(); s != nil {
		return *s, true
	}
	return tls.ConnectionState{}, false
}

// Close implements Link.
func (l *tcpLink) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return nil
	}
	if l.wire != nil {
		l.wire.hurry()
	}
	l.conn.Close()
	return nil
}

// ReadFrame implements Link.
func (l *tcpLink) ReadFrame() (*Frame, error) {
	if l.handshake != nil {
		if err := l.handshake(); err != nil {
			return nil, l.ended(err)
		}
	}
	f, err := l.in.next()
	if err != nil {
		return nil, l.ended(err)
	}
	return f, nil
}

// WriteFrames implements Link.
func (l *tcpLink) WriteFrames(frames []*Frame) error {
	if err := checkFrames(frames, MaxStreamFrame); err != nil {
		return err
	}
	var err error
	if l.wire == nil {
		err = l.out.send(frames)
	} else {
		err = l.writeTLS(frames)
	}
	if err != nil {
		return l.ended(err)
	}
	return nil
}

// writeTLS gives TLS large pieces to make full records of, and sends the
// records together.
func (l *tcpLink) writeTLS(frames []*Frame) error {
	if err := l.handshake(); err != nil {
		return err
	}
	l.wire.cork()
	err := writeCopied(l.conn, frames)
	if e := l.wire.uncork(); err == nil {
		err = e
	}
	return err
}

// ended is ErrClosed if we have closed the link, otherwise err.
func (l *tcpLink) ended(err error) error {
	if l.closed.Load() {
		return ErrClosed
	}
	return err
}
