package mesh_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// adverts parses the advertisements among frames.
func adverts(t *testing.T, frames [][]byte) map[wire.Service]wire.Advert {
	all := map[wire.Service]wire.Advert{}
	for _, f := range frames {
		a, err := wire.ParseAdvert(f)
		if err != nil {
			t.Errorf("node sent %q: %v", f, err)
		}
		all[a.Service] = a
	}
	return all
}

// TestAdvertise: own services are told to the mesh soon after something
// changed, and every 60 s.
func TestAdvertise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		h.SetWorkTypes([]wire.WorkCommand{{WorkType: "cat", Secure: true}})
		nb := h.Link("a", 1)
		nb.KeepAlive("b")
		tags := map[string]string{"type": "Control Service"}
		ln, err := h.Listen(mesh.Service{Name: "control", Advertise: true, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		pc, err := h.ListenPacket(mesh.Service{Name: "udp", Advertise: true})
		if err != nil {
			t.Fatal(err)
		}
		quiet, err := h.ListenPacket(mesh.Service{})
		if err != nil {
			t.Fatal(err)
		}
		defer quiet.Close()
		h.Advance(120 * time.Millisecond)
		first := nb.TakeType(wire.TypeAdvert)
		all := adverts(t, first)
		if len(first) != 2 || len(all) != 2 {
			t.Fatalf("advertised %q, want two services once", first)
		}
		if a := all["control"]; a.ConnType != wire.Stream || !maps.Equal(a.Tags, tags) || len(a.WorkCommands) != 1 || a.NodeID != "b" {
			t.Errorf("advertised %+v", a)
		}
		if a := all["udp"]; a.ConnType != wire.Datagram || a.WorkCommands != nil || a.Tags != nil {
			t.Errorf("advertised %+v", a)
		}
		h.Advance(61 * time.Second)
		again := adverts(t, nb.TakeType(wire.TypeAdvert))
		if len(again) != 2 || !again["udp"].Time.After(all["udp"].Time) {
			t.Errorf("after a minute: %v", again)
		}

		// A newcomer gets them at once, and so do others' stored ones.
		nb.Send(wire.AppendAdvert(nil, wire.Advert{NodeID: "a", Service: "svc", Time: time.Now()}))
		other := h.Open("c", mesh.LinkPolicy{}, false)
		other.Hello()
		h.Advance(120 * time.Millisecond)
		got := slices.Sorted(maps.Keys(adverts(t, other.TakeType(wire.TypeAdvert))))
		if !slices.Equal(got, []wire.Service{"control", "svc", "udp"}) {
			t.Errorf("a newcomer gets %v", got)
		}

		// Status shows own ones with the present time and all work types.
		for _, a := range h.Status().Adverts {
			if a.NodeID == "b" && (!a.Time.Equal(time.Now()) || len(a.WorkCommands) != 1) {
				t.Errorf("status shows %+v", a)
			}
		}

		// The mesh is a tree, so a cancellation can do no harm.
		nb.Take()
		pc.Close()
		h.Advance(time.Millisecond)
		if c := adverts(t, nb.TakeType(wire.TypeAdvert))["udp"]; !c.Cancel || !c.Time.After(again["udp"].Time) {
			t.Errorf("cancellation %+v", c)
		}
		if n := len(h.Status().Adverts); n != 2 {
			t.Errorf("%d advertisements in the status, want 2", n)
		}
	})
}

// TestCancelStorm: one cancellation in a triangle crosses each link once or
// twice, instead of for ever (spec 8).
func TestCancelStorm(t *testing.T) {
	var file struct {
		Copies int `json:"copies_in_3_seconds"`
	}
	vector(t, "cancel-storm.json", &file)
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Ring(link.PipeOptions{Delay: time.Millisecond}, "x", "y", "z")
		m.Converged(time.Second)
		nb := meshtest.Attach(t, m.Node("x")).Link("src", 1)
		nb.SendUpdate("x")
		ghost := wire.Advert{NodeID: "ghost", Service: "svc", Time: time.Now()}
		nb.Send(wire.AppendAdvert(nil, ghost))
		time.Sleep(time.Second)
		ghost.Time, ghost.Cancel = time.Now(), true
		nb.Send(wire.AppendAdvert(nil, ghost))
		time.Sleep(3 * time.Second)
		if got := len(nb.TakeType(wire.TypeAdvert)); got != 0 {
			t.Errorf("%d copies came back, want none (the original: %d)", got, file.Copies)
		}
		for _, id := range []wire.NodeID{"x", "y", "z"} {
			if a := m.Node(id).Status().Adverts; len(a) != 0 {
				t.Errorf("%s still knows %v", id, a)
			}
		}
	})
}
