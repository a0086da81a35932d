package route

import (
	"maps"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Snapshot is an immutable view of the routes. Its maps are shared between
// snapshots and must not be written to.
type Snapshot struct {
	Next map[wire.NodeID]wire.NodeID // destination -> next hop; without ourselves
	// Hops is the same keyed by the destination's hash. Of two nodes with the
	// same hash, the one that became known first is in it.
	Hops  map[wire.Hash]wire.NodeID
	Cost  map[wire.NodeID]float64                 // path cost
	Known map[wire.NodeID]map[wire.NodeID]float64 // the whole known graph, ourselves included
}

func emptySnapshot(self wire.NodeID) *Snapshot {
	return &Snapshot{
		Next:  map[wire.NodeID]wire.NodeID{},
		Hops:  map[wire.Hash]wire.NodeID{},
		Cost:  map[wire.NodeID]float64{},
		Known: map[wire.NodeID]map[wire.NodeID]float64{self: {}},
	}
}

// relearn brings the known edges of all vertices up to date and tells whether
// any of them changed.
func (t *Table) relearn() (changed bool) {
	for _, n := range t.list {
		whole := n.peer == nil && n.said != nil
		for i := range n.out {
			e := &n.out[i]
			if e.to == nil || e.to.dead || e.to.at != e.asOf {
				n.stale = e.update(t.isCut(n, e)) || n.stale
			}
			whole = whole && !e.cut
		}
		switch {
		case !n.stale:
		case whole: // the common case costs no map
			changed = n.learn(n.said) || changed
		default:
			changed = n.learn(t.knownEdges(n)) || changed
		}
	}
	if t.self.stale {
		own := make(map[wire.NodeID]float64, len(t.peers))
		for _, p := range t.peers {
			own[p.id] = p.Cost
		}
		if t.self.learn(own) {
			changed = true
		}
	}
	return changed
}

// update notes the state of an edge and tells whether it changed.
func (e *edge) update(cut bool) (changed bool) {
	if e.to != nil {
		e.asOf = e.to.at
	}
	changed = cut != e.cut
	e.cut = cut
	return changed
}

// knownEdges are the edges of n that are not cut. The edge back to us from a
// neighbour has the cost of the link, whatever the neighbour has said so far.
func (t *Table) knownEdges(n *node) map[wire.NodeID]float64 {
	m := make(map[wire.NodeID]float64, len(n.out)+1)
	for i := range n.out {
		if e := &n.out[i]; !e.cut {
			m[e.id] = e.cost
		}
	}
	if n.peer != nil {
		m[t.c.Self] = n.peer.Cost
	}
	return m
}

// learn replaces the known edges. A map that says the same is not taken, so
// that snapshots go on sharing the old one.
func (n *node) learn(m map[wire.NodeID]float64) (changed bool) {
	n.stale = false
	if n.known != nil && maps.Equal(n.known, m) {
		return false
	}
	n.known = m
	return true
}

// publish makes a new snapshot of what changed.
func (t *Table) publish(known, routes bool) {
	s := *t.snap
	if known {
		s.Known = make(map[wire.NodeID]map[wire.NodeID]float64, len(t.list)+1)
		s.Known[t.c.Self] = t.self.known
		for _, n := range t.list {
			s.Known[n.id] = n.known
		}
	}
	if routes {
		s.Next = make(map[wire.NodeID]wire.NodeID, len(t.list))
		s.Hops = make(map[wire.Hash]wire.NodeID, len(t.list))
		s.Cost = make(map[wire.NodeID]float64, len(t.list))
		for _, n := range t.list {
			if !n.reach {
				continue
			}
			s.Next[n.id], s.Cost[n.id] = n.next.id, n.cost
			if _, taken := s.Hops[n.hash]; !taken && n.hash != t.self.hash {
				s.Hops[n.hash] = n.next.id
			}
		}
	}
	t.snap = &s
}
