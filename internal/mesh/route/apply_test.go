package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

func TestApplyRefuses(t *testing.T) {
	b := newBench(t, "self")
	if _, err := b.Apply(b.now, "a", b.update("a", "a", 1, 1)); !errors.Is(err, ErrNoLink) {
		t.Errorf("no link: %v", err)
	}
	b.up("a", 1)
	var e *wire.Error
	for _, frame := range []string{"", "\x01", "\x01[]", "\x02{}", "\x01{"} {
		if res, err := b.Apply(b.now, "a", []byte(frame)); !errors.As(err, &e) || res.Reject != nil {
			t.Errorf("%q: %+v, %v", frame, res, err)
		}
	}
	if got := b.Stats().Malformed; got != 5 {
		t.Errorf("%d counted", got)
	}
	if res, err := b.Apply(b.now, "a", []byte("\x01{}")); err != nil || res.Reject == nil {
		t.Errorf("an update by nobody: %+v, %v", res, err)
	}
}

// TestLateFirstMessage: the checks of an established link, and the leniency for
// updates that come late.
func TestLateFirstMessage(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	hello := b.update("a", "a", epoch0, 1)
	if res := b.apply("a", hello); res.Reject != nil || b.Stats().Ignored != 1 {
		t.Fatalf("first message: %+v", res)
	}
	b.apply("a", b.update("a", "a", epoch0, 5, "self", 1.0))
	for _, late := range [][2]uint64{{epoch0, 4}, {epoch0, 1}, {epoch0 - 1, 9}} {
		if res := b.apply("a", b.update("a", "a", late[0], late[1], "other", 1.0)); res.Reject != nil {
			t.Errorf("late update %v: %v", late, res.Reject)
		}
	}
	if s := b.settled(); len(s.Known["a"]) != 1 {
		t.Errorf("a late update was entered: %v", s.Known)
	}
	for _, now := range [][2]uint64{{epoch0, 5}, {epoch0, 6}, {epoch0 + 1, 1}} {
		if res := b.apply("a", b.update("a", "a", now[0], now[1], "other", 1.0)); !errors.Is(res.Reject, ErrUnlisted) {
			t.Errorf("update %v: %v", now, res.Reject)
		}
	}
}

// TestChecksBeforeDuplicates: what a peer says about itself is checked against
// the link even if the same update came another way before.
func TestChecksBeforeDuplicates(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	frame := b.update("a", "a", epoch0, 1, "self", 2.0)
	by, _ := wire.ForwardUpdate(nil, frame, "c")
	b.apply("c", by)
	var e *CostError
	if res := b.apply("a", frame); !errors.As(res.Reject, &e) || e.Ours != 1 || e.Theirs != 2 {
		t.Errorf("got %v", res.Reject)
	}
}

// TestKnownUpdatesAreNotDecoded: repeats are recognised from the raw bytes.
func TestKnownUpdatesAreNotDecoded(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	own := b.update("a", "a", epoch0, 1, "self", 1.0)
	far := b.update("far", "a", epoch0, 1)
	b.apply("a", own)
	b.apply("a", far)
	for _, frame := range [][]byte{own, far} {
		if n := testing.AllocsPerRun(50, func() {
			if res, err := b.Apply(b.now, "a", frame); err != nil || len(res.Send) > 0 {
				panic("accepted again")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", frame, n)
		}
	}
	// The same in a form that must be decoded to be recognised.
	odd := append([]byte("\x01 "), far[1:]...)
	if res := b.apply("a", odd); len(res.Send) != 0 {
		t.Errorf("%+v", res)
	}
	if s := b.Stats(); s.Duplicates != 2*51+1 || s.Accepted != 2 {
		t.Errorf("%+v", s)
	}
}

// TestFrameIsNotKept: callers reuse their buffers.
func TestFrameIsNotKept(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	for _, frame := range [][]byte{b.update("a", "a", epoch0, 1, "self", 1.0, "far", 1.0), b.update("far", "a", epoch0, 1, "a", 1.0)} {
		res := b.apply("a", frame)
		for i := range frame {
			frame[i] = 'X'
		}
		for _, s := range res.Send {
			if strings.Contains(string(s.Frame), "XX") {
				t.Errorf("%s", s.Frame)
			}
		}
	}
	b.want(`{"KnownConnectionCosts":{"a":{"far":1,"self":1},"c":{"self":1},"far":{"a":1},"self":{"a":1,"c":1}},"RoutingTable":{"a":"a","c":"c","far":"a"}}`)
}

// TestTwin: rules 2.1 to 2.4 of spec mesh-protocol 6.1.
func TestTwin(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	b.pass(time.Second)
	for _, frame := range [][]byte{
		b.update("self", "a", epoch0, 99, "a", 1.0),   // our own came back
		b.update("self", "a", epoch0-1, 99, "a", 1.0), // older: it will be told by others
	} {
		if res := b.apply("a", frame); res.Duplicate || res.Fatal != nil || len(res.Send) != 0 {
			t.Errorf("%s: %+v", frame, res)
		}
	}
	seq := b.seq
	res := b.apply("a", b.update("self", "a", epoch0+7, 1, "x", 1.0))
	if !res.Duplicate || res.Fatal != nil || len(res.Send) != 2 {
		t.Fatalf("younger twin: %+v", res)
	}
	for _, peer := range []wire.NodeID{"a", "c"} {
		u := one(t, res.Send, "self", peer)
		if u.SuspectedDuplicate != epoch0+7 || u.UpdateEpoch != epoch0 || u.UpdateSequence != seq+1 || len(u.Connections) != 2 {
			t.Errorf("to %s: %v", peer, u)
		}
	}
	if res.Send[0].Key != "" {
		t.Errorf("an accusation may be replaced: key %q", res.Send[0].Key)
	}
	// It does not make us an amplifier.
	res = b.apply("a", b.update("self", "a", epoch0+7, 2, "x", 1.0))
	if !res.Duplicate || len(res.Send) != 0 {
		t.Errorf("at once again: %+v", res)
	}
	// What we really have follows.
	u := one(t, b.pass(MergeDelay), "self", "a")
	if u.SuspectedDuplicate != 0 || u.UpdateSequence != seq+2 {
		t.Errorf("afterwards: %v", u)
	}
	if s := b.settled(); len(s.Known["self"]) != 2 {
		t.Errorf("known %v", s.Known)
	}
	told := wire.Update{NodeID: "self", ForwardingNode: "a", UpdateID: "accusing", UpdateEpoch: epoch0 - 5, SuspectedDuplicate: epoch0}
	res = b.apply("a", wire.AppendUpdate(nil, told))
	var dup *DuplicateError
	if !errors.As(res.Fatal, &dup) || dup.Epoch != epoch0 || !strings.Contains(dup.Error(), "self") {
		t.Errorf("accused: %+v", res)
	}
}

// TestSuspected: after an accusation the stored update is the duplicate's and
// must not be given to new links.
func TestSuspected(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.apply("a", b.update("far", "a", epoch0+9, 3, "a", 1.0))
	u := wire.Update{NodeID: "far", ForwardingNode: "a", UpdateID: "accusing", UpdateEpoch: epoch0, UpdateSequence: 4, SuspectedDuplicate: epoch0 + 9}
	b.apply("a", wire.AppendUpdate(nil, u))
	if got := about(t, b.up("c", 1).Send, "far", "c"); len(got) != 0 {
		t.Errorf("given to a new link: %v", got)
	}
	b.apply("a", b.update("far", "a", epoch0, 5, "a", 1.0))
	if got := about(t, b.up("d", 1).Send, "far", "d"); len(got) != 1 || got[0].UpdateEpoch != epoch0 {
		t.Errorf("given to a new link: %v", got)
	}
	if b.Stats().Stored != len(b.nodes["far"].frame) {
		t.Errorf("%d bytes accounted", b.Stats().Stored)
	}
}

// TestForgetting: nodes without news for an hour go, and only then is a node
// believed again whose clock went backwards.
func TestForgetting(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	b.apply("a", b.update("a", "a", epoch0, 1, "self", 1.0, "far", 1.0))
	b.apply("a", b.update("far", "a", epoch0, 1, "a", 1.0))
	b.pass(30 * time.Minute)
	b.apply("a", b.update("a", "a", epoch0, 2, "self", 1.0, "far", 1.0))
	b.apply("a", b.update("far", "a", epoch0-100, 1, "a", 1.0, "c", 1.0))
	b.pass(29 * time.Minute)
	if s := b.Snapshot(); s.Next["far"] != "a" || len(s.Known["far"]) != 1 {
		t.Fatalf("before the hour is over: %v", s)
	}
	var forgotten []wire.NodeID
	for range 180 {
		b.now = b.now.Add(time.Second)
		forgotten = append(forgotten, b.Tick(b.now).Forgotten...)
	}
	if len(forgotten) != 1 || forgotten[0] != "far" {
		t.Errorf("forgotten: %v", forgotten)
	}
	s := b.settled()
	if _, known := s.Known["far"]; known || s.Next["far"] != "" || s.Next["a"] != "a" || s.Hops[wire.NodeID("far").Hash()] != "" {
		t.Errorf("afterwards: %v", s)
	}
	b.names = nil
	if res := b.apply("a", b.update("far", "a", epoch0-100, 2, "a", 3.0)); len(res.Restarted) != 0 {
		t.Errorf("%+v", res)
	}
	if s := b.settled(); s.Next["far"] != "a" || s.Known["far"]["a"] != 3 || len(b.names) != 1 {
		t.Errorf("back: %v, new names %v", s.Known, b.names)
	}
	// A neighbour that says nothing stays a vertex, and may start afresh.
	b.pass(2 * time.Hour)
	if s := b.Snapshot(); s.Next["a"] != "a" || s.Known["a"]["self"] != 1 || len(s.Known["a"]) != 1 {
		t.Errorf("silent neighbour: %v", s.Known)
	}
	if st := b.Stats(); st.Nodes != 0 || st.Stored != 0 || st.Forgotten != 3 {
		t.Errorf("%+v", st)
	}
}

func TestNeighbourThatNeverSpoke(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.want(`{"KnownConnectionCosts":{"a":{"self":1},"self":{"a":1}},"RoutingTable":{"a":"a"}}`)
	if res := b.LinkDown(b.now, "a"); len(res.Forgotten) != 1 {
		t.Errorf("%+v", res)
	}
	b.want(`{"KnownConnectionCosts":{"self":{}},"RoutingTable":{}}`)
	b.up("a", 1)
	b.want(`{"KnownConnectionCosts":{"a":{"self":1},"self":{"a":1}},"RoutingTable":{"a":"a"}}`)
	if fmt.Sprint(b.names) != "[a a]" {
		t.Errorf("names %v", b.names)
	}
}

func TestLimits(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.up("c", 1)
	b.apply("a", b.update("known", "a", epoch0, 1))
	heard, bytes := b.heard, b.bytes

	b.heard = MaxNodes
	if res := b.apply("a", b.update("new", "a", epoch0, 1)); len(res.Send) != 0 || len(res.Names) != 0 {
		t.Errorf("newcomer over the limit: %+v", res)
	}
	if res := b.apply("a", b.update("known", "a", epoch0, 2)); len(res.Send) != 1 {
		t.Errorf("known node: %+v", res)
	}
	if res := b.apply("a", b.update("a", "a", epoch0, 1, "self", 1.0)); len(res.Send) == 0 {
		t.Errorf("neighbour: %+v", res)
	}
	b.heard = heard

	b.bytes = MaxStored - 10
	if res := b.apply("a", b.update("big", "a", epoch0, 1)); len(res.Send) != 0 {
		t.Errorf("too much to store: %+v", res)
	}
	b.bytes = bytes
	if got := b.Stats().OverLimit; got != 2 {
		t.Errorf("%d counted", got)
	}
}

// TestOversizeIsNotForwarded: with our longer name in it the frame would exceed
// the limit.
func TestOversizeIsNotForwarded(t *testing.T) {
	b := newBench(t, wire.NodeID(strings.Repeat("s", 200)))
	b.up("a", 1)
	b.up("c", 1)
	u := wire.Update{NodeID: "far", ForwardingNode: "a", UpdateID: "x", UpdateEpoch: 1, Connections: map[wire.NodeID]float64{}}
	for i := 0; len(wire.AppendUpdate(nil, u)) < wire.MaxFrame-100; i++ {
		u.Connections[wire.NodeID(fmt.Sprintf("%050d", i))] = 1
	}
	res := b.apply("a", wire.AppendUpdate(nil, u))
	if len(about(t, res.Send, "far", "c")) != 0 || b.Stats().Oversize != 1 {
		t.Errorf("%d frames, %+v", len(res.Send), b.Stats())
	}
	if s := b.settled(); len(s.Known["far"]) != len(u.Connections) {
		t.Error("it is not used either")
	}
	if got := about(t, b.up("d", 1).Send, "far", "d"); len(got) != 0 {
		t.Errorf("given to a new link: %v", got)
	}
}

func TestSeen(t *testing.T) {
	var s seen
	now := start
	s.add(now, 1)
	for range 59 {
		now = now.Add(time.Minute)
		s.add(now, 2)
	}
	if !s.has(1) || !s.has(2) || s.has(3) {
		t.Error("within the hour")
	}
	s.add(now.Add(time.Minute), 4)
	if !s.has(1) || !s.has(4) {
		t.Error("an hour")
	}
	s.add(now.Add(2*time.Hour), 5)
	if s.has(1) || !s.has(4) {
		t.Error("two hours")
	}
	for k := range uint64(3 * maxSeen) {
		s.add(now, 100+k)
		if s.len() > 2*maxSeen {
			t.Fatalf("%d entries", s.len())
		}
	}
	if seenKey([]byte("12345678")) == seenKey([]byte("12345679")) || seenKey([]byte("123456789")) == seenKey([]byte("12345678")) ||
		seenKey(nil) != seenKey([]byte{}) {
		t.Error("keys")
	}
}
