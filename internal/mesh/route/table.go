package route

import (
	"math/rand/v2"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Config of a Table.
type Config struct {
	Self  wire.NodeID
	Epoch uint64        // Unix seconds times 2^24 plus a random number (spec mesh-protocol 6)
	NewID func() string // fresh update ID: 8 characters of 0-9a-zA-Z; required
	Rand  *rand.Rand    // jitter; nil means one seeded by Epoch
}

// Link is what the table needs to know of a link.
type Link struct {
	Cost  float64 // positive and finite
	Lossy bool    // frames may be lost or reordered: stored updates are repeated on it
}

// Send is one action: put Frame (a whole routing update, type byte included)
// into the control queue of the link to Peer. Frames for one peer leave in the
// order given. Frames are shared between links and must not be written to.
//
// Key names what the frame is about: a queue may put a newer frame in the place
// of one with the same key that still waits, since an update supersedes those
// of the same origin before it. Frames with an empty Key must not be replaced.
type Send struct {
	Peer  wire.NodeID
	Key   wire.NodeID
	Frame []byte
}

// Result is what an event leads to.
type Result struct {
	Send []Send
	// Reject is not nil if the link that the event came from must be rejected
	// and closed; the caller then calls LinkDown. It is ErrOwnName, ErrUnlisted,
	// a *CostError or a *ForwarderError.
	Reject error
	// Routes tells that Snapshot changed.
	Routes bool
	// Names are nodes heard of for the first time: the caller enters their hashes.
	Names []wire.NodeID
	// Forgotten are nodes that are no longer known at all. Each was in Names.
	Forgotten []wire.NodeID
	// Grown tells that the set of reachable nodes grew (the caller re-advertises).
	Grown bool
	// Restarted are nodes whose epoch changed: sessions with them are dead.
	Restarted []wire.NodeID
	// Duplicate tells that the event shows another, younger node with our ID. It
	// has been told; nothing is to be done but to log it.
	Duplicate bool
	// News tells that the event was an update from elsewhere that was not known.
	News bool
	// Suspects is such an update by which its originator accuses another node that
	// uses its ID, or nil.
	Suspects *wire.Update
	// Fatal is not nil if this process is the younger of two with one node ID
	// and must end (spec mesh-protocol 6.1, rule 2.2). It is a *DuplicateError.
	Fatal error
}

// Table is the link-state database and the routes that follow from it. It is a
// plain value: no goroutine, clock or lock inside; one goroutine owns it. Every
// method takes the present time, which must not go backwards.
type Table struct {
	c Config

	// The database.
	self  *node
	nodes map[wire.NodeID]*node // heard first hand, or neighbours; not ourselves
	list  []*node               // the same in the order in which they became known
	stamp uint64                // numbers changes of edges; see node.at
	heard int                   // how many of nodes are heard first hand
	bytes int                   // of stored frames
	edges int                   // of all nodes
	seen  seen
	sweep time.Time // when to look for nodes to forget

	// Links.
	peers  []*peer // by ID
	byPeer map[wire.NodeID]*peer

	// Our own update; see own.go. Times are zero while there is nothing to do.
	seq       uint64
	ownAt     time.Time     // when it was last flooded
	ownDue    time.Time     // when it must be because our links changed
	growDue   time.Time     // when it must be because others appeared
	refresh   time.Time     // when it must be in any case
	interval  time.Duration // between the last and the next refresh
	accusedAt time.Time     // when a duplicate was last told so

	// Routes; see spf.go.
	dirty      bool // an edge or vertex changed since the last computation
	buried     bool // a vertex vanished since
	unrouted   bool // there was a route to it
	computedAt time.Time
	run        uint64 // number of the computation
	frontier   frontier
	snap       *Snapshot

	stats Stats
}

// New returns a table without links. It panics if Config lacks NewID.
func New(c Config, now time.Time) *Table {
	if c.NewID == nil {
		panic("BUG: route.Config without NewID")
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(c.Epoch, 0))
	}
	t := &Table{
		c:      c,
		self:   &node{id: c.Self, hash: c.Self.Hash(), known: map[wire.NodeID]float64{}},
		nodes:  make(map[wire.NodeID]*node),
		byPeer: make(map[wire.NodeID]*peer),
		sweep:  now.Add(sweepEvery),
	}
	t.snap = emptySnapshot(c.Self)
	return t
}

// Tick does what is due: own updates, keep-alives, repeats, computation of
// routes, forgetting. It may be called at any time and more often than needed.
func (t *Table) Tick(now time.Time) Result {
	var res Result
	t.forget(now, &res)
	t.settle(now, &res)
	for _, p := range t.peers {
		t.repeat(now, p, &res)
		t.trickle(now, p, &res)
		t.keepAlive(now, p, &res)
	}
	return res
}

// settle ends each event: it computes routes and floods our own update, unless
// that was done less than computePause ago.
func (t *Table) settle(now time.Time, res *Result) {
	if t.dirty && !now.Before(t.computedAt.Add(t.computePause())) {
		t.compute(now, res)
	}
	t.flushOwn(now, res)
}

// Deadline is when Tick is next due. It is never zero, and in the past if Tick
// is late.
func (t *Table) Deadline() time.Time {
	d := t.sweep
	if t.dirty {
		d = earlier(d, t.computedAt.Add(t.computePause()))
	}
	if len(t.peers) > 0 {
		d = earlier(d, t.ownDue)
		d = earlier(d, t.growDue)
		d = earlier(d, t.refresh)
	}
	for _, p := range t.peers {
		d = earlier(d, p.deadline())
	}
	return d
}

// earlier returns the earlier of two times; a zero b means never.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// Snapshot returns the routes as last computed. It is immutable, and the same
// pointer as long as nothing in it changed.
func (t *Table) Snapshot() *Snapshot { return t.snap }

// Stats returns the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Nodes, s.Links, s.Stored, s.Seen = t.heard, len(t.peers), t.bytes, t.seen.len()
	return s
}

// computePause is the least time between two route computations. It keeps
// their cost, which grows with the mesh, to about a hundredth of the time, and
// is nothing in a small mesh: what is to be known there is known at once.
func (t *Table) computePause() time.Duration {
	n := len(t.nodes)
	if n <= smallMesh {
		return 0
	}
	return min(MergeDelay, time.Duration(n)*computePerNode) + time.Duration(max(0, t.edges-denseMesh))*computePerEdge
}
