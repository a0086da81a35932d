package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	handshakeTimeout = 10 * time.Second // spec control-protocol 1.2
	maxHandshakes    = 256              // at a time; with one more the oldest is given up
)

// Listen returns a listener of those connections of ln that have passed the TLS handshake; ln belongs to it. Handshakes
// take 10 s at most, and there is a bound on how many are under way, so that who does not pass costs little. A nil log
// discards.
func Listen(ln net.Listener, c *tls.Config, log *slog.Logger) net.Listener {
	return newListener(ln, c, log, maxHandshakes, handshakeTimeout)
}

func newListener(ln net.Listener, c *tls.Config, log *slog.Logger, limit int, timeout time.Duration) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{
		Listener: ln, config: c, log: logger(log), limit: limit, timeout: timeout,
		accepted: make(chan accepted), ctx: ctx, cancel: cancel,
	}
	l.running.Go(l.accept) // until Close
	return l
}

type listener struct {
	net.Listener
	config   *tls.Config
	log      *slog.Logger
	limit    int
	timeout  time.Duration
	accepted chan accepted
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex // guards pending
	pending []net.Conn // oldest first
}

// accepted is the outcome of one Accept.
type accepted struct {
	conn net.Conn
	err  error
}

// accept takes connections until the listener is closed.
func (l *listener) accept() {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			l.begin(conn)
			l.running.Go(func() { l.handshake(conn) }) // for l.timeout, or until Close
		case errors.Is(err, net.ErrClosed):
			l.cancel()
			return
		default:
			l.hand(accepted{err: err})
		}
	}
}

// begin notes a connection, and gives up the oldest if there are too many.
func (l *listener) begin(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= l.limit {
		l.pending[0].Close()
		l.pending = l.pending[1:]
	}
	l.pending = append(l.pending, conn)
}

func (l *listener) end(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.pending {
		if c == conn {
			l.pending = append(l.pending[:i], l.pending[i+1:]...)
			return
		}
	}
}

func (l *listener) handshake(conn net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	secure := tls.Server(conn, l.config)
	err := secure.HandshakeContext(ctx)
	l.end(conn)
	if err != nil {
		if l.ctx.Err() == nil {
			l.log.Error("TLS handshake failed", "address", conn.RemoteAddr(), "err", err)
		}
		conn.Close()
		return
	}
	if !l.hand(accepted{conn: secure}) {
		conn.Close()
	}
}

// hand passes something to Accept, unless the listener is closed first.
func (l *listener) hand(a accepted) bool {
	select {
	case l.accepted <- a:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// Accept waits for the next connection that has passed.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener and the handshakes under way, and waits for them. Connections that were accepted live on.
func (l *listener) Close() error {
	l.cancel()
	err := l.Listener.Close()
	l.running.Wait()
	return err
}
