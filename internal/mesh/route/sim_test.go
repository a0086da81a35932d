package route

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// The simulator runs bare tables: no goroutines, a heap of (time, number,
// event) and a seed. The same seed gives the same run.

// router is what is simulated: a Table, or the original's behaviour.
type router interface {
	Hello(now time.Time) []byte
	LinkUp(now time.Time, peer wire.NodeID, l Link) Result
	LinkDown(now time.Time, peer wire.NodeID) Result
	Apply(now time.Time, peer wire.NodeID, frame []byte) (Result, error)
	Tick(now time.Time) Result
	Deadline() time.Time
	Snapshot() *Snapshot
}

// Times of the original that the simulated links keep to.
const (
	simIdle   = 21 * time.Second
	simCheck  = 5 * time.Second
	simRedial = 5 * time.Second
	simHellos = 11
)

type sim struct {
	seed      uint64
	rng       *rand.Rand
	now       time.Time
	number    int
	queue     events
	nodes     []*simNode
	links     []*simLink
	delivered map[string]int // by update ID, if counted
	total     int            // deliveries
	fault     error          // the first thing that must not happen
	starts    uint64         // nodes started so far
	original  func(i int) bool
}

// simNode is a node and its present process.
type simNode struct {
	i    int
	id   wire.NodeID
	r    router
	wake time.Time // of the earliest tick that is queued, zero if none
	ends map[wire.NodeID]*end
}

// simLink is a configured link: a dials b whenever there is no session.
type simLink struct {
	a, b    *simNode
	cost    float64
	delay   time.Duration
	loss    float64 // if not 0, frames are also repeated and reordered
	down    bool    // nothing gets through
	session *session
}

// session is one connection over a link.
type session struct {
	link *simLink
	ends [2]end // of a and b
}

// end is what one node sees of a session.
type end struct {
	s      *session
	node   *simNode
	r      router // the node's process that the session belongs to
	side   int
	hellos int
	up     bool
	closed bool
	heard  time.Time
}

type event struct {
	at     time.Time
	number int
	do     func()
}

type events []event

func (q events) Len() int      { return len(q) }
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q events) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].number < q[j].number
	}
	return q[i].at.Before(q[j].at)
}
func (q *events) Push(x any) { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	e := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = event{}
	*q = (*q)[:len(*q)-1]
	return e
}

func newSim(seed uint64) *sim {
	return &sim{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), now: start}
}

// gone tells that nobody listens at this end any more.
func (e *end) gone() bool { return e.closed || e.node.r != e.r }

func (s *sim) after(d time.Duration, do func()) {
	s.number++
	heap.Push(&s.queue, event{s.now.Add(d), s.number, do})
}

// run lets d pass.
func (s *sim) run(d time.Duration) {
	stop := s.now.Add(d)
	for len(s.queue) > 0 && !s.queue[0].at.After(stop) && s.fault == nil {
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
	s.now = stop
}

// addNode starts a new node.
func (s *sim) addNode() *simNode {
	n := &simNode{i: len(s.nodes), id: wire.NodeID(fmt.Sprintf("n%04d", len(s.nodes)))}
	s.nodes = append(s.nodes, n)
	s.boot(n)
	return n
}

// boot starts a node's process, with a higher epoch than any before.
func (s *sim) boot(n *simNode) {
	s.starts++
	c := Config{
		Self:  n.id,
		Epoch: uint64(s.now.Unix())<<24 + s.starts,
		NewID: func() string { return randomID(s.rng) },
		Rand:  rand.New(rand.NewPCG(s.seed, s.starts)),
	}
	n.ends = map[wire.NodeID]*end{}
	n.wake = time.Time{}
	if s.original != nil && s.original(n.i) {
		n.r = newOriginal(c, s.now)
	} else {
		n.r = New(c, s.now)
	}
	s.arm(n)
}

func randomID(rng *rand.Rand) string {
	var b [8]byte
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[rng.IntN(62)]
	}
	return string(b[:])
}

// crash ends a node's process and starts a new one. On lossless links the
// neighbours learn of it, on others they hear nothing.
func (s *sim) crash(n *simNode) {
	for _, l := range s.links {
		if l.session == nil || l.a != n && l.b != n {
			continue
		}
		old := l.session
		mine := &old.ends[0]
		if l.b == n {
			mine = &old.ends[1]
		}
		mine.closed = true
		if l.loss == 0 && !l.down {
			other := &old.ends[1-mine.side]
			s.after(l.delay, func() { s.close(other) })
		}
		l.session = nil
		s.after(time.Second, func() { s.dial(l) })
	}
	s.boot(n)
}

// join configures a link and dials.
func (s *sim) join(a, b *simNode, cost float64, delay time.Duration, loss float64) *simLink {
	l := &simLink{a: a, b: b, cost: cost, delay: delay, loss: loss}
	s.links = append(s.links, l)
	s.dial(l)
	return l
}

// dial opens a session if there is none.
func (s *sim) dial(l *simLink) {
	if l.session != nil {
		return
	}
	if l.down {
		s.after(simRedial, func() { s.dial(l) })
		return
	}
	ss := &session{link: l}
	l.session = ss
	for side, n := range []*simNode{l.a, l.b} {
		ss.ends[side] = end{s: ss, node: n, r: n.r, side: side, heard: s.now}
		e := &ss.ends[side]
		s.hello(e)
		s.after(simCheck, func() { s.checkIdle(e) })
	}
}

func (s *sim) hello(e *end) {
	if e.gone() || e.up {
		return
	}
	if e.hellos++; e.hellos > simHellos {
		s.close(e)
		return
	}
	s.transmit(e, e.node.r.Hello(s.now))
	s.after(time.Second, func() { s.hello(e) })
}

func (s *sim) checkIdle(e *end) {
	if e.gone() {
		return
	}
	if s.now.Sub(e.heard) > simIdle {
		s.close(e)
		return
	}
	s.after(simCheck, func() { s.checkIdle(e) })
}

// transmit sends a frame from an end to the other.
func (s *sim) transmit(e *end, frame []byte) {
	l := e.s.link
	copies, delay := 1, func() time.Duration { return l.delay }
	if l.loss > 0 {
		if s.rng.Float64() < l.loss {
			copies = 0
		} else if s.rng.Float64() < l.loss {
			copies = 2
		}
		delay = func() time.Duration { return time.Duration(float64(l.delay) * (0.5 + s.rng.Float64())) }
	}
	other := &e.s.ends[1-e.side]
	for range copies {
		s.after(delay(), func() {
			if !l.down {
				s.deliver(other, frame)
			}
		})
	}
}

// deliver is what a node does with a frame of type update or reject.
func (s *sim) deliver(e *end, frame []byte) {
	n := e.node
	if e.gone() {
		return
	}
	e.heard = s.now
	if frame[0] == byte(wire.TypeReject) {
		s.close(e)
		return
	}
	s.total++
	if s.delivered != nil {
		if id, ok := wire.PeekUpdateID(frame); ok {
			s.delivered[string(id)]++
		}
	}
	other := e.s.ends[1-e.side].node
	if e.up {
		res, err := n.r.Apply(s.now, other.id, frame)
		if err != nil {
			s.fail("%s: %v", n.id, err)
		}
		s.do(n, e, res)
		return
	}
	u, err := wire.ParseUpdate(frame)
	if err != nil {
		s.fail("first message: %v", err)
		return
	}
	if n.ends[u.ForwardingNode] != nil {
		s.reject(e)
		return
	}
	e.up = true
	n.ends[u.ForwardingNode] = e
	s.do(n, e, n.r.LinkUp(s.now, u.ForwardingNode, Link{Cost: e.s.link.cost, Lossy: e.s.link.loss > 0}))
}

// do carries out a result.
func (s *sim) do(n *simNode, e *end, res Result) {
	if res.Fatal != nil || res.Duplicate {
		s.fail("%s: duplicate: %v", n.id, res.Fatal)
	}
	for _, x := range res.Send {
		to := n.ends[x.Peer]
		if to == nil {
			s.fail("%s sends to %s without a link", n.id, x.Peer)
			return
		}
		s.transmit(to, x.Frame)
	}
	if res.Reject != nil {
		if e.s.link.loss == 0 {
			s.fail("%s rejects a lossless link: %v", n.id, res.Reject)
		}
		s.reject(e)
	}
	s.arm(n)
}

func (s *sim) reject(e *end) {
	s.transmit(e, wire.Reject(""))
	s.close(e)
}

// close ends a session at one end. On lossless links the other end notices.
func (s *sim) close(e *end) {
	if e.gone() {
		return
	}
	e.closed = true
	n, l := e.node, e.s.link
	other := &e.s.ends[1-e.side]
	if e.up {
		delete(n.ends, other.node.id)
		s.do(n, e, n.r.LinkDown(s.now, other.node.id))
	}
	if l.loss == 0 && !l.down {
		s.after(l.delay, func() { s.close(other) })
	}
	if e.side == 0 && l.session == e.s {
		l.session = nil
		s.after(simRedial, func() { s.dial(l) })
	}
}

// arm queues the next tick of a node.
func (s *sim) arm(n *simNode) {
	d := n.r.Deadline()
	if !n.wake.IsZero() && !d.Before(n.wake) {
		return
	}
	n.wake = d
	process := n.r
	s.after(max(0, d.Sub(s.now)), func() {
		if n.r != process || !n.wake.Equal(d) {
			return
		}
		n.wake = time.Time{}
		if !s.now.Before(n.r.Deadline()) {
			s.do(n, nil, n.r.Tick(s.now))
			if !n.r.Deadline().After(s.now) {
				s.fail("%s: Tick leaves something due", n.id)
			}
			return
		}
		s.arm(n)
	})
}

func (s *sim) fail(format string, args ...any) {
	if s.fault == nil {
		s.fault = fmt.Errorf("after %v: %w", s.now.Sub(start), fmt.Errorf(format, args...))
	}
}
