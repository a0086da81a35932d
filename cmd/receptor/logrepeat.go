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
	// maxFailures is how many different failures of one kind, which is what the message
	// says, are logged in a repeatInterval, and maxNews how many lines of one kind at level
	// info: the others are counted together. Otherwise whoever can make the daemon log
	// could fill its disk, by connecting under ever new names for instance.
	maxFailures = 100
	maxNews     = 1000
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
	kinds  map[string]*tally
	timer  *time.Timer // runs while any is known
	closed bool
}

// tally is how many lines with one message were logged since a time.
type tally struct {
	since time.Time
	lines int
}

// room tells whether another line of a kind may be logged, and counts it.
func (s *repeats) room(message string, most int) bool {
	k := s.kinds[message]
	if k == nil { // messages are fixed texts, so there are not many
		k = &tally{}
		s.kinds[message] = k
	}
	if now := time.Now(); now.Sub(k.since) >= repeatInterval {
		k.since, k.lines = now, 0
	}
	k.lines++
	return k.lines <= most || s.closed
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
	return &repeatHandler{next: next, seen: &repeats{known: make(map[string]*repeat), kinds: make(map[string]*tally)}}
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
		if s.room(r.Message, maxNews) {
			return h.next.Handle(ctx, r)
		}
		return s.note(ctx, r.Message, true, &repeat{next: h.next}, r)
	}
	of := *h
	r.Attrs(func(a slog.Attr) bool { of.note(a); return true })
	key := r.Message + passing.ReplaceAllString(of.attrs, "*")
	if s.known[key] == nil && !s.room(r.Message, maxFailures) {
		return s.note(ctx, r.Message, true, &repeat{next: h.next}, r)
	}
	return s.note(ctx, key, false, &repeat{link: of.link, next: h.next}, r)
}

// note counts a record that is known by that key. One that is new is logged, and
// known from then on; always tells that it is whatever the bound.
func (s *repeats) note(ctx context.Context, key string, always bool, fresh *repeat, r slog.Record) error {
	if known := s.known[key]; known != nil {
		known.count, known.last = known.count+1, r.Clone()
		return nil
	}
	if (always || len(s.known) < maxRepeats) && !s.closed {
		fresh.said = time.Now()
		s.known[key] = fresh
		if s.timer == nil {
			s.timer = time.AfterFunc(repeatInterval, s.tick)
		}
	}
	return fresh.next.Handle(ctx, r)
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
