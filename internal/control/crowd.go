package control

import (
	"container/list"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the sessions of one listener that wait for their clients.
const (
	// maxWaiting is how many may: further ones take the place of those that have
	// waited longest.
	maxWaiting = 1024
	// leastWait is how long each of them may wait in any case.
	leastWait = time.Second
)

// crowd is the sessions of one listener that wait for their clients: for a request
// while none is under way, or for what was sent to be taken. Whoever can connect
// can have any number of those and say nothing, so they are bounded; sessions that
// work are not in it.
type crowd struct {
	closed *atomic.Uint64 // counts those that had to go

	mu      sync.Mutex
	waiting list.List // of *presence, the longest waiting first
}

// presence is one session in a crowd.
type presence struct {
	crowd *crowd
	conn  net.Conn

	// Guarded by crowd.mu.
	reading bool          // it reads a request line
	busy    int           // requests under way
	writing int           // writes under way
	at      *list.Element // in crowd.waiting; nil while it works
	since   time.Time     // it waits
}

// change changes what the session does, and makes room if it waits from now on.
func (p *presence) change(f func()) {
	c := p.crowd
	c.mu.Lock()
	f()
	var gone *presence
	switch waits := p.writing > 0 || p.reading && p.busy == 0; {
	case waits && p.at == nil:
		p.since = time.Now()
		p.at = c.waiting.PushBack(p)
		gone = c.tooMany(p.since)
	case !waits && p.at != nil:
		c.waiting.Remove(p.at)
		p.at = nil
	}
	c.mu.Unlock()
	if gone != nil {
		c.closed.Add(1)
		reset(gone.conn)
	}
}

// tooMany takes out the session that has to go, if there is one.
func (c *crowd) tooMany(now time.Time) *presence {
	oldest := c.waiting.Front().Value.(*presence)
	if c.waiting.Len() <= maxWaiting || now.Sub(oldest.since) < leastWait {
		return nil
	}
	c.waiting.Remove(oldest.at)
	oldest.at = nil
	return oldest
}

// read marks that the session reads a request line, or no longer does.
func (p *presence) read(now bool) { p.change(func() { p.reading = now }) }

// work marks the begin of a request, or its end.
func (p *presence) work(n int) { p.change(func() { p.busy += n }) }

// leave takes the session out.
func (p *presence) leave() {
	p.change(func() { p.reading, p.writing = false, 0 })
}

// writer is the session's connection for writing.
func (p *presence) writer() io.Writer { return presentWriter{p} }

type presentWriter struct{ *presence }

func (w presentWriter) Write(b []byte) (int, error) {
	w.change(func() { w.writing++ })
	defer w.change(func() { w.writing-- })
	return w.conn.Write(b)
}
