package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	maxConns     = 4096             // joined at a time by one listener
	openTimeout  = 15 * time.Second // of a TLS handshake or a TCP dial
	minPause     = 5 * time.Millisecond
	maxPause     = time.Second
	pauseGrowths = 2 // how much longer each wait after an error of accept is
)

// dialFunc opens the other side of one accepted connection.
type dialFunc func(ctx context.Context) (net.Conn, error)

// server joins what it accepts with what it dials.
type server struct {
	ln    net.Listener
	dial  dialFunc
	log   *slog.Logger // with attributes that name the service
	conns sync.WaitGroup
	slots chan struct{} // one per connection

	mu     sync.Mutex // guards failed
	failed string     // the text of the last dial's error, empty if it succeeded
}

// serve runs until ctx ends, then closes ln and all connections, waits for
// them and returns nil; or until ln is closed by somebody else, which leaves
// the connections to their end and returns that error.
func serve(ctx context.Context, ln net.Listener, dial dialFunc, log *slog.Logger) error {
	s := &server{ln: ln, dial: dial, log: log, slots: make(chan struct{}, maxConns)}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close() // so that it is closed, and not about to be, when serve returns
	defer s.conns.Wait()
	pause := minPause
	for s.reserve(ctx) {
		c, err := ln.Accept()
		if err == nil {
			pause = minPause
			// Ends when both directions have, at a failure, or with ctx.
			s.conns.Go(func() {
				defer func() { <-s.slots }()
				s.handle(ctx, c)
			})
			continue
		}
		<-s.slots
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		s.log.Warn("accept failed", "err", err)
		wait(ctx, pause)
		pause = min(pause*pauseGrowths, maxPause)
	}
	return nil
}

// reserve takes a slot, or returns false when ctx ends.
func (s *server) reserve(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	s.log.Warn("too many connections, new ones wait", "limit", maxConns)
	select {
	case s.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// handle owns an accepted connection.
func (s *server) handle(ctx context.Context, c net.Conn) {
	if err := handshake(ctx, c); err != nil {
		c.Close()
		s.log.Debug("handshake failed", "address", c.RemoteAddr().String(), "err", err)
		return
	}
	other, err := s.dial(ctx)
	s.dialed(ctx, err)
	if err != nil {
		abort(c)
		return
	}
	sent, received, err := join(ctx, c, other)
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.Debug("connection ended", "address", c.RemoteAddr().String(),
			"sent", sent, "received", received, "err", err)
	}
}

// handshake makes the TLS handshake of a connection that has one, so that
// nothing is dialled for a client that does not pass it.
func handshake(ctx context.Context, c net.Conn) error {
	h, ok := c.(interface{ HandshakeContext(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return h.HandshakeContext(ctx)
}

// dialed logs how a dial went, if that differs from the one before.
func (s *server) dialed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	before := s.failed
	s.failed = text
	s.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		s.log.Info("dial succeeds again")
	default:
		s.log.Warn("dial failed", "err", err)
	}
}
