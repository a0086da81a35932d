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
	// maxUntaken is how many bytes may wait for clients to take them. What several
	// get, as with status, counts once.
	maxUntaken = 32 << 20
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
	waiting list.List       // of *presence, the longest waiting first
	untaken int             // bytes that are being written
	writes  map[*byte]*held // by where they begin
}

// held is what one or more sessions write.
type held struct{ sessions, bytes int }

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
	if c.waiting.Len() <= maxWaiting {
		if oldest = c.slowest(); oldest == nil {
			return nil
		}
	}
	if now.Sub(oldest.since) < leastWait {
		return nil
	}
	c.waiting.Remove(oldest.at)
	oldest.at = nil
	return oldest
}

// slowest is the session that has waited longest for its client to take something, if
// there is too much of that.
func (c *crowd) slowest() *presence {
	if c.untaken <= maxUntaken {
		return nil
	}
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*presence); p.writing > 0 {
			return p
		}
	}
	return nil // those who held it are about to end
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
	if len(b) == 0 {
		return 0, nil
	}
	w.change(func() { w.writing++; w.crowd.hold(b) })
	defer w.change(func() { w.writing--; w.crowd.drop(b) })
	return w.conn.Write(b)
}

// hold counts what is about to be written; mu is held.
func (c *crowd) hold(b []byte) {
	h := c.writes[&b[0]]
	if h == nil {
		if c.writes == nil {
			c.writes = make(map[*byte]*held)
		}
		h = &held{bytes: len(b)} // others may write a byte less of it: version 2 ends lines itself
		c.writes[&b[0]] = h
		c.untaken += h.bytes
	}
	h.sessions++
}

// drop takes back hold.
func (c *crowd) drop(b []byte) {
	h := c.writes[&b[0]]
	if h.sessions--; h.sessions == 0 {
		c.untaken -= h.bytes
		delete(c.writes, &b[0])
	}
}
