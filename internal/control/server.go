package control

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/lend"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/work"
)

// DefaultMaxSessions bounds the connections of a Server that are open at once.
// Every unit that another node of ours sent here holds one open, so it is
// higher than people alone would need.
const DefaultMaxSessions = 16384

// shutdownGrace is how long the clients of a daemon that is being stopped may take
// for the last that they are told.
const shutdownGrace = time.Second

// copyBuffer is the size of one read of a payload or a bridge, in bytes, and
// maxBuffers how many of these there are at a time; beyond, it is smallBuffer.
const (
	copyBuffer  = 256 << 10
	maxBuffers  = 32
	smallBuffer = 8 << 10
)

// reserved are the sessions that only clients on Unix sockets get, who are on this
// machine and have been let in by the permissions of the socket: others cannot
// keep them out.
const reserved = 256

// longLine is how long a request line of more than 64 KiB may take to come.
const longLine = time.Minute

// ErrRestart is what an error of Config.Reload is (errors.Is) if there are
// changes that a running node cannot take.
var ErrRestart = errors.New("a restart is needed")

// Config of a Server.
type Config struct {
	Node    *mesh.Node
	Work    *work.Manager
	Version string // as `status` shows it
	// TLSClient finds the entry `tls-client` of that name, for a connect to a
	// node. The empty name is no TLS: nil without an error.
	TLSClient func(name, node string) (*tls.Config, error)
	// Certificates are those of all TLS entries, for status; nil is none.
	Certificates func() []controlproto.Certificate
	// Reload applies the configuration anew. Nil, or an error, is answered as
	// a reload that failed, with number 3 if it is ErrRestart.
	Reload      func(ctx context.Context) error
	Audit       *audit.Log   // nil records nothing
	Logger      *slog.Logger // nil discards
	MaxSessions int          // 0: DefaultMaxSessions
	// PayloadTrace is what is logged of the payloads of submissions.
	PayloadTrace PayloadTrace
}

// Server serves the control protocol on any number of listeners.
type Server struct {
	Config
	slots   chan struct{} // one token for each open session
	buffers *lend.Buffers
	system  system
	lines   *controlproto.Memory // of long requests; Unix sockets are preferred
	crowded atomic.Uint64        // sessions that were refused or had to go because there were too many
	answers answers              // to status
}

// New makes a Server; it starts nothing.
func New(c Config) *Server {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	s := &Server{Config: c, slots: make(chan struct{}, c.MaxSessions), system: readSystem()}
	s.buffers = lend.New(copyBuffer, smallBuffer, maxBuffers)
	s.lines = controlproto.NewMemory()
	return s
}

// Refused counts the connections that were refused, or closed while they waited for
// their clients, because there were too many.
func (s *Server) Refused() uint64 { return s.crowded.Load() }

// Sessions is how many connections are open.
func (s *Server) Sessions() int { return len(s.slots) }

// Serve serves the connections of ln until ctx ends or ln is closed; then it
// closes ln and all connections and waits for them. Requests of version 2 that
// are under way then are answered that the daemon is shutting down. It may be
// called for several listeners at once. Everything is allowed to everyone.
func (s *Server) Serve(ctx context.Context, ln net.Listener, unixSocket bool) error {
	return s.ServeOn(ctx, ln, Terms{UnixSocket: unixSocket})
}

// ServeOn is Serve on terms.
func (s *Server) ServeOn(ctx context.Context, ln net.Listener, terms Terms) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // waited for below if it has begun
		defer close(closed)
		ln.Close()
	})
	// It is closed, and not about to be, when this returns: a Close that comes second does not wait for the first.
	defer func() {
		ln.Close()
		if !stop() {
			<-closed
		}
	}()
	var sessions sync.WaitGroup
	defer sessions.Wait() // after cancel, as deferred calls run backwards
	defer cancel()
	together := &crowd{closed: &s.crowded}
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if conn != nil {
				conn.Close()
			}
			return nil
		}
		if err != nil { // too many open files, say: it passes
			s.Logger.Warn("control connection not accepted", "address", ln.Addr(), "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !s.enter(terms.UnixSocket) {
			s.crowded.Add(1)
			s.Logger.Warn("control connection refused", "cause", "too many sessions")
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // for a line that fits any buffer
			_ = controlproto.NewWriter(conn).Line("ERROR: too many control sessions, try again later")
			conn.Close()
			continue
		}
		sessions.Go(func() { // ends with its connection, which ends with ctx
			defer func() { <-s.slots }()
			s.session(ctx, conn, together, terms)
		})
	}
}

// enter takes a slot for a session, if there is one.
func (s *Server) enter(unixSocket bool) bool {
	if !unixSocket && len(s.slots) >= cap(s.slots)-min(reserved, cap(s.slots)/2) {
		return false
	}
	select {
	case s.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// session serves one connection to its end.
func (s *Server) session(ctx context.Context, conn net.Conn, together *crowd, terms Terms) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	address := conn.RemoteAddr().String()
	s.Logger.Debug("control client connected", "address", address)
	defer s.Logger.Debug("control client disconnected", "address", address)

	from := callerOf(conn)
	here := &presence{crowd: together, conn: conn}
	defer here.leave()
	v1 := &session1{
		server: s, conn: conn, terms: terms, who: from, from: work.Origin{Node: from.Node, UnixSocket: terms.UnixSocket}, here: here,
		r: controlproto.NewReader(conn), w: controlproto.NewWriter(here.writer()),
	}
	v1.r.Share(s.lines, terms.UnixSocket, func() { _ = conn.SetReadDeadline(time.Now().Add(longLine)) }, func() { _ = conn.SetReadDeadline(time.Time{}) })
	defer v1.r.Free()
	stop := context.AfterFunc(ctx, v1.stop)
	defer stop()
	v1.serve(ctx)
	s.Logger.Debug("control session ended", "address", address)
}

func (s *Server) buffer() *lend.Buffer { return s.buffers.Get() }
