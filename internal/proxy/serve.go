package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	maxConns    = 4096             // at a time, of one listener
	openTimeout = 15 * time.Second // of a dial of a socket
)

// dialFunc opens the other side of one accepted connection.
type dialFunc func(ctx context.Context) (net.Conn, error)

// server handles what it accepts, each connection on its own.
type server struct {
	ln     net.Listener
	handle func(ctx context.Context, c net.Conn) // owns c; ends when ctx does
	log    *slog.Logger                          // with attributes that name the service
	conns  sync.WaitGroup
	slots  chan struct{} // one per connection
}

// serve joins what ln accepts with what it dials, as accept does.
func serve(ctx context.Context, ln net.Listener, dial dialFunc, log *slog.Logger) error {
	j := &joiner{dial: dial, log: log, dials: dials(log)}
	return accept(ctx, ln, j.handle, maxConns, log)
}

// accept runs until ctx ends, then closes ln and all connections, waits for
// them and returns nil; or until ln is closed by somebody else, which leaves
// the connections to their end and returns that error.
func accept(ctx context.Context, ln net.Listener, handle func(context.Context, net.Conn), limit int, log *slog.Logger) error {
	s := &server{ln: ln, handle: handle, log: log, slots: make(chan struct{}, limit)}
	defer closing(ctx, ln)()
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

// closing closes c when ctx ends. What it returns closes c in any case, and returns
// when it is closed and not about to be: a Close that comes second does not wait for
// the first.
func closing(ctx context.Context, c io.Closer) (end func()) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // waited for by end if it has begun
		defer close(closed)
		c.Close()
	})
	return func() {
		c.Close()
		if !stop() {
			<-closed
		}
	}
}

// reserve takes a slot, or returns false when ctx ends.
func (s *server) reserve(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	s.log.Warn("too many connections, new ones wait", "limit", cap(s.slots))
	select {
	case s.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// joiner joins connections with what it dials for them.
type joiner struct {
	dial  dialFunc
	log   *slog.Logger
	dials *reporter
}

// dials reports how dials go.
func dials(log *slog.Logger) *reporter {
	return &reporter{log: log, bad: "dial failed", good: "dial succeeds again"}
}

// handle owns an accepted connection.
func (j *joiner) handle(ctx context.Context, c net.Conn) {
	other, err := j.dial(ctx)
	if ctx.Err() == nil {
		j.dials.report(err)
	}
	if err != nil {
		abort(c)
		return
	}
	sent, received, err := join(ctx, c, other)
	if j.log.Enabled(ctx, slog.LevelDebug) {
		j.log.Debug("connection ended", "address", c.RemoteAddr().String(),
			"sent", sent, "received", received, "err", err)
	}
}
