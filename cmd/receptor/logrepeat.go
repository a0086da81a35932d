package main

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

const (
	// repeatInterval is the least time between two lines about one failure.
	repeatInterval = time.Minute
	// maxRepeats is how many failures are known at a time; any further are
	// logged each time.
	maxRepeats = 256
)

// repeatedKey has the number of lines that one stands for, besides itself.
const repeatedKey = "repeated"

// repeatHandler logs a failure that repeats once, and then at most once in a
// repeatInterval, with the number of times that were passed over. What is at
// level warning or above is a failure; two are the same if message and attributes
// are, but for the ports of connections. A line at level info about a link ends
// the failures of that link.
type repeatHandler struct {
	next  slog.Handler
	seen  *repeats
	attrs string // of WithAttrs and WithGroup, as part of what identifies a failure
	link  string // of WithAttrs
}

// repeats are the failures of a handler and those derived from it.
type repeats struct {
	mu     sync.Mutex // held while lines are written, too: they are in order
	known  map[string]*repeat
	timer  *time.Timer // runs while any is known
	closed bool
}

// repeat is a failure that was logged at most a repeatInterval ago.
type repeat struct {
	link  string
	said  time.Time   // when it was logged
	count int         // times since
	last  slog.Record // the latest of them
	next  slog.Handler
}

func newRepeatHandler(next slog.Handler) *repeatHandler {
	return &repeatHandler{next: next, seen: &repeats{known: make(map[string]*repeat)}}
}

// Enabled is that of the next handler.
func (h *repeatHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs returns a handler that adds attributes to every record.
func (h *repeatHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	d := *h
	d.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		d.note(a)
	}
	return &d
}

// WithGroup returns a handler that puts a name before the keys that follow.
func (h *repeatHandler) WithGroup(name string) slog.Handler {
	d := *h
	d.next = h.next.WithGroup(name)
	d.attrs += " " + name + "."
	return &d
}

func (h *repeatHandler) note(a slog.Attr) {
	value := a.Value.Resolve().String()
	h.attrs += " " + a.Key + "=" + value
	if a.Key == "link" {
		h.link = value
	}
}

// passing is what is not the same in two texts of one failure: the port that the
// system picked for an end of a connection, and the time.
var passing = regexp.MustCompile(`:\d+->|handshake error from \S+|current time \S+ is`)

// Handle passes a record on, or counts it.
func (h *repeatHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo || r.Message == "reload failed" { // somebody asked for that
		return h.next.Handle(ctx, r)
	}
	s := h.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Level < slog.LevelWarn {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "link" {
				s.end(ctx, a.Value.Resolve().String())
			}
			return true
		})
		return h.next.Handle(ctx, r)
	}
	of := *h
	r.Attrs(func(a slog.Attr) bool { of.note(a); return true })
	key := r.Message + passing.ReplaceAllString(of.attrs, "*")
	if known := s.known[key]; known != nil {
		known.count, known.last = known.count+1, r.Clone()
		return nil
	}
	if len(s.known) < maxRepeats && !s.closed {
		s.known[key] = &repeat{link: of.link, next: h.next, said: time.Now()}
		if s.timer == nil {
			s.timer = time.AfterFunc(repeatInterval, s.tick)
		}
	}
	return h.next.Handle(ctx, r)
}

// end forgets the failures of a link.
func (s *repeats) end(ctx context.Context, link string) {
	for key, known := range s.known {
		if known.link == link {
			known.say(ctx)
			delete(s.known, key)
		}
	}
}

// tick says how often each failure was there since the last time, and forgets
// those that were not. Stopped by close.
func (s *repeats) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	soonest := repeatInterval
	for key, known := range s.known {
		left := repeatInterval - time.Since(known.said)
		switch {
		case left > 0:
			soonest = min(soonest, left)
		case known.count == 0:
			delete(s.known, key)
		default:
			known.say(context.Background())
		}
	}
	if s.timer = nil; len(s.known) > 0 {
		s.timer = time.AfterFunc(soonest, s.tick)
	}
}

// say logs the latest of the times that were passed over, with their number.
func (r *repeat) say(ctx context.Context) {
	if r.count == 0 {
		return
	}
	r.said = time.Now()
	r.last.Time = r.said
	if r.count > 1 {
		r.last.AddAttrs(slog.Int(repeatedKey, r.count-1))
	}
	_ = r.next.Handle(ctx, r.last) // nothing to do about it
	r.count = 0
}

// close says what was passed over. From then on every record is passed on.
func (s *repeats) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for key, known := range s.known {
		known.say(context.Background())
		delete(s.known, key)
	}
}
