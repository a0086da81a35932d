package mesh_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// FuzzLink: a neighbour sends whatever it wants, before it has said who it is or after.
// The node lives, an honest neighbour beside it keeps its link, is sent nothing but frames
// that can be read, and gets an answer to a ping.
func FuzzLink(f *testing.F) {
	data := func(from, to wire.NodeID, service string, hops uint8, payload string) string {
		return string(wire.AppendHeader(nil, wire.Header{Hops: hops, Src: from.Hash(), Dst: to.Hash(), From: wire.Service("x").Name(), To: wire.Service(service).Name()})) + payload
	}
	type say = []string
	for _, c := range []struct {
		linked bool
		frames say
	}{
		{false, say{"", "\x00", "\x01", "\x01{}", "\x02{}", "\x03", "\x04x", "\xff"}},
		{false, say{"\x01" + `{"NodeID":"x","ForwardingNode":"x","Connections":{"b":1}}`, "\x01" + `{"NodeID":"y","ForwardingNode":"x"}`}},
		{false, say{"\x01" + `{"NodeID":"b","ForwardingNode":"b"}`}}, {false, say{"\x01" + `{"NodeID":"a","ForwardingNode":"a","Connections":{"b":1}}`}},
		{true, say{data("x", "a", "y", 5, "hello"), data("a", "b", "ping", 5, ""), data("x", "b", "ping", 0, ""), data("b", "x", "ping", 255, ""), data("x", "nobody", "y", 5, ""), data("nobody", "b", "ping", 5, "")}},
		{true, say{data("x", "b", "unreach", 5, `{"FromNode":"b","ToNode":"x","FromService":"ping","ToService":"y","Problem":"service unknown"}`), data("x", "b", "unreach", 5, "{")}},
		{true, say{"\x02" + `{"NodeID":"x","Service":"s","Time":"2026-01-02T03:04:05Z","Tags":{"a":"b"}}`, "\x02" + `{"NodeID":"b","Service":"control"}`, "\x02" + `{"NodeID":"a","Service":"s","Cancel":true}`}},
		{true, say{"\x01" + `{"NodeID":"b","UpdateID":"12345678","UpdateEpoch":18446744073709551615,"ForwardingNode":"x"}`, "\x01" + `{"NodeID":"x","UpdateID":"12345679","UpdateEpoch":7,"ForwardingNode":"x","Connections":{"b":2}}`}},
		{true, say{"\x00", "\x00\x01", "\x01", "\x02", "\x02{}", "\x04x", "\xff"}}, {true, say{"\x03" + `["no"]`}}, {true, say{"\x01" + `{"NodeID":"a","UpdateID":"1","UpdateEpoch":99999999999999999,"UpdateSequence":1,"Connections":{"z":-1},"ForwardingNode":"x"}`, data("x", "a", "y", 5, "hello")}},
	} {
		var all []byte
		for _, s := range c.frames {
			all = append(append(all, byte(len(s)>>8), byte(len(s))), s...)
		}
		f.Add(all, c.linked)
	}
	f.Fuzz(func(t *testing.T, said []byte, linked bool) {
		synctest.Test(t, func(t *testing.T) {
			h := meshtest.NewNode(t, mesh.Config{ID: "b"})
			a := h.Link("a", 1)
			x := h.Open("x", mesh.LinkPolicy{Cost: 1}, false)
			if linked {
				x.Hello()
				h.Advance(150 * time.Millisecond)
				x.SendUpdate("b")
				h.Advance(150 * time.Millisecond)
			}
			ours := false // it may have ended the node by an accusation, as anybody can (spec mesh-protocol 6.1)
			for n := 0; len(said) >= 2 && n < 50; n++ {
				size := min(int(said[0])<<8|int(said[1]), len(said)-2)
				frame := said[2 : 2+size]
				said = said[2+size:]
				if u, err := wire.ParseUpdate(frame); err == nil && (u.NodeID == "b" || u.ForwardingNode == "a" || u.NodeID == "a") {
					ours = true
				}
				if size > 0 {
					x.Send(frame)
				}
				h.Advance(time.Duration(size%7) * 30 * time.Millisecond)
			}
			h.Advance(200 * time.Millisecond)
			for _, r := range a.Take() {
				if err := readable(r.Frame); err != nil {
					t.Errorf("the neighbour is sent %q: %v", r.Frame, err)
				}
			}
			if ours {
				return // that x speaks for a or for b itself is believed
			}
			if !a.Closed().IsZero() {
				t.Fatal("the link of another neighbour was closed")
			}
			ping := wire.Header{Hops: 5, Src: wire.NodeID("a").Hash(), Dst: wire.NodeID("b").Hash(), From: wire.Service("x").Name(), To: wire.Ping.Name()}
			a.Send(wire.AppendHeader(nil, ping))
			if got := a.TakeType(wire.TypeData); len(got) != 1 {
				t.Errorf("%d answers to a ping", len(got))
			}
			for _, c := range h.Status().Connections {
				if c.Peer == "a" {
					return
				}
			}
			t.Error("the link of another neighbour is not there")
		})
	})
}

// readable tells why a frame that the node has sent cannot be read.
func readable(frame []byte) (err error) {
	if len(frame) == 0 {
		return fmt.Errorf("it is empty")
	}
	switch wire.Type(frame[0]) {
	case wire.TypeData:
		_, err = wire.ParseHeader(frame)
	case wire.TypeUpdate:
		_, err = wire.ParseUpdate(frame)
	case wire.TypeAdvert:
		_, err = wire.ParseAdvert(frame)
	case wire.TypeReject:
	default:
		err = fmt.Errorf("its type is not known")
	}
	return err
}
