package route

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

func TestVectorsRoutingUpdates(t *testing.T) {
	v := vectors[struct {
		Rows []struct {
			Case   string
			ToDst  []string `json:"forwarded_to_dst"`
			ToSrc  []string `json:"sent_back_to_src"`
			Sent   string   `json:"sent_by_src"`
			Status string   `json:"status_afterwards"`
		}
	}](t, "routing-update-cases.json")
	b := newBench(t, "alpha")
	b.up("src", 1)
	b.up("dst", 1)
	b.pass(time.Second)
	for _, r := range v.Rows {
		sent := b.apply("src", []byte("\x01"+r.Sent)).Send
		sent = append(sent, b.pass(350*time.Millisecond)...)
		var dst, src []string
		for _, s := range sent {
			u, err := wire.ParseUpdate(s.Frame)
			switch {
			case err != nil:
				t.Fatal(err)
			case u.NodeID == "alpha":
			case s.Peer == "dst":
				dst = append(dst, string(s.Frame[1:]))
			default:
				src = append(src, string(s.Frame[1:]))
			}
		}
		if strings.Join(dst, "\n") != strings.Join(r.ToDst, "\n") || len(src) != len(r.ToSrc) {
			t.Errorf("%s: sent to dst %q, to src %q\nwant %q", r.Case, dst, src, r.ToDst)
		}
		b.want(r.Status)
		if t.Failed() {
			t.Fatal(r.Case)
		}
	}
}

func TestVectorsRoutes(t *testing.T) {
	v := vectors[struct {
		Rows []struct{ Case, Status string }
	}](t, "route-cases.json")
	b := newBench(t, "r")
	b.up("L", 1)
	b.up("M", 1)
	const e = epoch0 + 1
	b.apply("L", b.update("L", "L", e, 1, "r", 1.0))
	b.apply("M", b.update("M", "M", e, 1, "r", 1.0))
	steps := []func(){
		func() { b.apply("L", b.update("X", "L", e, 1, "L", 1.0)) },
		func() { b.apply("L", b.update("L", "L", e, 2, "r", 1.0, "X", 1.0)) },
		func() {
			b.apply("M", b.update("X", "M", e, 2, "L", 1.0, "M", 1.0))
			b.apply("M", b.update("M", "M", e, 2, "r", 1.0, "X", 0.25))
		},
		func() { b.apply("M", b.update("X", "M", e, 3, "M", 0.25)) },
		func() { b.LinkDown(b.now, "L") },
	}
	if len(steps) != len(v.Rows) {
		t.Fatalf("%d rows", len(v.Rows))
	}
	for i, r := range v.Rows {
		steps[i]()
		t.Log(r.Case)
		b.want(r.Status)
	}
}

// TestVectorsHandshake replays the transcripts against a table: the first
// update establishes the link, all others are applied. The link must be
// rejected where the original closed it.
func TestVectorsHandshake(t *testing.T) {
	v := vectors[struct {
		Cases []struct {
			Case   string
			Events []struct {
				Seconds   float64
				Direction string
				Hex       string `json:"frame_hex"`
				Text      string
			}
		}
	}](t, "handshake-cases.json")
	reasons := map[string]error{
		"peer uses the original's own node ID":                                                      ErrOwnName,
		"costs disagree (listener cost 1.5, peer declares 1)":                                       &CostError{1.5, 1},
		"costs agree (listener cost 1.5), then the peer stops listing the original":                 ErrUnlisted,
		"ForwardingNode changes on an established connection":                                       &ForwarderError{"probe2", "other"},
		"peer is in the allowed peers list":                                                         nil,
		"per-node cost on the listener (node 'special' costs 4.25)":                                 nil,
		"empty NodeID with a ForwardingNode":                                                        nil,
		"data, advertisement and unknown message types before the first routing update are ignored": nil,
	}
	for _, c := range v.Cases {
		want, ours := reasons[c.Case]
		if !ours {
			continue // decided before the table is asked
		}
		delete(reasons, c.Case)
		t.Run(c.Case, func(t *testing.T) {
			var peer wire.NodeID
			cost := 1.0
			for _, e := range c.Events { // the cost that the original saw
				frame, _ := hex.DecodeString(e.Hex)
				u, err := wire.ParseUpdate(frame)
				switch {
				case err != nil:
				case e.Direction == "to original" && peer == "":
					peer = u.ForwardingNode
				case e.Direction == "from original" && u.Connections[peer] != 0:
					cost = u.Connections[peer]
				}
			}
			b := newBench(t, "alpha")
			var got error
			up := false
			for _, e := range c.Events {
				frame, _ := hex.DecodeString(e.Hex)
				if _, err := wire.ParseUpdate(frame); err != nil || e.Direction != "to original" {
					continue
				}
				b.now = start.Add(time.Duration(e.Seconds * float64(time.Second)))
				if up {
					got = b.apply(peer, frame).Reject
				} else {
					up = true
					got = b.LinkUp(b.now, peer, Link{Cost: cost}).Reject
				}
			}
			if want == nil && got != nil || want != nil && (got == nil || got.Error() != want.Error()) {
				t.Errorf("rejected because %v, want %v", got, want)
			}
		})
	}
	if len(reasons) > 0 {
		t.Errorf("not in the file: %v", reasons)
	}
}

func TestVectorsDuplicate(t *testing.T) {
	v := vectors[struct {
		First    string   `json:"update_sent_in_the_name_of_twin"`
		Second   string   `json:"second_update_sent"`
		Received []string `json:"updates_of_twin_received"`
	}](t, "duplicate-node.json")
	answer, err := wire.ParseUpdate([]byte("\x01" + v.Received[0]))
	if err != nil {
		t.Fatal(err)
	}
	ids := counterIDs('o')
	tab := New(Config{Self: "twin", Epoch: answer.UpdateEpoch, NewID: func() string {
		ids()
		return answer.UpdateID
	}}, start)
	now := start
	tab.Hello(now)
	tab.LinkUp(now, "hub", Link{Cost: 1})
	now = now.Add(time.Second)
	asHub := func(text string) []byte {
		f, err := wire.ForwardUpdate(nil, []byte("\x01"+text), "hub")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	tab.seq = answer.UpdateSequence - 1
	res, err := tab.Apply(now, "hub", asHub(v.First))
	if err != nil || !res.Duplicate || res.Fatal != nil || len(res.Send) != 1 {
		t.Fatalf("first update: %+v, %v", res, err)
	}
	// The capture is of the copy that hub passed on.
	answer.ForwardingNode = "twin"
	if got, want := string(res.Send[0].Frame), string(wire.AppendUpdate(nil, answer)); got != want {
		t.Errorf("answer:\n got %s\nwant %s", got, want)
	}
	res, err = tab.Apply(now.Add(time.Second), "hub", asHub(v.Second))
	var dup *DuplicateError
	if err != nil || !errors.As(res.Fatal, &dup) || dup.Node != "twin" || dup.Epoch != tab.c.Epoch {
		t.Errorf("second update: %+v, %v", res, err)
	}
}
