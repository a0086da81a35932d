package route

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// node is a vertex: a node that we have heard first hand (through its own
// update, from whomever), or a neighbour, or both.
type node struct {
	id   wire.NodeID
	hash wire.Hash
	peer *peer // our link to it, or nil
	dead bool  // removed from the table; edges may still point here

	// What its own updates say. Zero unless heard.
	heard      bool
	heardAt    time.Time // when the last news of it came
	epoch, seq uint64
	out        []edge                  // its Connections, by ID
	said       map[wire.NodeID]float64 // the same as they came
	frame      []byte                  // the update as we pass it on; nil if there is none to pass on
	version    uint64                  // changes with frame

	// at is the number (Table.stamp) of the change that out is the result of,
	// downAt that of the last loss of our link to it.
	at, downAt uint64

	known map[wire.NodeID]float64 // out without the edges that are cut
	stale bool                    // known must be made anew

	// The route to it, as published.
	reach bool
	lost  time.Time // when it was last in reach; zero if it never was
	cost  float64
	next  *node

	path path // the route being computed
}

// edge is one entry of a node's Connections.
//
// An edge from a to b is cut while b has spoken after a and does not list a.
// That is the specification's rule (mesh-protocol 6.1, rule 6: a changed list
// removes the edges towards its originator from nodes that are not in it),
// except that the edge is back as soon as both ends list each other, in
// whatever order their updates came. In the original it is back only with the
// next update of a, which comes within 10 s there, but not here.
type edge struct {
	id   wire.NodeID
	cost float64
	to   *node  // nil if not known; may be dead
	cut  bool   // as of the last computation
	asOf uint64 // what to.at was then
}

// lists tells whether n's own update lists id.
func (n *node) lists(id wire.NodeID) bool {
	_, ok := slices.BinarySearchFunc(n.out, id, func(e edge, id wire.NodeID) int {
		return strings.Compare(string(e.id), string(id))
	})
	return ok
}

// enter returns the vertex called id, new if need be.
func (t *Table) enter(id wire.NodeID, res *Result) *node {
	n := t.nodes[id]
	if n == nil {
		n = &node{id: id, hash: id.Hash(), stale: true}
		t.nodes[id] = n
		t.list = append(t.list, n)
		t.dirty = true
		res.Names = append(res.Names, id)
	}
	return n
}

// isCut evaluates the rule at edge.
func (t *Table) isCut(n *node, e *edge) bool {
	if e.id == t.c.Self {
		return n.peer == nil && n.downAt > n.at
	}
	if e.to == nil || e.to.dead {
		e.to = t.nodes[e.id]
	}
	to := e.to
	return to != nil && to.heard && to.at > n.at && !to.lists(n.id)
}

// replace makes the list of an update the edges of n, and keeps the map. It
// returns false if that changes nothing, compared with the edges that are not
// cut and the one that a link of ours stands for: only then do other nodes keep
// their edges to n.
func (t *Table) replace(n *node, list map[wire.NodeID]float64) (changed bool) {
	same := t.same(n, list)
	if same && n.heard && len(n.out) == len(list) {
		return false
	}
	n.said, n.stale = list, true
	t.edges += len(list) - len(n.out)
	n.out = make([]edge, 0, len(list))
	for _, id := range slices.Sorted(maps.Keys(list)) {
		n.out = append(n.out, edge{id: id, cost: list[id]})
	}
	if same {
		return false
	}
	t.stamp++
	n.at = t.stamp
	return true
}

// same tells that list holds just the present edges of n.
func (t *Table) same(n *node, list map[wire.NodeID]float64) bool {
	if !n.heard && n.peer == nil {
		return false
	}
	edges := 0
	if n.peer != nil {
		if cost, listed := list[t.c.Self]; !listed || cost != n.peer.Cost {
			return false
		}
		edges++
	}
	for i := range n.out {
		e := &n.out[i]
		if n.peer != nil && e.id == t.c.Self || t.isCut(n, e) {
			continue
		}
		if cost, listed := list[e.id]; !listed || cost != e.cost {
			return false
		}
		edges++
	}
	return edges == len(list)
}

// keep stores the update that we pass on for n; nil removes it.
func (t *Table) keep(n *node, frame []byte) {
	t.bytes += len(frame) - len(n.frame)
	n.frame = frame
	n.version++
}

// forget drops what is known of nodes not heard of for ForgetAfter. That also
// lets a node back in whose clock went backwards between two starts: until then
// its epoch is lower than the recorded one.
func (t *Table) forget(now time.Time, res *Result) {
	if now.Before(t.sweep) {
		return
	}
	t.sweep = now.Add(sweepEvery)
	gone := false
	crowded := t.heard > crowdNodes || t.edges > crowdEdges || t.bytes > crowdBytes
	for _, n := range t.list {
		last := n.heardAt
		if n.lost.After(last) {
			last = n.lost
		}
		lost := crowded && !n.reach && n.peer == nil && now.Sub(last) >= ForgetLost
		if n.heard && (lost || now.Sub(n.heardAt) >= ForgetAfter) {
			t.keep(n, nil)
			t.edges -= len(n.out)
			n.heard, n.epoch, n.seq, n.out, n.said, n.stale = false, 0, 0, nil, nil, true
			t.heard--
			t.stamp++
			n.at = t.stamp // edges to it are no longer cut
			t.dirty = true
			t.stats.Forgotten++
			gone = gone || n.peer == nil
		}
	}
	if gone {
		t.bury(res)
	}
}

// bury removes the vertices that are neither heard of nor neighbours. When these were
// most, what has grown with them shrinks again, as maps and slices do not by themselves.
func (t *Table) bury(res *Result) {
	before := len(t.list)
	t.list = slices.DeleteFunc(t.list, func(n *node) bool {
		if n.heard || n.peer != nil {
			return false
		}
		n.dead = true
		t.unrouted = t.unrouted || n.reach
		delete(t.nodes, n.id)
		res.Forgotten = append(res.Forgotten, n.id)
		return true
	})
	if len(t.list) < before/2 {
		nodes := make(map[wire.NodeID]*node, len(t.list))
		maps.Copy(nodes, t.nodes)
		t.nodes, t.list, t.frontier = nodes, slices.Clone(t.list), nil
	}
	t.dirty, t.buried = true, true
}
