package mesh_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestManyNodes: a cold start of a random mesh converges within seconds, and
// again after links were cut and healed.
func TestManyNodes(t *testing.T) {
	n := 300
	if testing.Short() || raceEnabled {
		n = 60
	}
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		ids := m.Random(link.PipeOptions{Delay: 5 * time.Millisecond}, n, n/2, 1)
		took := m.Converged(10 * time.Second)
		t.Logf("%d nodes converged in %v", n, took)
		time.Sleep(time.Second)
		if _, err := m.Node(ids[0]).Ping(t.Context(), ids[n-1], 30); err != nil {
			t.Errorf("ping: %v", err)
		}
	})
}

// TestPartition: two halves whose only link dies uncleanly lose each other's
// routes, and find together again.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		o := link.PipeOptions{Delay: time.Millisecond}
		var left, right []wire.NodeID
		for i := range 5 {
			left = append(left, wire.NodeID(fmt.Sprintf("l%d", i)))
			right = append(right, wire.NodeID(fmt.Sprintf("r%d", i)))
		}
		m.Ring(o, left...)
		m.Ring(o, right...)
		bridge := m.Join("l0", "r0", o)
		m.Converged(3 * time.Second)
		bridge.Cut()
		time.Sleep(30 * time.Second)
		for _, id := range left {
			if via := m.Node(id).Status().Routes["r3"]; via != "" {
				t.Errorf("%s still has a route to r3 via %s", id, via)
			}
		}
		bridge.Heal()
		if took := m.Converged(25 * time.Second); took > 22*time.Second {
			t.Errorf("converged %v after the cable was healed", took)
		}
	})
}
