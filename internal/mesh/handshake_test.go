package mesh_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// event is one line of a recorded conversation.
type event struct {
	Seconds   float64
	Direction string
	Frame     hexBytes `json:"frame_hex"`
	Text      string
}

func (e event) at() time.Duration { return time.Duration(e.Seconds * float64(time.Second)) }

// updates parses the routing updates among frames.
func updates(tb testing.TB, got []meshtest.Received) []wire.Update {
	tb.Helper()
	var all []wire.Update
	for _, r := range got {
		if len(r.Frame) == 0 || wire.Type(r.Frame[0]) != wire.TypeUpdate {
			continue
		}
		u, err := wire.ParseUpdate(r.Frame)
		if err != nil {
			tb.Errorf("node sent %q: %v", r.Frame, err)
		}
		all = append(all, u)
	}
	return all
}

// TestHandshakeVectors replays the recorded handshakes: what the original did
// at some time we have to do too, within the time of its own merging.
func TestHandshakeVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Case   string
			Events []event
		}
	}
	vector(t, "handshake-cases.json", &file)
	for _, c := range file.Cases {
		t.Run(c.Case, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { replayHandshake(t, c.Case, c.Events) })
		})
	}
}

func replayHandshake(t *testing.T, name string, events []event) {
	h := meshtest.NewNode(t, mesh.Config{ID: "alpha"})
	policy := mesh.LinkPolicy{Cost: 1.5, NodeCost: map[wire.NodeID]float64{"special": 4.25}}
	if strings.Contains(name, "allowed peers") {
		policy = mesh.LinkPolicy{Cost: 1, AllowedPeers: []wire.NodeID{"friend"}}
	}
	if strings.HasPrefix(name, "second connection") {
		first := h.Open("twin", policy, false)
		first.Cost = 1.5
		first.Hello()
		h.Advance(150 * time.Millisecond)
		first.SendUpdate("alpha")
		defer func() {
			if !first.Closed().IsZero() {
				t.Error("the old link has to stay")
			}
		}()
	}
	start := time.Now()
	nb := h.Open("test", policy, false)
	var want map[wire.NodeID]float64 // what the last update listed in the recording
	closed := false
	for _, e := range events {
		h.Advance(time.Until(start.Add(e.at())))
		switch {
		case e.Direction == "to original":
			nb.Send(e.Frame)
		case strings.HasPrefix(e.Text, "connection closed"):
			closed = true
		case len(e.Frame) > 0 && wire.Type(e.Frame[0]) == wire.TypeUpdate:
			u, err := wire.ParseUpdate(e.Frame)
			if err != nil {
				t.Fatal(err)
			}
			want = u.Connections
		}
	}
	h.Advance(4 * time.Second) // of ours: merging, and the decision between two links
	got := nb.Take()
	all := updates(t, got)
	if len(all) == 0 {
		t.Fatal("no first message")
	}
	var last uint64
	for _, u := range all {
		if u.NodeID != "alpha" || u.ForwardingNode != "alpha" || u.UpdateSequence <= last {
			t.Errorf("update %v after sequence %d", u, last)
		}
		last = u.UpdateSequence
	}
	listed := slices.ContainsFunc(all, func(u wire.Update) bool { return maps.Equal(u.Connections, want) })
	if !listed {
		t.Errorf("no update lists %v: %v", want, all)
	}
	if closed != !nb.Closed().IsZero() {
		t.Errorf("link closed: %v, want %v", !nb.Closed().IsZero(), closed)
	}
	rejected := bytes.Equal(got[len(got)-1].Frame, wire.Reject(""))
	if peerRejected := strings.Contains(name, "reject message"); closed && rejected == peerRejected {
		t.Errorf("reject frame was last: %v", rejected)
	}
}

// TestRejectArrives: "Reject messages are lost half of the time" (spec 17).
// Ours arrive even if the peer does not close, and the link does not linger.
func TestRejectArrives(t *testing.T) {
	var file struct {
		Frame hexBytes `json:"reject_frame_hex"`
	}
	vector(t, "reject.json", &file)
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		nb := h.OpenPipe("a", mesh.LinkPolicy{AllowedPeers: []wire.NodeID{}}, false, link.PipeOptions{Delay: 200 * time.Millisecond})
		nb.Stay()
		nb.Hello()
		h.Advance(5 * time.Second)
		got := nb.Take()
		if last := got[len(got)-1].Frame; !bytes.Equal(last, file.Frame) {
			t.Errorf("last frame is %q, want a reject", last)
		}
		if nb.Closed().IsZero() {
			t.Error("link was not closed")
		}
	})
}

// TestSilenceVectors compares when first messages, and the end, come with what
// was recorded.
func TestSilenceVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Case   string
			Events []event
		}
	}
	vector(t, "silence.json", &file)
	t.Run(file.Cases[0].Case, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := meshtest.NewNode(t, mesh.Config{ID: "alpha"})
			start := time.Now()
			nb := h.Open("mute", mesh.LinkPolicy{}, false)
			h.Advance(20 * time.Second)
			var want []time.Duration
			for _, e := range file.Cases[0].Events {
				if len(e.Frame) > 0 {
					want = append(want, e.at().Round(time.Second))
				}
			}
			var got []time.Duration
			for _, r := range nb.Take() {
				got = append(got, r.At.Sub(start).Round(time.Second))
			}
			if !slices.Equal(got, want) {
				t.Errorf("first messages at %v, want %v", got, want)
			}
			if end := nb.Closed().Sub(start); end < 10*time.Second || end > 10500*time.Millisecond {
				t.Errorf("link closed after %v, want 10 s", end)
			}
		})
	})
	t.Run(file.Cases[1].Case, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := meshtest.NewNode(t, mesh.Config{ID: "alpha"})
			start := time.Now()
			nb := h.Open("mute", mesh.LinkPolicy{}, false)
			var lastHeard time.Duration
			for _, e := range file.Cases[1].Events {
				if e.Direction == "to original" {
					h.Advance(time.Until(start.Add(e.at())))
					nb.Send(e.Frame)
					lastHeard = e.at()
				}
			}
			h.Advance(30 * time.Second)
			if idle := nb.Closed().Sub(start.Add(lastHeard)); idle < 21*time.Second || idle > 26*time.Second {
				t.Errorf("link closed %v after the last frame, want 21 to 26 s", idle)
			}
			gap, last := time.Duration(0), start
			for _, r := range nb.Take() {
				gap, last = max(gap, r.At.Sub(last)), r.At
			}
			if gap > 10500*time.Millisecond {
				t.Errorf("%v without a frame of ours, want one every 10 s", gap)
			}
		})
	})
}

// TestIdleLimit: "Any received frame counts as life" (spec 5), and the limit
// can be longer.
func TestIdleLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b", IdleTimeout: 40 * time.Second})
		nb := h.Link("a", 1)
		for range 10 {
			h.Advance(35 * time.Second)
			nb.Send([]byte{9}) // of a type that is not known
		}
		if !nb.Closed().IsZero() {
			t.Fatal("closed though frames came")
		}
		start := time.Now()
		h.Advance(50 * time.Second)
		if idle := nb.Closed().Sub(start); idle < 40*time.Second || idle > 42*time.Second {
			t.Errorf("closed after %v, want 40 s", idle)
		}
		if c := h.Status().Connections; len(c) != 0 {
			t.Errorf("connections %v after the end of the link", c)
		}
	})
	if _, err := mesh.New(mesh.Config{ID: "b", IdleTimeout: 20 * time.Second}); err == nil {
		t.Error("an idle limit below 21 s was accepted")
	}
}

// rawLink is the node's end of a link over which anything can come.
type rawLink struct {
	link.Link
	in chan []byte
}

func (r *rawLink) ReadFrame() (*link.Frame, error) {
	b, ok := <-r.in
	if !ok {
		return nil, link.ErrClosed
	}
	f := link.NewFrame(len(b))
	copy(f.Bytes(), b)
	return f, nil
}

// rawPeer dials a rawLink, once.
type rawPeer struct{ *rawLink }

func (r rawPeer) Dial(context.Context) (link.Link, error) { return r.rawLink, nil }
func (r rawPeer) String() string                          { return "raw" }

// malformed is what crashes the original (spec 17 and malformed-frames.json),
// and the like.
var malformed = [][]byte{
	{}, []byte("\x02{}"), []byte("\x02null"), []byte("\x01not json"), []byte("\x02[]"), []byte("\x01[]"),
	[]byte("\x00\x01\x02\x03\x04"), {0}, {1}, {2}, {4}, {255}, make([]byte, 36), bytes.Repeat([]byte{255}, 500),
	[]byte("\x01" + `{"NodeID":"x","ForwardingNode":"a","Connections":{"y":-1e308}}`),
	[]byte("\x01" + `{"NodeID":"","UpdateID":"12345678","ForwardingNode":"a"}`),
	[]byte("\x02" + `{"NodeID":"a","Service":"x","Cancel":true}`),
}

// TestMalformed: the node survives bad frames, before and after the handshake,
// and keeps the link.
func TestMalformed(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("before=%v", early), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := meshtest.NewNode(t, mesh.Config{ID: "b"})
				mine, _ := link.Pipe(link.PipeOptions{})
				raw := &rawLink{mine, make(chan []byte)}
				var done sync.WaitGroup
				done.Go(func() { h.KeepLink(t.Context(), rawPeer{raw}, mesh.LinkPolicy{}, false) })
				a := &meshtest.Neighbour{ID: "a", Epoch: 1 << 40, Cost: 1}
				sendAll := func() {
					for _, f := range malformed {
						raw.in <- f
					}
				}
				if early {
					for _, f := range append(malformed, []byte("\x01{}"), []byte("\x01null")) {
						if !bytes.Contains(f, []byte("ForwardingNode")) {
							raw.in <- f
						}
					}
				}
				raw.in <- a.Update()
				h.Advance(time.Second)
				raw.in <- a.Update("b")
				h.Advance(time.Second)
				if !early {
					sendAll()
				}
				h.Advance(time.Second)
				if c := h.Status().Connections; len(c) != 1 || c[0].Peer != "a" {
					t.Errorf("connections %v, want a", c)
				}
				close(raw.in)
				done.Wait()
			})
		})
	}
}

// TestManyStrangers: peers that do not say who they are hold a bounded number
// of links, and do not keep others out.
func TestManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		var strangers []*meshtest.Neighbour
		for range 600 {
			strangers = append(strangers, h.Open("x", mesh.LinkPolicy{}, false))
		}
		open := 0
		for _, s := range strangers {
			if s.Closed().IsZero() {
				open++
			}
		}
		if open > 256 || open < 250 {
			t.Errorf("%d links of strangers are open, want at most 256", open)
		}
		nb := h.Link("a", 1)
		if c := h.Status().Connections; len(c) != 1 || !nb.Closed().IsZero() {
			t.Errorf("an honest node did not get in: %v", c)
		}
	})
}

// TestEarlyUpdate: when the peer's first message is lost, the first that comes
// is an update of an established link. It is not repeated soon, so it counts.
func TestEarlyUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		nb := h.Open("a", mesh.LinkPolicy{}, false)
		nb.SendUpdate("b", "c")
		c := &meshtest.Neighbour{ID: "c", Epoch: 1 << 40, Cost: 1}
		u, _ := wire.ParseUpdate(c.Update("a"))
		u.ForwardingNode = "a"
		nb.Send(wire.AppendUpdate(nil, u))
		h.Advance(200 * time.Millisecond)
		if via := h.Status().Routes["c"]; via != "a" {
			t.Errorf("routes %v, want c via a", h.Status().Routes)
		}
	})
}
