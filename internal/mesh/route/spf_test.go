package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestTies: of equal paths the one over fewer links wins, then the one through
// the neighbour with the smaller ID, in whatever order the news came.
func TestTies(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 4, 0, 3, 1}} {
		b := newBench(t, "self")
		for _, i := range order[:5] {
			switch i {
			case 0:
				b.up("b", 1)
			case 1:
				b.up("a", 1)
			case 2:
				b.up("z", 2)
			}
		}
		updates := [][]byte{
			b.update("a", "a", epoch0, 1, "self", 1.0, "x", 1.0, "y", 1.0),
			b.update("b", "b", epoch0, 1, "self", 1.0, "x", 1.0),
			b.update("z", "z", epoch0, 1, "self", 2.0, "far", 1.0),
			b.update("x", "a", epoch0, 1, "a", 1.0, "b", 1.0, "far", 1.0),
			b.update("far", "z", epoch0, 1, "x", 1.0, "z", 1.0),
		}
		from := []wire.NodeID{"a", "b", "z", "a", "z"}
		for _, i := range order {
			b.apply(from[i], updates[i])
		}
		s := b.settled()
		if s.Next["x"] != "a" || s.Next["far"] != "z" || s.Cost["far"] != 3 || s.Cost["x"] != 2 {
			t.Errorf("order %v: %v %v", order, s.Next, s.Cost)
		}
	}
}

// TestOddCosts: costs that are not positive are no edges, so a cycle of
// negative ones does not keep us busy (spec mesh-protocol 17). The update goes
// on as it is.
func TestOddCosts(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	b.apply("a", b.update("a", "a", epoch0, 1, "self", 1.0, "x", 1.0, "zero", 0.0, "huge", 1e308))
	res := b.apply("a", b.update("x", "a", epoch0, 1, "y", -1.0, "a", -5.0))
	if u := one(t, res.Send, "x", "c"); u.Connections["y"] != -1 {
		t.Errorf("forwarded as %v", u)
	}
	b.apply("a", b.update("y", "a", epoch0, 1, "x", -1.0, "a", 1.0))
	b.apply("a", b.update("zero", "a", epoch0, 1, "a", 1.0))
	b.apply("a", b.update("huge", "a", epoch0, 1, "a", 1.0, "beyond", 1e308))
	b.apply("a", b.update("beyond", "a", epoch0, 1, "huge", 1.0))
	s := b.settled()
	if got := fmt.Sprint(s.Next); got != "map[a:a c:c huge:a x:a]" {
		t.Errorf("routes %s", got)
	}
	if s.Known["x"]["y"] != -1 {
		t.Errorf("known %v", s.Known)
	}
}

// TestSnapshotIdentity: the snapshot is the same pointer while nothing changes,
// and an old one stays as it was.
func TestSnapshotIdentity(t *testing.T) {
	b := newBench(t, "self")
	empty := b.Snapshot()
	if len(empty.Next) != 0 || len(empty.Known) != 1 {
		t.Errorf("at first: %+v", empty)
	}
	if res := b.up("a", 1); !res.Routes || !res.Grown {
		t.Errorf("%+v", res)
	}
	if len(empty.Next) != 0 || len(empty.Known["self"]) != 0 {
		t.Errorf("an old snapshot changed: %+v", empty)
	}
	b.pass(time.Second)
	b.apply("a", b.update("a", "a", epoch0, 1, "self", 1.0, "far", 1.0))
	b.apply("a", b.update("far", "a", epoch0, 1, "a", 1.0))
	s := b.settled()
	computations := b.Stats().Computations
	b.pass(time.Second)
	if res := b.apply("a", b.update("far", "a", epoch0, 2, "a", 1.0)); res.Routes || res.Grown {
		t.Errorf("a refresh: %+v", res)
	}
	b.pass(time.Hour / 2)
	if b.Snapshot() != s || b.Stats().Computations != computations {
		t.Errorf("another snapshot, %d computations", b.Stats().Computations-computations)
	}
	// A change that alters no route alters what is known only.
	res := b.apply("a", b.update("far", "a", epoch0, 3, "a", 1.0, "nowhere", 1.0))
	if n := b.Snapshot(); !res.Routes || res.Grown || n == s || len(n.Known["far"]) != 2 || fmt.Sprint(n.Next) != fmt.Sprint(s.Next) {
		t.Errorf("%+v: %+v", res, n)
	}
}

// TestComputationsAreMerged: in a large mesh at most one in 100 ms, and the
// first at once; in a small one each change counts at once.
func TestComputationsAreMerged(t *testing.T) {
	t.Run("large", func(t *testing.T) { computations(t, int(MergeDelay/computePerNode), 5, 7) })
	t.Run("small", func(t *testing.T) { computations(t, 1, 100, 101) })
}

func computations(t *testing.T, nodes, least, most int) {
	b := newBench(t, "self")
	b.up("a", 1)
	for i := range nodes {
		id := wire.NodeID(fmt.Sprintf("n%d", i))
		b.apply("a", b.update(id, "a", epoch0, 1, "a", 1.0))
	}
	b.pass(time.Second)
	before := b.Stats().Computations
	var seq uint64
	for range 100 {
		seq++
		b.apply("a", b.update("a", "a", epoch0, seq, "self", 1.0, "x", float64(seq)))
		if seq == 1 && b.Snapshot().Known["a"]["x"] != 1 {
			t.Error("the first change was not computed at once")
		}
		b.pass(5 * time.Millisecond)
	}
	b.pass(MergeDelay)
	if got := int(b.Stats().Computations - before); got < least || got > most {
		t.Errorf("%d computations in half a second", got)
	}
	if b.Snapshot().Known["a"]["x"] != 100 {
		t.Error("the last change is missing")
	}
}

// TestHashCollision: the first node to have a hash keeps it, and ours is ours.
func TestHashCollision(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	b.up("d", 1)
	b.nodes["c"].hash = b.nodes["a"].hash
	b.nodes["d"].hash = b.self.hash
	b.dirty, b.unrouted = true, true
	s := b.settled()
	if s.Hops[b.nodes["a"].hash] != "a" || len(s.Next) != 3 || len(s.Hops) != 1 {
		t.Errorf("%v %v", s.Next, s.Hops)
	}
}
