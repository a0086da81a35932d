package mesh_test

import (
	"context"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// What one end of a link sends is what the other receives; links that come and
// go are counted, and so is what the firewall stops.
func TestCounters(t *testing.T) {
	a, b := start(t, "a"), start(t, "b")
	ln, err := link.ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- a.ServeLinks(ctx, ln, mesh.LinkPolicy{}) }()
	go func() { done <- b.KeepLink(ctx, link.DialTCP(ln.Addr(), nil), mesh.LinkPolicy{}, true) }()
	waitRoute(t, a, "b")
	waitRoute(t, b, "a")

	before := a.Counters()
	const pings = 100
	for range pings {
		if _, err := a.Ping(t.Context(), "b", 30); err != nil {
			t.Fatal(err)
		}
	}
	var at, bt mesh.Counters
	until(t, "the same counts at both ends", func() bool {
		at, bt = a.Counters(), b.Counters()
		if len(at.Links) != 1 || len(bt.Links) != 1 {
			return false
		}
		x, y := at.Links[0], bt.Links[0]
		return x.Peer == "b" && y.Peer == "a" && x.FramesOut == y.FramesIn && x.BytesOut == y.BytesIn && x.FramesIn == y.FramesOut && x.BytesIn == y.BytesOut
	})
	was, is := before.Links[0], at.Links[0]
	if is.FramesOut-was.FramesOut < pings || is.FramesIn-was.FramesIn < pings || is.BytesOut-was.BytesOut < 36*pings {
		t.Errorf("after %d pings: %+v, before %+v", pings, is, was)
	}
	if at.LinksUp != 1 || at.LinksDown != 0 || at.Route.Computations == 0 || at.Route.Links != 1 {
		t.Errorf("counts: %+v", at)
	}

	b.SetPolicy(func(_, _ wire.NodeID, _, _ wire.Service) mesh.Verdict { return mesh.Drop })
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if _, err := a.Ping(short, "b", 30); err == nil {
		t.Error("a ping passes the firewall")
	}
	stop()
	until(t, "count of the firewall", func() bool { return b.Counters().Drops.Blocked > 0 })

	cancel()
	<-done
	<-done
	until(t, "count of the end", func() bool {
		c := a.Counters()
		return c.LinksUp == 1 && c.LinksDown == 1 && len(c.Links) == 0
	})
}
