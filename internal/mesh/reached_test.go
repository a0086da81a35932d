package mesh_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestReached: the node is told once of every node that comes into reach, comes
// back, or was restarted behind others.
func TestReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		var told []wire.NodeID
		m.Config.Reached = func(ids []wire.NodeID) { told = append(told, ids...) }
		m.Node("a")
		m.Config.Reached = nil
		ab := m.Join("a", "b", link.PipeOptions{Delay: time.Millisecond})
		edge := m.Join("b", "c", link.PipeOptions{Delay: time.Millisecond})
		m.Converged(5 * time.Second)
		wait := func(what string, want ...wire.NodeID) {
			t.Helper()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			slices.Sort(told)
			told = slices.Compact(told) // a restart may be seen as a loss, a return and a new epoch
			if !slices.Equal(told, want) {
				t.Errorf("%s: told of %v, want %v", what, told, want)
			}
			told = nil
		}
		wait("start", "b", "c")
		ab.Stop()
		wait("cut")
		m.Join("a", "b", link.PipeOptions{Delay: time.Millisecond})
		wait("healed", "b", "c")
		edge.Stop()
		m.Stop("c")
		m.Join("b", "c", link.PipeOptions{Delay: time.Millisecond})
		wait("restarted", "c")
	})
}
