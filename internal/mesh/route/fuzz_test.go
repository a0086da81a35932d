package route

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// FuzzTable turns bytes into events: links with odd costs, updates that are
// forged, from the end of the numbers, or no updates at all, and time. Whatever
// they are, the table neither panics nor misbehaves towards its links, what it
// counts is what it has, its routes are those of the oracle, and nodes that know
// the same pass packets on without loops.
func FuzzTable(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 0, 1, 3, 0, 1, 0, 5, 1, 2, 0, 0, 2, 1, 7})
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz 0101010101 33333 4444"))
	for _, s := range []script{
		line, ties, oddCosts, endOfNumbers, ourName, suspects, cut, forgotten, badLinks,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		z := &fuzzer{t: t, bench: newBench(t, "self"), o: newOracle("self"), data: data}
		for len(z.data) > 0 && len(data) < 2000 {
			z.step()
			z.checkTable()
		}
		s := z.settled()
		z.checkTable()
		z.checkRoutes(s)
		if !z.aged {
			if err := z.o.compare(s); err != nil {
				t.Fatal(err)
			}
		}
		z.checkLoops(s)
	})
}

// A script is a seed: events as step reads them.
type script []byte

func (s script) and(b ...byte) script { return append(slices.Clip(s), b...) }

// link is an event "a link to node came up", with the cost of that number.
func (s script) link(node, cost byte) script { return s.and(node, 0, cost, 0) }

// says is an event "an update of node came from the link to by": pairs of a
// node and the number of a cost follow.
func (s script) says(by, node, epoch, seq, suspect byte, links ...byte) script {
	return s.and(by, 3, node, epoch, seq, byte(len(links)/2)).and(links...).and(suspect)
}

// The seeds. Node 8 is ourselves; what the numbers of costs, epochs and
// sequences mean is in costTexts and numberTexts.
var (
	none     script
	two      = none.link(0, 0).link(1, 1)
	line     = two.says(0, 0, 1, 1, 0, 8, 0, 2, 0).says(0, 2, 1, 1, 0, 0, 0, 3, 2).says(0, 3, 1, 1, 0, 2, 2)
	oddCosts = two.says(0, 2, 1, 1, 0, 3, 5, 4, 6, 5, 7, 6, 8).says(0, 3, 1, 1, 0, 2, 9, 4, 10).
			says(1, 4, 1, 1, 0, 5, 11, 6, 12, 7, 13).says(1, 5, 1, 1, 0, 2, 14).says(1, 6, 1, 1, 0, 2, 15)
	ties = two.link(2, 0).says(0, 0, 1, 1, 0, 8, 0, 3, 1).says(1, 1, 1, 1, 0, 8, 1, 3, 0).says(2, 2, 1, 1, 0, 8, 0, 4, 0).
		says(2, 4, 1, 1, 0, 2, 0, 3, 0).says(0, 3, 1, 1, 0, 0, 1, 1, 0, 4, 0)
	endOfNumbers = two.says(0, 2, 5, 5, 0, 3, 0).says(0, 2, 5, 6, 0, 3, 0).says(0, 2, 6, 5, 0, 4, 0).says(1, 2, 3, 3, 0, 5, 0).
			says(1, 2, 7, 1, 0).says(1, 2, 1, 8, 0).says(1, 3, 9, 1, 0).says(1, 3, 1, 10, 0).
			says(0, 4, 1, 4, 0, 0, 0).says(0, 4, 1, 6, 0, 1, 0).says(0, 4, 1, 3, 0)
	ourName   = two.says(0, 8, 1, 1, 0, 0, 0).says(0, 8, 2, 1, 0, 2, 0).says(1, 8, 6, 6, 0).says(0, 8, 0, 1, 0).says(0, 8, 2, 1, 3).says(0, 8, 0, 1, 2).says(0, 0, 1, 1, 0, 8, 0)
	suspects  = line.says(1, 2, 2, 1, 2).says(1, 2, 1, 2, 1, 3, 0).says(1, 2, 6, 6, 2).says(0, 2, 6, 6, 0, 0, 0)
	cut       = line.and(1, 1).and(0, 1).link(0, 1).says(0, 0, 1, 1, 0)
	forgotten = line.and(0, 6, 70).and(0, 2, 1).says(0, 3, 1, 9, 0, 2, 2).and(0, 6, 255).and(0, 7).and(1, 8)
	badLinks  = line.and(3, 9, 0).and(4, 9, 1).and(5, 9, 2).and(6, 9, 3).says(0, 3, 1, 3, 0, 8, 0)
)

type fuzzer struct {
	t *testing.T
	*bench
	o    *oracle
	data []byte
	last []byte // the last frame
	// aged tells that something happened that the oracle knows nothing of: nodes
	// may have been forgotten, or a link has a cost that none may have.
	aged bool
}

// next takes a byte of input.
func (z *fuzzer) next() byte {
	if len(z.data) == 0 {
		return 0
	}
	c := z.data[0]
	z.data = z.data[1:]
	return c
}

// node names one of eight nodes, or ourselves.
func (z *fuzzer) node() wire.NodeID {
	if c := z.next() % 9; c < 8 {
		return wire.NodeID('a' + rune(c))
	}
	return "self"
}

// linkCosts are what a link may cost, badCosts what it may not.
var (
	linkCosts = []float64{1, 2, 3, 0.1, 1e17, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e308}
	badCosts  = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -1, math.Copysign(0, -1)}
)

// costTexts are costs as somebody may write them; the last are no numbers, or
// numbers that do not fit.
var costTexts = []string{"1", "2", "0.5", "0.1", "3", "0", "-0", "-1", "1e308", "1.7976931348623157e308", "5e-324", "1e-400", "1e17", "-1e308", "0.3", "1E+2",
	"1e309", "NaN", "Infinity", "-Infinity", `"1"`, "null", "01", "1e", "[]"}

// numberTexts are epochs and sequences. The first three are around our epoch.
var numberTexts = []string{fmt.Sprint(uint64(epoch0 - 1)), fmt.Sprint(uint64(epoch0)), fmt.Sprint(uint64(epoch0 + 1)), "0", "1", "18446744073709551614", "18446744073709551615",
	"18446744073709551616", "-1", "1e3", "9007199254740993", "null"}

func (z *fuzzer) step() {
	p := wire.NodeID('a' + rune(z.next()%8))
	switch z.next() % 10 {
	case 0:
		if z.byPeer[p] == nil {
			cost := linkCosts[int(z.next())%len(linkCosts)]
			z.check(z.LinkUp(z.now, p, Link{Cost: cost, Lossy: z.next()%2 == 1}))
			z.o.linkUp(p, cost)
		}
	case 1:
		z.down(p)
	case 2:
		z.tick(time.Duration(z.next()) * 10 * time.Millisecond)
	case 3:
		z.update(p)
	case 4: // whatever bytes come
		n := min(int(z.next()), len(z.data))
		z.raw(p, z.data[:n])
		z.data = z.data[n:]
	case 5:
		z.raw(p, z.last)
	case 6: // long enough for nodes to be forgotten
		z.aged = true
		z.tick(time.Duration(z.next()) * time.Minute)
	case 7:
		if _, err := wire.ParseUpdate(z.Hello(z.now)); err != nil {
			z.t.Fatal(err)
		}
	case 8:
		z.Behind(z.now, p)
	case 9:
		if z.byPeer[p] == nil {
			z.aged = true
			z.check(z.LinkUp(z.now, p, Link{Cost: badCosts[int(z.next())%len(badCosts)]}))
		}
	}
}

func (z *fuzzer) tick(d time.Duration) {
	z.now = z.now.Add(d)
	z.check(z.Tick(z.now))
	if !z.Deadline().After(z.now) {
		z.t.Fatal("Tick leaves something due")
	}
}

func (z *fuzzer) down(p wire.NodeID) {
	z.check(z.LinkDown(z.now, p))
	if z.o.links[p] != 0 {
		z.o.linkDown(p)
	}
}

// update applies an update by p, in the usual form unless a number in it is odd.
func (z *fuzzer) update(p wire.NodeID) {
	number := func() string {
		c := int(z.next())
		if c < 128 {
			return numberTexts[c%len(numberTexts)]
		}
		return fmt.Sprint(c)
	}
	id := len(z.data) // always another one
	frame := fmt.Appendf(nil, "\x01"+`{"NodeID":%q,"UpdateID":"%08d","UpdateEpoch":%s,"UpdateSequence":%s,"Connections":{`, z.node(), id, number(), number())
	for i := range z.next() % 5 {
		if i > 0 {
			frame = append(frame, ',')
		}
		frame = fmt.Appendf(frame, "%q:%s", z.node(), costTexts[int(z.next())%len(costTexts)])
	}
	suspect := "0"
	if c := z.next(); c%16 != 0 {
		suspect = numberTexts[int(c%16-1)%len(numberTexts)]
	}
	z.raw(p, fmt.Appendf(frame, `},"ForwardingNode":%q,"SuspectedDuplicate":%s}`, p, suspect))
}

// raw applies a frame and tells the oracle if it was recorded.
func (z *fuzzer) raw(p wire.NodeID, frame []byte) {
	z.last = append([]byte(nil), frame...)
	before, linked := z.stats, z.byPeer[p] != nil
	res, err := z.Apply(z.now, p, frame)
	z.check(res)
	u, perr := wire.ParseUpdate(z.last)
	switch {
	case !linked && err == nil:
		z.t.Fatal("an update over a link that does not exist is taken")
	case linked && perr != nil && err == nil && z.stats.Duplicates == before.Duplicates:
		z.t.Fatalf("%s is taken: %v", z.last, perr)
	case u.NodeID == "self" && z.stats.Accepted > before.Accepted:
		z.t.Fatalf("%v is recorded", u)
	case res.Fatal != nil && (u.NodeID != "self" || u.SuspectedDuplicate != epoch0 || u.UpdateEpoch == epoch0):
		z.t.Fatalf("%v ends us: %v", u, res.Fatal)
	case res.Duplicate && (u.NodeID != "self" || u.UpdateEpoch <= epoch0):
		z.t.Fatalf("%v passes for a duplicate of ours", u)
	}
	if z.stats.Stale > before.Stale && !z.aged {
		if last := z.o.order[u.NodeID]; u.UpdateEpoch > last[0] || u.UpdateEpoch == last[0] && u.UpdateSequence > last[1] {
			z.t.Fatalf("%v is taken for older than %v", u, last)
		}
	}
	if z.stats.OverLimit > before.OverLimit {
		z.t.Fatalf("there is no room for %v", u)
	}
	if res.Reject != nil {
		z.down(p)
	}
	if z.stats.Accepted == before.Accepted {
		return
	}
	if err != nil || perr != nil {
		z.t.Fatal(err, perr)
	}
	switch {
	case z.aged: // the oracle is not asked any more
	case u.SuspectedDuplicate == 0:
		if !z.o.apply(u) {
			z.t.Fatalf("%v was accepted", u)
		}
	default:
		if at, ok := z.o.order[u.NodeID]; ok && at[0] == u.SuspectedDuplicate {
			z.o.order[u.NodeID] = [2]uint64{u.UpdateEpoch, u.UpdateSequence}
		}
	}
}

// check looks at what is sent.
func (z *fuzzer) check(res Result) {
	for _, s := range res.Send {
		u, err := wire.ParseUpdate(s.Frame)
		if err != nil || len(s.Frame) > wire.MaxFrame || u.ForwardingNode != "self" {
			z.t.Fatalf("sent %s: %v", s.Frame, err)
		}
		if z.byPeer[s.Peer] == nil {
			z.t.Fatalf("sent to %s, to which there is no link", s.Peer)
		}
		if s.Key != "" && s.Key != u.NodeID {
			z.t.Fatalf("key %q for %v", s.Key, u)
		}
	}
	if res.Fatal != nil && res.Reject != nil {
		z.t.Fatalf("%+v", res)
	}
}

// checkTable compares what the table has counted with what it has.
func (z *fuzzer) checkTable() {
	heard, bytes, edges := 0, 0, 0
	for _, n := range z.list {
		if z.nodes[n.id] != n || n.dead || n.id == "self" || !n.heard && n.peer == nil {
			z.t.Fatalf("node %q is kept without a reason", n.id)
		}
		if n.peer != nil && z.byPeer[n.id] != n.peer {
			z.t.Fatalf("node %q has a link that does not exist", n.id)
		}
		if n.heard {
			heard++
		}
		bytes, edges = bytes+len(n.frame), edges+len(n.out)
	}
	switch {
	case heard != z.heard || bytes != z.bytes || edges != z.edges || len(z.list) != len(z.nodes) || len(z.peers) != len(z.byPeer):
		z.t.Fatalf("counted %d nodes, %d bytes, %d edges, there are %d, %d, %d; %d of %d nodes listed, %d of %d links",
			z.heard, z.bytes, z.edges, heard, bytes, edges, len(z.list), len(z.nodes), len(z.peers), len(z.byPeer))
	case heard > MaxNodes || bytes > MaxStored || edges > MaxEdges:
		z.t.Fatalf("%d nodes, %d bytes, %d edges", heard, bytes, edges)
	}
}

// checkRoutes: a route leads over a link that exists to a node that is known, and
// costs what it costs to go there.
func (z *fuzzer) checkRoutes(s *Snapshot) {
	if len(s.Next) != len(s.Cost) {
		z.t.Fatalf("%d routes, %d costs", len(s.Next), len(s.Cost))
	}
	for id, next := range s.Next {
		cost := s.Cost[id]
		link := z.byPeer[next]
		if id == "self" || z.nodes[id] == nil || link == nil || !(cost > 0) || math.IsInf(cost, 0) || !(link.Cost > 0) || cost < link.Cost {
			z.t.Fatalf("route to %q over %q costs %v, link %+v", id, next, cost, link)
		}
		if link.id == id && cost > link.Cost {
			z.t.Fatalf("the route to the neighbour %q costs %v, its link %v", id, cost, link.Cost)
		}
	}
}

// checkLoops lets each node of the graph compute its own routes from what we
// know, and follows them.
func (z *fuzzer) checkLoops(s *Snapshot) {
	// What all agree on: the links that both ends list, with the cost of the one
	// whose name comes first.
	links := map[wire.NodeID]map[wire.NodeID]float64{}
	for a, list := range s.Known {
		for b, cost := range list {
			if _, mutual := s.Known[b][a]; !mutual || a >= b || !(cost > 0) || math.IsInf(cost, 0) {
				continue
			}
			for _, e := range [][2]wire.NodeID{{a, b}, {b, a}} {
				if links[e[0]] == nil {
					links[e[0]] = map[wire.NodeID]float64{}
				}
				links[e[0]][e[1]] = cost
			}
		}
	}
	next := map[wire.NodeID]map[wire.NodeID]wire.NodeID{}
	for node, own := range links {
		b := newBench(z.t, node)
		for peer, cost := range own {
			b.up(peer, cost)
		}
		for origin, list := range links {
			for by := range own {
				if origin == node || origin != by && own[origin] != 0 {
					continue
				}
				u := wire.Update{NodeID: origin, ForwardingNode: by, UpdateID: b.ids(), UpdateEpoch: 1, UpdateSequence: 1, Connections: list}
				if res := b.apply(by, wire.AppendUpdate(nil, u)); res.Reject != nil {
					z.t.Fatalf("%v: %v", u, res.Reject)
				}
				break
			}
		}
		next[node] = b.settled().Next
	}
	for from := range links {
		for to := range links {
			at, hops := from, 0
			for at != to {
				hop, ok := next[at][to]
				if !ok && at == from {
					break // there is no way, or it costs too much
				}
				if hops++; !ok || hops > len(links) {
					z.t.Fatalf("a packet from %s to %s gets nowhere at %s, routes %v of links %v", from, to, at, next, links)
				}
				at = hop
			}
		}
	}
}
