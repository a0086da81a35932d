package mesh_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestHopLimits: we send packets with a budget of 30 links, and pass on those of others
// with any that a byte can say; the last is gone when it comes to the next node with none.
func TestHopLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		a, c := h.Link("a", 1), h.Link("c", 1)
		packet := func(hops uint8) []byte {
			return wire.AppendHeader(nil, wire.Header{
				Hops: hops, Src: wire.NodeID("a").Hash(), Dst: wire.NodeID("c").Hash(),
				From: wire.Service("x").Name(), To: wire.Service("y").Name(),
			})
		}
		for _, hops := range []uint8{255, 254, 30, 1, 0} {
			a.Send(packet(hops))
			got := c.TakeType(wire.TypeData)
			if hops == 0 {
				if len(got) != 0 {
					t.Errorf("a packet without hops went on with %d", got[0][1])
				}
				continue
			}
			if len(got) != 1 || got[0][1] != hops-1 {
				t.Errorf("a packet with %d hops: %x", hops, got)
			}
		}
		notices := a.TakeType(wire.TypeData)
		if len(notices) != 1 {
			t.Fatalf("%d notices of packets that expired, want 1", len(notices))
		}
		header, err := wire.ParseHeader(notices[0])
		if err != nil || header.Hops != 30-1 || header.To != wire.Unreachable.Name() {
			t.Errorf("%+v, %v", header, err)
		}
		if p, err := wire.ParseProblem(wire.Payload(notices[0])); err != nil || p.Problem != wire.ProblemExpired {
			t.Errorf("%+v, %v", p, err)
		}

		conn, err := h.ListenPacket(mesh.Service{Name: "us"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.WriteTo([]byte("x"), mesh.Addr{Node: "c", Service: "y"}); err != nil {
			t.Fatal(err)
		}
		if got := c.TakeType(wire.TypeData); len(got) != 1 || got[0][1] != 30-1 {
			t.Errorf("our own packet: %x", got)
		}
	})
}

// TestLargestPacket: a packet as large as a frame can be goes out, one byte more is an error.
func TestLargestPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Line(link.PipeOptions{}, "a", "b")
		m.Converged(time.Second)
		from, err := m.Node("a").ListenPacket(mesh.Service{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		to, err := m.Node("b").ListenPacket(mesh.Service{Name: "y"})
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		addr := mesh.Addr{Node: "b", Service: "y"}
		if n, err := from.WriteTo(make([]byte, wire.MaxPayload), addr); err != nil || n != wire.MaxPayload {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if n, _, err := to.ReadFrom(make([]byte, wire.MaxFrame)); err != nil || n != wire.MaxPayload {
			t.Errorf("%d bytes arrived, %v", n, err)
		}
		want := fmt.Sprintf("packet of %d bytes is too long for the mesh, most is %d", wire.MaxPayload+1, wire.MaxPayload)
		if _, err := from.WriteTo(make([]byte, wire.MaxPayload+1), addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("one byte more: %v", err)
		}
		// The names of services on both sides.
		if _, err := from.WriteTo(nil, mesh.Addr{Node: "b", Service: "123456789"}); err == nil || !strings.Contains(err.Error(), "service name") {
			t.Errorf("a service of 9 bytes is written to: %v", err)
		}
		if _, err := m.Node("a").ListenPacket(mesh.Service{Name: "123456789"}); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("a service of 9 bytes is listened on: %v", err)
		}
		eight, err := m.Node("a").ListenPacket(mesh.Service{Name: "12345678"})
		if err != nil {
			t.Fatal(err)
		}
		eight.Close()
	})
}

// TestLongestNodeID: a node may be called by as many bytes as its neighbours take.
func TestLongestNodeID(t *testing.T) {
	longest := wire.NodeID(strings.Repeat("n", wire.MaxNodeID))
	if _, err := mesh.New(mesh.Config{ID: longest}); err != nil {
		t.Fatal(err)
	}
	if _, err := mesh.New(mesh.Config{ID: longest + "n"}); err == nil || !strings.Contains(err.Error(), "at most 255 are allowed") {
		t.Errorf("one byte more: %v", err)
	}
}
