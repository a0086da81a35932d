package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

func TestHello(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1.5)
	first, err := wire.ParseUpdate(b.Hello(b.now))
	if err != nil {
		t.Fatal(err)
	}
	second, _ := wire.ParseUpdate(b.Hello(b.now))
	if first.NodeID != "self" || first.ForwardingNode != "self" || first.UpdateEpoch != epoch0 ||
		len(first.Connections) != 1 || first.Connections["a"] != 1.5 || first.SuspectedDuplicate != 0 {
		t.Errorf("got %v", first)
	}
	if second.UpdateSequence != first.UpdateSequence+1 || second.UpdateID == first.UpdateID || len(second.UpdateID) != 8 {
		t.Errorf("after %v came %v", first, second)
	}
	if fresh := newBench(t, "x"); !strings.Contains(string(fresh.Hello(start)), `"UpdateSequence":1,"Connections":{},`) {
		t.Error("the first message of all must have sequence 1 and no connections")
	}
}

// TestOwnUpdates: the first change is told at once, more within 100 ms are told
// together, and sequences grow on each link.
func TestOwnUpdates(t *testing.T) {
	b := newBench(t, "self")
	var sent []Send
	hello, _ := wire.ParseUpdate(b.Hello(b.now))
	res := b.up("a", 1)
	if u := one(t, res.Send, "self", "a"); u.Connections["a"] != 1 || u.UpdateSequence != hello.UpdateSequence+1 {
		t.Errorf("first update %v", u)
	}
	sent = append(sent, res.Send...)
	for _, p := range []wire.NodeID{"b", "c"} {
		b.now = b.now.Add(20 * time.Millisecond)
		res := b.up(p, 2)
		if len(res.Send) != 0 {
			t.Errorf("link to %s: sent %v within %v", p, res.Send, MergeDelay)
		}
	}
	if got, want := b.Deadline(), start.Add(MergeDelay); !got.Equal(want) {
		t.Errorf("deadline %v, want %v", got, want)
	}
	merged := b.pass(60 * time.Millisecond)
	for _, p := range []wire.NodeID{"a", "b", "c"} {
		if u := one(t, merged, "self", p); len(u.Connections) != 3 {
			t.Errorf("merged update to %s: %v", p, u)
		}
	}
	sent = append(sent, merged...)
	b.now = b.now.Add(time.Second)
	res = b.LinkDown(b.now, "b")
	if u := one(t, res.Send, "self", "c"); len(u.Connections) != 2 {
		t.Errorf("after the loss of b: %v", u)
	}
	if len(about(t, res.Send, "self", "b")) != 0 {
		t.Error("something is said to the peer of the lost link")
	}
	sent = append(sent, res.Send...)
	sequences := map[wire.NodeID]uint64{}
	for _, s := range sent {
		u, _ := wire.ParseUpdate(s.Frame)
		if u.UpdateSequence <= sequences[s.Peer] {
			t.Errorf("to %s: sequence %d after %d", s.Peer, u.UpdateSequence, sequences[s.Peer])
		}
		sequences[s.Peer] = u.UpdateSequence
		if s.Key != "self" {
			t.Errorf("key %q", s.Key)
		}
	}
}

func TestNoUpdateWithoutLinks(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.now = b.now.Add(10 * time.Millisecond)
	seq := b.seq
	if res := b.LinkDown(b.now, "a"); len(res.Send) != 0 {
		t.Errorf("sent %v", res.Send)
	}
	if sent := b.pass(time.Hour); len(sent) != 0 || b.seq != seq {
		t.Errorf("sent %v, sequence from %d to %d", sent, seq, b.seq)
	}
	if res := b.LinkDown(b.now, "a"); len(res.Send) != 0 || res.Routes {
		t.Errorf("second end: %+v", res)
	}
}

func TestLinkUpReplaces(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.pass(time.Second)
	b.up("a", 2)
	if s := b.settled(); s.Cost["a"] != 2 || b.Stats().Links != 1 {
		t.Errorf("%v, %d links", s.Cost, b.Stats().Links)
	}
	if res := b.LinkUp(b.now, "self", Link{Cost: 1}); !errors.Is(res.Reject, ErrOwnName) || b.Stats().Links != 1 {
		t.Errorf("link to ourselves: %+v", res)
	}
	if res := b.LinkDown(b.now, "self"); len(res.Send) != 0 {
		t.Errorf("%+v", res)
	}
}

// TestKeepAlive: an idle link gets our last update again, byte for byte, before
// 10 s are over; one that gets updates of others does not.
func TestKeepAlive(t *testing.T) {
	b := newBench(t, "self")
	b.up("busy", 1)
	b.up("idle", 1)
	b.pass(time.Minute * 20)
	own := string(b.self.frame)
	last := map[wire.NodeID]time.Time{"busy": b.now, "idle": b.now}
	var seq uint64
	ownToBusy, toIdle := 0, 0
	for range 5 * 60 {
		seq++
		sent := b.apply("idle", b.update("far", "idle", epoch0, seq)).Send
		sent = append(sent, b.pass(time.Second)...)
		for _, s := range sent {
			if gap := b.now.Sub(last[s.Peer]); gap > KeepAlive {
				t.Errorf("%s had no update for %v", s.Peer, gap)
			}
			last[s.Peer] = b.now
			if s.Key != "self" {
				continue
			}
			if string(s.Frame) != own {
				own = string(s.Frame) // a refresh
			} else if s.Peer == "busy" {
				ownToBusy++
			} else {
				toIdle++
			}
		}
	}
	if toIdle < 28 || ownToBusy > 2 {
		t.Errorf("%d keep-alives on the idle link, %d on the busy one", toIdle, ownToBusy)
	}
}

// TestRefresh: an unchanged update is flooded anew ever more rarely.
func TestRefresh(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.pass(time.Minute)
	b.LinkDown(b.now, "a")
	b.up("a", 1)
	var at []time.Duration
	begin, seq := b.now, b.seq
	for b.now.Sub(begin) < time.Hour {
		b.pass(time.Second)
		if b.seq != seq {
			at = append(at, b.now.Sub(begin).Round(time.Second))
			seq = b.seq
		}
	}
	gaps := []time.Duration{refreshFirst, 40 * time.Second, 160 * time.Second, refreshMax, refreshMax, refreshMax}
	if len(at) < 8 || len(at) > 10 {
		t.Fatalf("refreshed at %v", at)
	}
	var before time.Duration
	for i, want := range gaps {
		if gap := at[i] - before; gap < want*9/10-time.Second || gap > want+time.Second {
			t.Errorf("refresh %d came %v after the one before, want about %v", i, gap, want)
		}
		before = at[i]
	}
}

// TestNewLinkGetsWhatIsKnown in the order: our own update, then the stored ones
// in our name; not the peer's own, nor that of a node long out of reach.
func TestNewLinkGetsWhatIsKnown(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.apply("a", b.update("dead", "a", epoch0, 1, "a", 1.0))
	b.pass(2 * recent)
	b.apply("a", b.update("a", "a", epoch0, 1, "self", 1.0, "near", 1.0, "new", 1.0))
	b.apply("a", b.update("near", "a", epoch0, 1, "a", 1.0))
	b.apply("a", b.update("new", "a", epoch0, 1, "a", 1.0))
	b.apply("a", b.update("unlisted", "a", epoch0, 1, "near", 1.0))
	b.now = b.now.Add(MergeDelay)
	res := b.up("new", 1)
	if len(res.Send) == 0 || res.Send[0].Key != "self" {
		t.Fatalf("sent %v", res.Send)
	}
	got := map[wire.NodeID]bool{}
	for _, s := range res.Send {
		u, err := wire.ParseUpdate(s.Frame)
		if err != nil || u.ForwardingNode != "self" || u.NodeID != s.Key {
			t.Errorf("%v, %v", u, err)
		}
		if s.Peer == "new" {
			got[u.NodeID] = true
		}
	}
	if fmt.Sprint(got) != "map[a:true near:true self:true unlisted:true]" {
		t.Errorf("told about %v", got)
	}
}

// TestGrowth: a node that appears behind others makes us flood, soon.
func TestGrowth(t *testing.T) {
	b := newBench(t, "self")
	b.up("a", 1)
	b.pass(20 * time.Minute)
	seq := b.seq
	b.apply("a", b.update("a", "a", epoch0, 1, "self", 1.0, "far", 1.0))
	res := b.apply("a", b.update("far", "a", epoch0, 1, "a", 1.0))
	sent := append(res.Send, b.pass(500*time.Millisecond)...)
	if len(about(t, sent, "self", "a")) == 0 {
		t.Error("our update was not flooded")
	}
	if b.seq > seq+3 {
		t.Errorf("%d updates", b.seq-seq)
	}
	if s := b.Snapshot(); s.Next["far"] != "a" || s.Cost["far"] != 2 {
		t.Errorf("%v", s.Next)
	}
	// Once it is known, nothing it says makes us flood.
	b.pass(time.Minute)
	seq = b.seq
	b.apply("a", b.update("far", "a", epoch0, 2, "a", 1.0, "elsewhere", 1.0))
	b.pass(500 * time.Millisecond)
	if b.seq != seq {
		t.Error("flooded because of a change elsewhere")
	}
	// A node heard of for the first time counts even if nobody lists it yet.
	b.apply("a", b.update("lonely", "a", epoch0, 1))
	if b.pass(500 * time.Millisecond); b.seq != seq+1 {
		t.Errorf("%d floods after a first update", b.seq-seq)
	}
	seq = b.seq
	// So does one that restarts: it has forgotten us.
	if res := b.apply("a", b.update("far", "a", epoch0+1, 1, "a", 1.0)); len(res.Restarted) != 1 || res.Restarted[0] != "far" {
		t.Errorf("%+v", res)
	}
	b.pass(500 * time.Millisecond)
	if b.seq != seq+1 {
		t.Errorf("%d floods after a restart", b.seq-seq)
	}
}

// TestTooManyLinks: an own update never exceeds the frame limit; the links with
// the highest IDs are left out.
func TestTooManyLinks(t *testing.T) {
	b := newBench(t, "hub")
	name := func(i int) wire.NodeID { return wire.NodeID(fmt.Sprintf("%04d%s", i, strings.Repeat("x", 200))) }
	const n = 400
	for i := range n {
		b.up(name(n-1-i), 1)
	}
	b.pass(time.Second)
	frame := b.self.frame
	u, err := wire.ParseUpdate(frame)
	if err != nil {
		t.Fatal(err)
	}
	if room := wire.MaxFrame - len(frame); room < 0 || room > 300 {
		t.Errorf("%d bytes", len(frame))
	}
	kept := len(u.Connections)
	if _, first := u.Connections[name(0)]; !first {
		t.Error("the first link is missing")
	}
	if _, last := u.Connections[name(kept-1)]; !last {
		t.Error("the links kept are not the first ones")
	}
	if got := b.Stats().LeftOut; got != n-kept || got == 0 {
		t.Errorf("%d left out, %d of %d listed", got, kept, n)
	}
	for i := kept - 10; i < n; i++ {
		b.LinkDown(b.now, name(i))
	}
	b.pass(time.Second)
	if got := b.Stats().LeftOut; got != 0 {
		t.Errorf("%d still left out", got)
	}
}

// TestLossyLinks: an update is repeated after 1, 3 and 10 s unless a newer one
// came, and later everything goes round slowly. Lossless links get no repeats.
func TestLossyLinks(t *testing.T) {
	b := newBench(t, "self")
	b.up("src", 1)
	if res := b.LinkUp(b.now, "udp", Link{Cost: 1, Lossy: true}); res.Reject != nil {
		t.Fatal(res.Reject)
	}
	b.up("tcp", 1)
	b.pass(15 * time.Second)
	b.apply("src", b.update("src", "src", epoch0, 1, "self", 1.0, "far", 1.0))
	b.apply("src", b.update("far", "src", epoch0, 1, "src", 1.0))
	begin := b.now
	var times []time.Duration
	other := 0
	for b.now.Sub(begin) < 12*time.Second {
		sent := b.pass(100 * time.Millisecond)
		other += len(about(t, sent, "far", "tcp")) + len(about(t, sent, "far", "src"))
		for range about(t, sent, "far", "udp") {
			times = append(times, b.now.Sub(begin).Round(time.Second))
		}
	}
	// The trickle may add one or two, as there are so few nodes.
	want := map[time.Duration]bool{time.Second: true, 3 * time.Second: true, 10 * time.Second: true}
	for _, at := range times {
		delete(want, at)
	}
	if len(want) > 0 || other > 0 {
		t.Errorf("repeated at %v, %d times on lossless links", times, other)
	}
	// A newer one takes its place.
	b.apply("src", b.update("far", "src", epoch0, 2, "src", 1.0))
	b.now = b.now.Add(500 * time.Millisecond)
	b.apply("src", b.update("far", "src", epoch0, 3, "src", 1.0))
	for _, u := range about(t, b.pass(15*time.Second), "far", "udp") {
		if u.UpdateSequence != 3 {
			t.Errorf("repeated %v", u)
		}
	}
	// Long after, once in a while.
	b.pass(time.Minute)
	if got := len(about(t, b.pass(2*time.Minute), "far", "udp")); got < 1 {
		t.Error("nothing trickles")
	}
	for _, q := range b.byPeer["udp"].again {
		if len(q) > 0 {
			t.Errorf("%d repeats still wait", len(q))
		}
	}
}

// TestRepeatsOfAllLinks: the more links there are, the fewer updates wait on each to be
// repeated, but some in any case.
func TestRepeatsOfAllLinks(t *testing.T) {
	for _, c := range []struct{ links, each int }{
		{1, maxRepeats}, {maxAllRepeats / maxRepeats, maxRepeats}, {64, maxAllRepeats / 64}, {1 << 12, leastRepeats},
	} {
		table := &Table{byPeer: map[wire.NodeID]*peer{}}
		for i := range c.links {
			table.byPeer[wire.NodeID(fmt.Sprint(i))] = &peer{}
		}
		p := table.byPeer["0"]
		for range maxRepeats + 1 {
			table.repeatLater(time.Time{}, p, &node{}, 0)
		}
		if got := len(p.again[0]); got != c.each {
			t.Errorf("%d links: %d wait on each, want %d", c.links, got, c.each)
		}
	}
}
