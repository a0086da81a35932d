package proxy

import (
	"container/list"
	"context"
	"io"
	"sync"
	"time"
)

const (
	// maxFlows is how many flows a datagram proxy has at a time. One more
	// takes the place of the one that was silent for longest.
	maxFlows = 4096
	// flowIdle is how long a flow may be silent in both directions: the value
	// that RFC 4787 recommends for translators of addresses.
	flowIdle = 5 * time.Minute
)

// flows are the sockets of a datagram proxy, one for each sender. They close
// when they are silent for too long, or too many.
type flows[K comparable, C io.Closer] struct {
	most int
	idle time.Duration

	mu     sync.Mutex
	byKey  map[K]*flow[K, C]
	order  list.List // of *flow[K, C], the one silent for longest first
	closed bool
}

// flow is the socket of one sender.
type flow[K comparable, C io.Closer] struct {
	key  K
	conn C
	used time.Time     // when it was last got, added or touched
	at   *list.Element // in order; nil once it is out
}

func newFlows[K comparable, C io.Closer](most int, idle time.Duration) *flows[K, C] {
	return &flows[K, C]{most: most, idle: idle, byKey: make(map[K]*flow[K, C])}
}

// get finds and touches the flow of a sender, or returns nil.
func (t *flows[K, C]) get(key K) *flow[K, C] {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.byKey[key]
	if f != nil {
		t.touchLocked(f)
	}
	return f
}

// add enters the flow of a new sender, which takes over conn. It returns nil,
// and has closed conn, if the table is closed. crowded tells that another flow
// had to make room.
func (t *flows[K, C]) add(key K, conn C) (f *flow[K, C], crowded bool) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		conn.Close()
		return nil, false
	}
	var victim *flow[K, C]
	if len(t.byKey) >= t.most {
		victim = t.order.Front().Value.(*flow[K, C])
		t.outLocked(victim)
	}
	f = &flow[K, C]{key: key, conn: conn, used: time.Now()}
	f.at = t.order.PushBack(f)
	t.byKey[key] = f
	t.mu.Unlock()
	if victim != nil {
		victim.conn.Close()
	}
	return f, victim != nil
}

// touch notes that something came back for a sender.
func (t *flows[K, C]) touch(f *flow[K, C]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touchLocked(f)
}

func (t *flows[K, C]) touchLocked(f *flow[K, C]) {
	if f.at != nil {
		f.used = time.Now()
		t.order.MoveToBack(f.at)
	}
}

// remove closes a flow; it may have been removed before.
func (t *flows[K, C]) remove(f *flow[K, C]) {
	t.mu.Lock()
	t.outLocked(f)
	t.mu.Unlock()
	f.conn.Close()
}

func (t *flows[K, C]) outLocked(f *flow[K, C]) {
	if f.at == nil {
		return
	}
	t.order.Remove(f.at)
	f.at = nil
	delete(t.byKey, f.key)
}

// expire closes idle flows until ctx ends, and then all of them.
func (t *flows[K, C]) expire(ctx context.Context) {
	for ctx.Err() == nil {
		wait(ctx, t.sweep())
	}
	t.mu.Lock()
	t.closed = true
	open := t.byKey
	t.byKey = nil
	for _, f := range open {
		f.at = nil
	}
	t.order.Init()
	t.mu.Unlock()
	for _, f := range open {
		f.conn.Close()
	}
}

// sweep closes the flows that are idle and tells when to look again.
func (t *flows[K, C]) sweep() time.Duration {
	t.mu.Lock()
	var idle []*flow[K, C]
	next := t.idle
	for e := t.order.Front(); e != nil; e = t.order.Front() {
		f := e.Value.(*flow[K, C])
		if left := t.idle - time.Since(f.used); left > 0 {
			next = left
			break
		}
		t.outLocked(f)
		idle = append(idle, f)
	}
	t.mu.Unlock()
	for _, f := range idle {
		f.conn.Close()
	}
	return next
}

// size is the number of flows.
func (t *flows[K, C]) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byKey)
}
