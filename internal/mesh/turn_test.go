package mesh_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/receptor-go/receptor/internal/mesh"
)

// TestTurnKeepsNoGraph: who keeps a Turn, to see later whether the node has changed,
// does not keep what the node knew then. Answers to status that nobody asked for again
// once held a graph of tens of thousands of nodes that were long gone.
func TestTurnKeepsNoGraph(t *testing.T) {
	a, b := start(t, "a"), start(t, "b")
	joinTCP(t, a, b)
	waitRoute(t, a, "b")
	turn, graph := lookAt(a)
	joinTCP(t, a, start(t, "c"))
	waitRoute(t, a, "c")
	for end := time.Now().Add(10 * time.Second); graph.Value() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was known before is still held")
		}
		runtime.GC()
	}
	if a.Turn() == turn {
		t.Error("another node is known, and the turn is the same")
	}
}

// lookAt returns the turn, and a pointer to what is known, that keeps nothing.
func lookAt(n *mesh.Node) (mesh.Turn, weak.Pointer[mesh.Links]) {
	return n.Turn(), weak.Make(n.Links())
}
