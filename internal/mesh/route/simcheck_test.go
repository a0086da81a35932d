package route

import (
	"fmt"
	"maps"
	"math"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// graph is a set of directed edges with costs.
type graph map[wire.NodeID]map[wire.NodeID]float64

// truth is the graph of the links that both ends have established.
func (s *sim) truth() graph {
	g := graph{}
	for _, n := range s.nodes {
		g[n.id] = map[wire.NodeID]float64{}
	}
	for _, l := range s.links {
		if x := l.session; x != nil && x.ends[0].up && x.ends[1].up {
			g[l.a.id][l.b.id], g[l.b.id][l.a.id] = l.cost, l.cost
		}
	}
	return g
}

// distances is Bellman-Ford, slow and obvious: relax all edges until nothing
// changes. Costs that are not positive and finite are no edges.
func (g graph) distances(from wire.NodeID) map[wire.NodeID]float64 {
	d := map[wire.NodeID]float64{from: 0}
	for changed := true; changed; {
		changed = false
		for a, links := range g {
			da, ok := d[a]
			if !ok {
				continue
			}
			for b, cost := range links {
				if _, vertex := g[b]; !vertex || !(cost > 0) || math.IsInf(da+cost, 0) {
					continue
				}
				if db, ok := d[b]; !ok || da+cost < db {
					d[b] = da + cost
					changed = true
				}
			}
		}
	}
	delete(d, from)
	return d
}

// check compares all nodes with the truth.
func (s *sim) check() error {
	if err := s.checkRoutes(); err != nil {
		return err
	}
	if s.original != nil {
		return nil // they lose updates on lossy links until the next refresh
	}
	return s.checkDatabases()
}

// checkRoutes tests that every table knows exactly the real links of all nodes
// that it can reach, has the right cost to each, and that following the next
// hops leads there, each one closer.
func (s *sim) checkRoutes() error {
	if s.fault != nil {
		return s.fault
	}
	g := s.truth()
	dist := map[wire.NodeID]map[wire.NodeID]float64{}
	for _, n := range s.nodes {
		dist[n.id] = g.distances(n.id)
	}
	for _, n := range s.nodes {
		snap := n.r.Snapshot()
		if !maps.Equal(snap.Cost, dist[n.id]) {
			return fmt.Errorf("%s has path costs %v, want %v", n.id, snap.Cost, dist[n.id])
		}
		if len(snap.Next) != len(snap.Cost) || len(snap.Hops) != len(snap.Next) {
			return fmt.Errorf("%s has %d next hops, %d by hash, %d costs", n.id, len(snap.Next), len(snap.Hops), len(snap.Cost))
		}
		for dst, next := range snap.Next {
			if snap.Hops[dst.Hash()] != next {
				return fmt.Errorf("%s: the next hop to %s is %s by name and %s by hash", n.id, dst, next, snap.Hops[dst.Hash()])
			}
			if !maps.Equal(snap.Known[dst], g[dst]) {
				return fmt.Errorf("%s knows links %v of %s, which has %v", n.id, snap.Known[dst], dst, g[dst])
			}
			if next != dst && !(dist[next][dst] < dist[n.id][dst]) {
				return fmt.Errorf("%s sends to %s through %s, which is not closer", n.id, dst, next)
			}
			if _, neighbour := g[n.id][next]; !neighbour {
				return fmt.Errorf("%s sends to %s through %s, which is no neighbour", n.id, dst, next)
			}
		}
		if !maps.Equal(snap.Known[n.id], g[n.id]) {
			return fmt.Errorf("%s lists own links %v, has %v", n.id, snap.Known[n.id], g[n.id])
		}
	}
	return nil
}

// checkDatabases tests that tables store the same updates about everyone within
// reach.
func (s *sim) checkDatabases() error {
	type record struct{ epoch, seq uint64 }
	newest := map[wire.NodeID]record{}
	for _, n := range s.nodes {
		if t, ok := n.r.(*Table); ok && t.self.frame != nil {
			u, err := wire.ParseUpdate(t.self.frame)
			if err != nil {
				return err
			}
			newest[n.id] = record{u.UpdateEpoch, u.UpdateSequence}
		}
	}
	for _, n := range s.nodes {
		t, ok := n.r.(*Table)
		if !ok {
			continue
		}
		for dst := range n.r.Snapshot().Cost {
			want, ours := newest[dst]
			x := t.nodes[dst]
			if x == nil || !x.heard || x.frame == nil {
				return fmt.Errorf("%s has not heard %s", n.id, dst)
			}
			if got := (record{x.epoch, x.seq}); ours && got != want {
				return fmt.Errorf("%s has %v of %s, which last sent %v", n.id, got, dst, want)
			}
		}
	}
	return nil
}
