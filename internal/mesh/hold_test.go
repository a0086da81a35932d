package mesh_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// answerPings makes a neighbour answer what the node asks over this link.
func answerPings(nb *meshtest.Neighbour, from wire.NodeID) {
	for _, r := range nb.Take() {
		h, err := wire.ParseHeader(r.Frame)
		if err != nil || h.To != wire.Ping.Name() {
			continue
		}
		nb.Send(wire.AppendHeader(nil, wire.Header{Hops: 29, Src: h.Dst, Dst: h.Src, From: h.To, To: h.From}))
	}
}

func connected(h *meshtest.Harness, id wire.NodeID) bool {
	for _, c := range h.Status().Connections {
		if c.Peer == id {
			return true
		}
	}
	return false
}

// TestSecondLink has a case for each rule of hold.go. Each starts with an
// established link to "a" over which nothing more comes unless said otherwise.
func TestSecondLink(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent time.Duration // before the second link opens
		epoch  uint64        // of the process at the second link; 0 is that at the first
		lists  bool          // it says that it is connected to us
		alive  bool          // the first link answers
		closed bool          // the peer closes the first link
		wins   bool          // the second link takes over
		within time.Duration
	}{
		{"silent for long, same process", 13 * time.Second, 0, false, false, false, true, 0},
		{"silent for long, other process", 13 * time.Second, 1 << 50, false, false, false, true, 0},
		{"same process says it is connected", 5 * time.Second, 0, true, false, false, true, 0},
		{"restarted, old link dead", 5 * time.Second, 1 << 50, true, false, false, true, 3 * time.Second},
		{"two processes", 5 * time.Second, 1 << 50, true, true, false, false, 0},
		{"two processes, one with an older clock", 5 * time.Second, 1, true, true, false, false, 0},
		{"never says that it is connected", 5 * time.Second, 1 << 50, false, false, false, false, 3 * time.Second},
		{"the old link is closed", 5 * time.Second, 1 << 50, false, false, true, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := meshtest.NewNode(t, mesh.Config{ID: "b"})
				old := h.Link("a", 1)
				h.Advance(c.silent)
				old.Take()
				nb := h.Open("a", mesh.LinkPolicy{}, false)
				nb.Epoch, nb.Sequence = old.Epoch, old.Sequence
				if c.epoch != 0 {
					nb.Epoch = c.epoch
				}
				start := time.Now()
				nb.Hello()
				if c.alive {
					answerPings(old, "b")
				}
				if c.closed {
					old.Close()
				}
				if c.lists {
					nb.SendUpdate("b")
				}
				h.Advance(c.within)
				loser, winner := nb, old
				if c.wins {
					loser, winner = old, nb
				}
				h.Advance(10 * time.Millisecond)
				if !c.closed && loser.Closed().IsZero() {
					t.Errorf("after %v the loser is still open", time.Since(start))
				}
				if !winner.Closed().IsZero() {
					t.Error("the winner was closed")
				}
				if !connected(h, "a") {
					t.Error("not connected")
				}
				winner.SendUpdate("b")
				h.Advance(3 * time.Second)
				if !winner.Closed().IsZero() || !connected(h, "a") {
					t.Error("the winner did not last")
				}
			})
		})
	}
}

// TestThirdLink: one second link at a time is held, others are rejected at
// once.
func TestThirdLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		h.Link("a", 1)
		second, third := h.Open("a", mesh.LinkPolicy{}, false), h.Open("a", mesh.LinkPolicy{}, false)
		second.Hello()
		third.Hello()
		if !second.Closed().IsZero() || third.Closed().IsZero() {
			t.Error("the second is to be held and the third rejected")
		}
	})
}

// TestSimultaneousWithOriginal: the peer is of the original's kind. It keeps
// the link that it established first and rejects the other.
func TestSimultaneousWithOriginal(t *testing.T) {
	for _, self := range []wire.NodeID{"a", "z"} { // smaller and greater than the peer
		for _, oursFirst := range []bool{true, false} { // the first message that reaches us came over the link that we dialled
			for _, keepsOurs := range []bool{true, false} {
				t.Run(fmt.Sprintf("self=%s oursFirst=%v peerKeepsOurs=%v", self, oursFirst, keepsOurs), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { simultaneousWithOriginal(t, self, oursFirst, keepsOurs) })
				})
			}
		}
	}
}

func simultaneousWithOriginal(t *testing.T, self wire.NodeID, oursFirst, keepsOurs bool) {
	h := meshtest.NewNode(t, mesh.Config{ID: self})
	dialed, accepted := h.Open("m", mesh.LinkPolicy{}, true), h.Open("m", mesh.LinkPolicy{}, false)
	accepted.Epoch = dialed.Epoch
	keep, drop := dialed, accepted
	if !keepsOurs {
		keep, drop = accepted, dialed
	}
	first, second := dialed, accepted
	if !oursFirst {
		first, second = accepted, dialed
	}
	keep.Sequence = 10
	first.Hello()
	second.Hello()
	drop.Send(wire.Reject(""))
	drop.Close()
	h.Advance(100 * time.Millisecond)
	keep.SendUpdate(self)
	h.Advance(5 * time.Second)
	if !connected(h, "m") || !keep.Closed().IsZero() {
		t.Errorf("connected %v, the peer's link closed %v", connected(h, "m"), !keep.Closed().IsZero())
	}
}

// TestMutualDial: "two nodes that dial each other settle on one link", whatever
// the delays, and then stay there.
func TestMutualDial(t *testing.T) {
	for seed := range 40 {
		delay := time.Duration(seed) * 700 * time.Microsecond
		lag := time.Duration(seed%7) * 3 * time.Millisecond
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ups := new(atomic.Int64)
				m := meshtest.New(t)
				m.Config.Logger = countLog("link up", ups)
				m.Join("a", "b", link.PipeOptions{Delay: delay})
				time.Sleep(lag)
				m.Join("b", "a", link.PipeOptions{Delay: delay})
				m.Converged(time.Second + 10*delay)
				time.Sleep(5 * time.Second)
				settled := ups.Load()
				for range 120 {
					time.Sleep(time.Second)
					if _, err := m.Node("a").Ping(context.Background(), "b", 30); err != nil {
						t.Fatalf("ping: %v", err)
					}
				}
				if n := ups.Load(); n != settled || settled > 4 {
					t.Errorf("links came up %d times at first and %d times later", settled, n-settled)
				}
			})
		})
	}
}
