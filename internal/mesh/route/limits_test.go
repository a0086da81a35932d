package route

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// hub is an update of a node with n connections.
func (b *bench) hub(node, by wire.NodeID, n int) []byte {
	u := wire.Update{NodeID: node, ForwardingNode: by, UpdateID: "h" + string(node), UpdateEpoch: epoch0, UpdateSequence: 1, Connections: map[wire.NodeID]float64{by: 1}}
	for i := range n - 1 {
		u.Connections[wire.NodeID(fmt.Sprintf("%x", i))] = 1
	}
	return wire.AppendUpdate(nil, u)
}

// TestMaxEdges: nodes with thousands of connections each, which fit few bytes of
// updates, are taken as long as their connections fit the bound. Once there was none,
// and one neighbour could fill gigabytes.
func TestMaxEdges(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	const each = 4000
	hubs := MaxEdges / each
	for i := range hubs + 5 {
		name := wire.NodeID(fmt.Sprint("hub", i))
		res := b.apply("a", b.hub(name, "a", each))
		if taken := len(res.Names) == 1; taken != (i < hubs) {
			t.Fatalf("hub %d of %d connections: taken %v", i, each, taken)
		}
	}
	if b.edges > MaxEdges || b.Stats().OverLimit != 5 {
		t.Errorf("%d edges, %d over the limit", b.edges, b.Stats().OverLimit)
	}
	if pause := b.computePause(); pause < MergeDelay || pause > time.Second {
		t.Errorf("routes of so many edges are computed every %v", pause)
	}
	u := wire.Update{NodeID: "hub0", ForwardingNode: "a", UpdateID: "fewer", UpdateEpoch: epoch0, UpdateSequence: 2, Connections: map[wire.NodeID]float64{"a": 1}}
	if res := b.apply("a", wire.AppendUpdate(nil, u)); len(res.Send) == 0 {
		t.Error("a known node with fewer connections than before was not taken")
	}
	if res := b.apply("a", b.hub("late", "a", each)); len(res.Names) != 1 {
		t.Error("the room that it left is not free again")
	}
	b.LinkDown(b.now, "a")
	b.pass(ForgetLost + 2*sweepEvery)
	if b.edges != 0 || b.heard != 0 || b.Stats().Stored != 0 {
		t.Errorf("%d edges of %d nodes are counted when all are forgotten", b.edges, b.heard)
	}
}

// TestExactBounds: each bound of what is known is met exactly, and one more is over it.
func TestExactBounds(t *testing.T) {
	for name, c := range map[string]struct {
		fill func(b *bench, frame []byte, free int) // leaves room for the frame, and free more of the kind
	}{
		"nodes": {func(b *bench, _ []byte, free int) { b.heard = MaxNodes - 1 - free }},
		"edges": {func(b *bench, _ []byte, free int) { b.edges = MaxEdges - 7 - free }},
		"bytes": {func(b *bench, frame []byte, free int) { b.bytes = MaxStored - len(frame) - len("self") - free }},
	} {
		for free, taken := range map[int]bool{1: true, 0: true, -1: false} {
			b := newBench(t, "self")
			b.up("a", 1)
			frame := b.hub("hub", "a", 7)
			c.fill(b, frame, free)
			if res := b.apply("a", frame); (len(res.Names) == 1) != taken || (b.Stats().OverLimit == 0) != taken {
				t.Errorf("%s: room for it and %d more: %v are new, %d over the limit", name, free, res.Names, b.Stats().OverLimit)
			}
		}
	}
}

// TestForgetLost: thousands of nodes that only one neighbour told of are soon
// forgotten when it has gone, while a small mesh that has fallen apart is remembered.
func TestForgetLost(t *testing.T) {
	for _, c := range []struct {
		nodes int
		stay  bool
	}{{100, true}, {crowdNodes + 1, false}} {
		b := newBench(t, "self")
		b.up("a", 1)
		near := []any{"self", 1.0}
		for i := range c.nodes {
			b.apply("a", b.update(wire.NodeID(fmt.Sprint("n", i)), "a", epoch0, 1, "a", 1.0))
			near = append(near, fmt.Sprint("n", i), 1.0)
		}
		b.apply("a", b.update("a", "a", epoch0, 1, near...))
		b.settled()
		for range 5 {
			b.now = b.now.Add(time.Minute)
			b.Tick(b.now)
		}
		if b.heard != c.nodes+1 {
			t.Fatalf("%d of %d nodes in reach are known", b.heard, c.nodes)
		}
		full := live()
		b.LinkDown(b.now, "a")
		b.pass(ForgetLost - time.Second)
		if b.heard != c.nodes+1 {
			t.Errorf("%d of %d nodes are known before ForgetLost is over", b.heard, c.nodes)
		}
		b.pass(2 * sweepEvery)
		if stay := b.heard == c.nodes+1; stay != c.stay || !c.stay && b.heard != 0 {
			t.Errorf("of %d nodes out of reach %d are known", c.nodes, b.heard)
		}
		if left := live(); !c.stay && (full-left < uint64(c.nodes)*400 || cap(b.list) > 10 || b.frontier != nil) {
			t.Errorf("%d bytes of %d nodes were given back; room for %d is kept", full-left, c.nodes, cap(b.list))
		}
		runtime.KeepAlive(b)
	}
}

// live is how many bytes are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBehind: a link whose queue was full gets all that is known once more, some of it
// every second, and nothing after that.
func TestBehind(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("slow", 1)
	const count = 2*behindMax + 10
	near := []any{"self", 1.0}
	for i := range count {
		b.apply("a", b.update(wire.NodeID(fmt.Sprint("n", i)), "a", epoch0, 1, "a", 1.0))
		near = append(near, fmt.Sprint("n", i), 1.0)
	}
	b.apply("a", b.update("a", "a", epoch0, 1, near...))
	b.settled()
	b.Behind(b.now, "slow")
	b.Behind(b.now, "nobody")
	got := map[wire.NodeID]bool{}
	for second := range 20 {
		b.now = b.now.Add(trickleEvery)
		sent := 0
		for _, s := range b.Tick(b.now).Send {
			if s.Peer == "slow" && s.Key != "self" {
				got[s.Key] = true
				sent++
			}
		}
		if sent > behindMax || second > 3 && sent > 0 {
			t.Errorf("%d updates in second %d", sent, second)
		}
	}
	if len(got) != count+1 { // and that of a
		t.Errorf("%d of %d updates were sent again", len(got), count+1)
	}
}
