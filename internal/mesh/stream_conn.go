package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// streamConn is one stream as a net.Conn.
type streamConn struct {
	session *session
	stream  *quic.Stream
	local   Addr

	mu       sync.Mutex
	writing  bool // a Write is under way
	sendDone bool // nothing more will be written
	readDone bool // nothing more will be read
	released bool // both, and the session knows
}

var _ net.Conn = (*streamConn)(nil)

// open opens a stream on a session that counts it already. The zero byte tells
// the acceptor that the stream is there (spec mesh-protocol 12.2).
func (s *session) open() (net.Conn, error) {
	stream, err := s.conn.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte{byteStream}); err != nil { // is buffered, does not wait
		return nil, err
	}
	return s.newConn(stream), nil
}

// newConn makes the connection for a stream that the session counts.
func (s *session) newConn(stream *quic.Stream) *streamConn {
	return &streamConn{session: s, stream: stream, local: Addr{s.endpoint.st.n.ID, s.endpoint.sock.service}}
}

// Read reads what has arrived.
func (c *streamConn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	if err == nil {
		return n, nil
	}
	ended := err == io.EOF
	err = streamError(err)
	switch {
	case ended:
		c.session.sawEnd.Store(true)
	case err == io.EOF && c.session.ours: // a session of ours has no streams left when it closes
		err = ErrReset
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.end(false, true)
	}
	return n, err
}

// Write returns when b has been sent, but for a rest of less than a packet.
func (c *streamConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.sendDone {
		c.mu.Unlock()
		return 0, ErrClosed
	}
	c.writing = true
	c.mu.Unlock()
	n, err := c.stream.Write(b)
	c.mu.Lock()
	c.writing = false
	c.mu.Unlock()
	if err == nil {
		return n, nil
	}
	err = streamError(err)
	if err == io.EOF { // the session was closed regularly, but we had more to say
		err = ErrReset
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.end(true, false)
	}
	return n, err
}

// CloseWrite ends our direction: the other end reads all that was written and
// then io.EOF. A Write under way is cut off, and the other end told so.
func (c *streamConn) CloseWrite() error {
	c.mu.Lock()
	done, writing := c.sendDone, c.writing
	c.sendDone = true
	c.mu.Unlock()
	if done {
		return nil
	}
	if writing {
		c.stream.CancelWrite(codeFailed)
	} else {
		c.stream.Close()
	}
	c.end(true, false)
	return nil
}

// Close ends our direction as CloseWrite does and gives up the other. What was
// written still arrives; it is the session that waits for that.
func (c *streamConn) Close() error {
	c.CloseWrite()
	c.mu.Lock()
	done := c.readDone
	c.mu.Unlock()
	if !done {
		c.stream.CancelRead(codeAbandon)
		c.end(false, true)
	}
	return nil
}

// Reset gives up both directions; unless ours has ended already, the other end
// sees a failure, not an end.
func (c *streamConn) Reset() {
	c.mu.Lock()
	done := c.sendDone
	c.sendDone = true
	c.mu.Unlock()
	c.stream.CancelRead(codeFailed)
	if !done {
		c.stream.CancelWrite(codeFailed)
	}
	c.end(true, true)
}

// WriteContext ends when nothing can be written any more: the other end has
// given up reading, the session has ended, or our direction has.
func (c *streamConn) WriteContext() context.Context { return c.stream.Context() }

// end notes that directions have ended, and gives the stream back to its
// session when both have.
func (c *streamConn) end(send, read bool) {
	c.mu.Lock()
	c.sendDone = c.sendDone || send
	c.readDone = c.readDone || read
	last := c.sendDone && c.readDone && !c.released
	c.released = c.released || last
	c.mu.Unlock()
	if last {
		c.session.release()
	}
}

// ConnectionState is that of the TLS of the session. The end that listens has
// accepted the certificates in it, if there are any.
func (c *streamConn) ConnectionState() tls.ConnectionState {
	return c.session.conn.ConnectionState().TLS
}

// LocalAddr and RemoteAddr are of type Addr.
func (c *streamConn) LocalAddr() net.Addr  { return c.local }
func (c *streamConn) RemoteAddr() net.Addr { return c.session.remote.Addr }

// The deadlines work as usual; reads and writes that wait are affected.
func (c *streamConn) SetDeadline(t time.Time) error      { return c.stream.SetDeadline(t) }
func (c *streamConn) SetReadDeadline(t time.Time) error  { return c.stream.SetReadDeadline(t) }
func (c *streamConn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }
