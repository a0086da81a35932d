package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Service is a service that is open: it has its sockets and names. It works
// while Run does.
type Service struct {
	run   func(ctx context.Context) error
	close func()
	addr  net.Addr // of the local socket or the mesh service
}

// Run works until ctx ends, then frees all that the service has, and returns
// nil when nothing of it is left. An error means that a socket or listener was
// closed by somebody else, as that of a node that has ended is. A service runs
// once.
func (s *Service) Run(ctx context.Context) error { return s.run(ctx) }

// Close frees what a service has that is not going to run.
func (s *Service) Close() { s.close() }

// Errors of accepting and receiving that pass are retried after a pause.
const (
	minPause     = 5 * time.Millisecond
	maxPause     = time.Second
	pauseGrowths = 2 // how much longer each pause is
)

// wait pauses for d, or less if ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// reporter logs how something goes that is done again and again: when a
// failure begins, when it changes, and when it ends.
type reporter struct {
	log       *slog.Logger
	bad, good string        // the messages
	every     time.Duration // least time between two lines; what changes faster is passed over

	mu     sync.Mutex // guards the rest
	failed string     // the text of the error logged last, empty after a success
	logged time.Time  // when that was
}

// report takes the outcome of one attempt.
func (r *reporter) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	r.mu.Lock()
	news := text != r.failed && (r.every == 0 || time.Since(r.logged) >= r.every)
	if news {
		r.failed, r.logged = text, time.Now()
	}
	r.mu.Unlock()
	switch {
	case !news:
	case err == nil:
		r.log.Info(r.good)
	default:
		r.log.Warn(r.bad, "err", err)
	}
}

// packetReports is the least time between two lines about packets, whose
// senders could otherwise fill the log.
const packetReports = 10 * time.Second

// root is the innermost error, whose text has no addresses in it that differ
// from one attempt to the next.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func named(log *slog.Logger) *slog.Logger {
	return cmp.Or(log, slog.New(slog.DiscardHandler))
}
