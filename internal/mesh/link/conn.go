package link

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/lend"
)

// goodbyeTimeout bounds what TLS writes when a link is closed.
const goodbyeTimeout = 250 * time.Millisecond

// conn is a TCP connection under something that reads and writes in small
// pieces (TLS records, WebSocket headers). It reads ahead, and while it is
// corked it collects what is written.
//
// One goroutine reads. Any goroutine may write: with TLS, also the reader
// does, to answer a change of keys.
type conn struct {
	net.Conn
	in readBuffer

	mu     sync.Mutex // guards what follows; held during writes to keep their order
	corked bool
	out    []byte // collected, in the array of big
	big    *lend.Buffer
	to     patientConn

	flushing atomic.Bool // what was collected is being sent
	closing  atomic.Bool
}

func newConn(c net.Conn) *conn {
	return &conn{Conn: c, in: readBuffer{src: c}, to: patientConn{Conn: c, limit: writeTimeout}}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.in.unread()) == 0 {
		if err := c.in.fill(1); err != nil {
			c.in.err = nil // a deadline may be moved; other errors come again
			return 0, err
		}
	}
	n := copy(p, c.in.unread())
	c.in.r += n
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	for rest := p; len(rest) > 0; {
		if len(c.out) == cap(c.out) {
			if err := c.flushLocked(); err != nil {
				return len(p) - len(rest), err
			}
		}
		n := copy(c.out[len(c.out):cap(c.out)], rest)
		c.out, rest = c.out[:len(c.out)+n], rest[n:]
	}
	return len(p), nil
}

// cork makes writes wait for uncork, or for a full buffer.
func (c *conn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.big = bigBuffers.Get()
	c.out, c.corked = c.big.Bytes[:0], true
}

// uncork sends what was written since cork.
func (c *conn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flushLocked()
	bigBuffers.Put(c.big)
	c.big, c.out, c.corked = nil, nil, false
	return err
}

func (c *conn) flushLocked() error {
	c.flushing.Store(true)
	defer c.flushing.Store(false)
	b := c.out
	c.out = c.out[:0]
	_, err := c.to.Write(b)
	return err
}

// hurry is called before the layers above say goodbye and close: they will not
// wait for a peer that does not read.
func (c *conn) hurry() {
	c.closing.Store(true)
	if c.flushing.Load() {
		c.Conn.Close()
	}
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.closing.Load() {
		if limit := time.Now().Add(goodbyeTimeout); t.IsZero() || t.After(limit) {
			t = limit
		}
	}
	return c.Conn.SetWriteDeadline(t)
}
