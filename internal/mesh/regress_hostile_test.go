package mesh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestCancelOfNothing: cancelling a service that nobody advertised does no harm, and
// an advertisement that comes late does not bring the service back.
func TestCancelOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		a := h.Link("a", 1)
		now := time.Now()
		a.Send(wire.AppendAdvert(nil, wire.Advert{NodeID: "a", Service: "s", Time: now, Cancel: true}))
		a.Send(wire.AppendAdvert(nil, wire.Advert{NodeID: "a", Service: "s", Time: now.Add(-time.Second)}))
		h.Advance(time.Second)
		if s := h.Status(); len(s.Connections) != 1 || len(s.Adverts) != 0 {
			t.Errorf("links %v, services %v", s.Connections, s.Adverts)
		}
	})
}
