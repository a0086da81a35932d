package route

import (
	"math"
	"time"
)

// path is the best way to a node found so far in computation number run.
type path struct {
	run  uint64
	cost float64
	hops int32
	next *node // the first step
}

// better is the order of paths: cheaper, then over fewer links, then through
// the neighbour with the smaller ID. It depends on the graph alone, so routes
// do not flap between equals. A path is always strictly better than its
// extensions, because the number of links grows even where adding a small cost
// to a huge one changes nothing.
func (a path) better(b path) bool {
	switch {
	case a.cost != b.cost:
		return a.cost < b.cost
	case a.hops != b.hops:
		return a.hops < b.hops
	}
	return a.next.id < b.next.id
}

// compute brings the snapshot up to date.
func (t *Table) compute(now time.Time, res *Result) {
	t.dirty, t.computedAt = false, now
	t.stats.Computations++
	known := t.relearn()
	t.shortestPaths()
	routes, grown, near := t.adopt()
	known, routes = known || t.buried, routes || t.unrouted
	t.buried, t.unrouted = false, false
	if !known && !routes {
		return
	}
	t.publish(known, routes)
	res.Routes = true
	if grown > 0 {
		res.Grown = true
	}
	if grown > near {
		t.wantGrow(now)
	}
}

// shortestPaths is Dijkstra's algorithm from ourselves along outgoing edges
// (spec mesh-protocol 7). Entries of the heap that have been overtaken by a
// better path are skipped when they come up.
func (t *Table) shortestPaths() {
	t.run++
	h := t.frontier[:0]
	for _, p := range t.peers {
		h = t.relax(h, path{run: t.run, cost: 0, hops: 0, next: p.node}, p.node, p.Cost)
	}
	for len(h) > 0 {
		var e entry
		h, e = h.pop()
		at := e.node.path
		if e.cost != at.cost || e.hops != at.hops {
			continue
		}
		for i := range e.node.out {
			x := &e.node.out[i]
			if x.to == nil || x.to.dead || x.cut {
				continue
			}
			h = t.relax(h, at, x.to, x.cost)
		}
	}
	t.frontier = h
}

// relax tries to reach a node over one more edge. Costs come from the network:
// those that are not positive and finite are no edges, as negative ones would
// keep us computing for ever (spec mesh-protocol 17).
func (t *Table) relax(h frontier, via path, to *node, cost float64) frontier {
	via.cost += cost
	via.hops++
	if !(cost > 0) || math.IsInf(via.cost, 0) {
		return h
	}
	if to.path.run == t.run && !via.better(to.path) {
		return h
	}
	again := to.path.run == t.run && to.path.cost == via.cost && to.path.hops == via.hops
	to.path = via
	if again {
		return h // as far as before, through another neighbour: it is in the heap
	}
	return h.push(entry{via.cost, via.hops, to})
}

// adopt takes the computed paths over as routes. It tells whether any changed,
// how many nodes are reachable that were not before, and how many of these are
// neighbours, which need no flood to hear of us.
func (t *Table) adopt() (changed bool, grown, near int) {
	for _, n := range t.list {
		reach := n.path.run == t.run
		switch {
		case !reach && !n.reach:
		case !reach:
			n.reach, n.lost, n.next, n.cost = false, t.computedAt, nil, 0
			changed = true
		case !n.reach || n.next != n.path.next || n.cost != n.path.cost:
			if !n.reach {
				grown++
				if n.peer != nil {
					near++
				}
			}
			n.reach, n.next, n.cost = true, n.path.next, n.path.cost
			changed = true
		}
		n.path.next = nil
	}
	return changed, grown, near
}

// entry is a node and how far it was when it was put into the heap.
type entry struct {
	cost float64
	hops int32
	node *node
}

func (a entry) less(b entry) bool {
	return a.cost < b.cost || a.cost == b.cost && a.hops < b.hops
}

// frontier is a binary heap with the nearest entry first.
type frontier []entry

func (h frontier) push(e entry) frontier {
	h = append(h, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.less(h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	return h
}

func (h frontier) pop() (frontier, entry) {
	top, last := h[0], h[len(h)-1]
	h[len(h)-1] = entry{} // keep no node alive
	h = h[:len(h)-1]
	i := 0
	for {
		kid := 2*i + 1
		if kid >= len(h) {
			break
		}
		if kid+1 < len(h) && h[kid+1].less(h[kid]) {
			kid++
		}
		if !h[kid].less(last) {
			break
		}
		h[i] = h[kid]
		i = kid
	}
	if len(h) > 0 {
		h[i] = last
	}
	return h, top
}
