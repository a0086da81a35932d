package route

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// bigMesh is the table of a node of a random mesh of n nodes and 3n links, and
// a second version of one node's update that changes a link's cost.
func bigMesh(b testing.TB, n int) (t *Table, change func()) {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	id := func(i int) wire.NodeID { return wire.NodeID(fmt.Sprintf("node%05d.example.org", i)) }
	links := make([]map[wire.NodeID]float64, n)
	for i := range links {
		links[i] = map[wire.NodeID]float64{}
	}
	join := func(i, j int) {
		if i != j {
			cost := 1 + float64(rng.IntN(8))/4
			links[i][id(j)], links[j][id(i)] = cost, cost
		}
	}
	for i := 1; i < n; i++ {
		join(i, rng.IntN(i))
	}
	for range 2 * n {
		join(rng.IntN(n), rng.IntN(n))
	}
	t = New(Config{Self: id(0), Epoch: epoch0, NewID: counterIDs('o')}, start)
	var peer wire.NodeID
	for p, cost := range links[0] {
		t.LinkUp(start, p, Link{Cost: cost})
		peer = p
	}
	ids, seq := counterIDs('t'), uint64(0)
	send := func(i int) {
		seq++
		res, err := t.Apply(start, peer, wire.AppendUpdate(nil, wire.Update{NodeID: id(i), ForwardingNode: peer,
			UpdateID: ids(), UpdateEpoch: epoch0, UpdateSequence: seq, Connections: links[i]}))
		if err != nil || res.Reject != nil {
			b.Fatal(res, err)
		}
	}
	for i := 1; i < n; i++ {
		send(i)
	}
	t.compute(start.Add(time.Second), &Result{})
	if got := len(t.snap.Next); got != n-1 {
		b.Fatalf("%d routes, want %d", got, n-1)
	}
	far := n - 1
	for links[far][id(0)] != 0 {
		far--
	}
	return t, func() {
		for other := range links[far] {
			links[far][other] += 0.25
		}
		send(far)
	}
}

func BenchmarkShortestPaths(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		if n > 1000 && testing.Short() {
			continue
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t, change := bigMesh(b, n)
			b.ReportAllocs()
			for b.Loop() {
				change()
				var res Result
				t.compute(start, &res)
				if !res.Routes {
					b.Fatal("nothing changed")
				}
			}
		})
	}
}

// BenchmarkApply is what each copy of an update costs that a node gets.
func BenchmarkApply(b *testing.B) {
	t := New(Config{Self: "self", Epoch: epoch0, NewID: counterIDs('o')}, start)
	for _, p := range []wire.NodeID{"a", "b", "c"} {
		t.LinkUp(start, p, Link{Cost: 1})
	}
	ids := counterIDs('t')
	u := wire.Update{NodeID: "far", ForwardingNode: "a", UpdateID: ids(), UpdateEpoch: epoch0,
		Connections: map[wire.NodeID]float64{"x": 1, "y": 1, "z": 1}}
	frame := wire.AppendUpdate(nil, u)
	apply := func() {
		if _, err := t.Apply(start, "a", frame); err != nil {
			b.Fatal(err)
		}
	}
	apply()
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			apply()
		}
	})
	b.Run("refresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			u.UpdateSequence++
			u.UpdateID = ids()
			frame = wire.AppendUpdate(frame[:0], u)
			apply()
		}
	})
}
