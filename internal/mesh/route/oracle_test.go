package route

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// oracle is the database as the specification tells it (mesh-protocol 5 to 7),
// with plain maps, in the order of events, and with the one addition described
// at edge. It knows nothing of time.
type oracle struct {
	self  wire.NodeID
	links map[wire.NodeID]float64
	order map[wire.NodeID][2]uint64 // epoch and sequence of those heard
	said  graph                     // as announced
	edges graph                     // what is left of it
}

func newOracle(self wire.NodeID) *oracle {
	return &oracle{self, map[wire.NodeID]float64{}, map[wire.NodeID][2]uint64{}, graph{}, graph{}}
}

func (o *oracle) linkUp(peer wire.NodeID, cost float64) {
	o.links[peer] = cost
	if o.edges[peer] == nil {
		o.edges[peer] = map[wire.NodeID]float64{}
	}
	o.edges[peer][o.self] = cost
}

func (o *oracle) linkDown(peer wire.NodeID) {
	delete(o.links, peer)
	delete(o.edges[peer], o.self)
	if _, heard := o.order[peer]; !heard {
		delete(o.edges, peer)
	}
}

// apply returns whether the update is news.
func (o *oracle) apply(u wire.Update) bool {
	x := u.NodeID
	last, heard := o.order[x]
	if heard && (u.UpdateEpoch < last[0] || u.UpdateEpoch == last[0] && u.UpdateSequence <= last[1]) {
		return false
	}
	o.order[x] = [2]uint64{u.UpdateEpoch, u.UpdateSequence}
	o.said[x] = u.Connections
	if old, vertex := o.known()[x]; vertex && maps.Equal(old, u.Connections) {
		return true
	}
	o.edges[x] = maps.Clone(u.Connections)
	for y := range o.edges {
		if _, listed := u.Connections[y]; y == x {
			continue
		} else if !listed {
			delete(o.edges[y], x)
		} else if cost, both := o.said[y][x]; both {
			o.edges[y][x] = cost
		}
	}
	return true
}

// known is the graph with the edges that stand for our own links. They are
// there whatever a neighbour's update says that came another way.
func (o *oracle) known() graph {
	g := graph{o.self: maps.Clone(o.links)}
	for x, links := range o.edges {
		g[x] = maps.Clone(links)
	}
	for p, cost := range o.links {
		if g[p] == nil {
			g[p] = map[wire.NodeID]float64{}
		}
		g[p][o.self] = cost
	}
	return g
}

// way is the best path to a node.
type way struct {
	cost float64
	hops int
	next wire.NodeID
}

func (a way) better(b way) bool {
	if a.cost != b.cost {
		return a.cost < b.cost
	}
	if a.hops != b.hops {
		return a.hops < b.hops
	}
	return a.next < b.next
}

// ways is Bellman-Ford: extend all ways by every edge until nothing changes.
// Each round starts from nothing, since where small costs vanish in huge ones
// an outdated way may look better than all that are left.
func (o *oracle) ways() map[wire.NodeID]way {
	g := o.known()
	best := map[wire.NodeID]way{}
	for {
		round := map[wire.NodeID]way{}
		for a, links := range g {
			from, ok := best[a]
			if !ok && a != o.self {
				continue
			}
			for b, cost := range links {
				if _, vertex := g[b]; !vertex || b == o.self || !(cost > 0) {
					continue
				}
				w := way{from.cost + cost, from.hops + 1, from.next}
				if a == o.self {
					w = way{cost, 1, b}
				}
				if math.IsInf(w.cost, 0) {
					continue
				}
				if old, ok := round[b]; !ok || w.better(old) {
					round[b] = w
				}
			}
		}
		if maps.Equal(round, best) {
			return best
		}
		best = round
	}
}

// compare tests a snapshot against the oracle.
func (o *oracle) compare(s *Snapshot) error {
	got, _ := json.Marshal(s.Known)
	want, _ := json.Marshal(o.known())
	if string(got) != string(want) {
		return fmt.Errorf("known edges\n got %s\nwant %s", got, want)
	}
	ways := o.ways()
	for id, w := range ways {
		if s.Next[id] != w.next || s.Cost[id] != w.cost || s.Hops[id.Hash()] != w.next {
			return fmt.Errorf("route to %s: got %s (by hash %s) cost %v, want %s cost %v", id, s.Next[id], s.Hops[id.Hash()], s.Cost[id], w.next, w.cost)
		}
	}
	if len(s.Next) != len(ways) || len(s.Cost) != len(ways) || len(s.Hops) != len(ways) {
		return fmt.Errorf("%d routes, %d costs, %d by hash, want %d", len(s.Next), len(s.Cost), len(s.Hops), len(ways))
	}
	return nil
}

// TestOracle feeds the same random events to a table and to the oracle. Updates
// list nodes at random, so edges are one-sided as often as not, and costs are
// as odd as the wire allows.
func TestOracle(t *testing.T) {
	for seed := range uint64(150) {
		if err := oracleRun(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func oracleRun(t *testing.T, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 3))
	b := newBench(t, "self")
	o := newOracle("self")
	id := func() wire.NodeID { return wire.NodeID('a' + rune(rng.IntN(9))) }
	costs := []float64{1, 1, 1, 2, 0.5, 0.1, 0.3, 1e17, 1e308, 0, -1}
	for step := range 200 {
		switch p := id(); rng.IntN(12) {
		case 0:
			if o.links[p] == 0 {
				o.linkUp(p, costs[rng.IntN(7)])
				b.up(p, o.links[p])
			}
		case 1:
			if o.links[p] != 0 {
				o.linkDown(p)
				b.LinkDown(b.now, p)
			}
		default:
			if o.links[p] == 0 {
				continue
			}
			u := wire.Update{NodeID: id(), ForwardingNode: p, UpdateID: b.ids(), Connections: map[wire.NodeID]float64{},
				UpdateEpoch: epoch0 + rng.Uint64N(2), UpdateSequence: rng.Uint64N(40)}
			for range rng.IntN(5) {
				u.Connections[id()] = costs[rng.IntN(len(costs))]
			}
			if u.NodeID == p || rng.IntN(3) == 0 {
				u.Connections["self"] = 1
			}
			delete(u.Connections, u.NodeID)
			if u.NodeID == p {
				u.Connections["self"] = o.links[p]
			}
			news := o.apply(u)
			accepted := b.stats.Accepted
			if res := b.apply(p, wire.AppendUpdate(nil, u)); res.Reject != nil {
				return fmt.Errorf("step %d: %w", step, res.Reject)
			}
			if got := b.stats.Accepted > accepted; got != news {
				return fmt.Errorf("step %d: %v: accepted %v, want %v", step, u, got, news)
			}
		}
		if rng.IntN(3) == 0 {
			if err := o.compare(b.settled()); err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
		} else {
			b.pass(time.Duration(rng.IntN(50)) * time.Millisecond)
		}
	}
	return nil
}
