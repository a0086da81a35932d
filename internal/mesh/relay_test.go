package mesh

import (
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// relay makes a node with the route from "a" to "c" over the link returned,
// whose writer is the test.
func relay(tb testing.TB) (*Node, *peer) {
	n, err := New(Config{ID: "b"})
	if err != nil {
		tb.Fatal(err)
	}
	mine, _ := link.Pipe(link.PipeOptions{})
	p := newPeer(n, mine, LinkPolicy{}, "test", false)
	known := names{}
	for _, id := range []wire.NodeID{"a", "b", "c"} {
		known.add(id)
	}
	routes := &route.Snapshot{Next: map[wire.NodeID]wire.NodeID{"c": "c", "a": "a"}}
	n.view.Store(newView(known, routes, map[wire.NodeID]*peer{"c": p}))
	return n, p
}

// packet is a frame as it comes from a link.
func packet(size int) *link.Frame {
	f := link.NewFrame(size)
	wire.AppendHeader(f.Bytes()[:0], wire.Header{
		Hops: 20, Src: wire.NodeID("a").Hash(), Dst: wire.NodeID("c").Hash(),
		From: wire.Service("from").Name(), To: wire.Service("to").Name(),
	})
	return f
}

// passOne takes one packet through the relay, up to the writer of the link.
func passOne(n *Node, p *peer, batch []*link.Frame) []*link.Frame {
	n.arrive(packet(1488))
	batch, _, _ = p.out.next(batch[:0])
	for _, f := range batch {
		f.Release()
	}
	return batch
}

// BenchmarkRelay is the whole way of a packet through a node, but for reading
// and writing the links.
func BenchmarkRelay(b *testing.B) {
	n, p := relay(b)
	var batch []*link.Frame
	b.ReportAllocs()
	b.SetBytes(1488)
	for b.Loop() {
		batch = passOne(n, p, batch)
	}
}

// TestRelayAllocates: "no allocation ... no re-encoding" (design 3).
func TestRelayAllocates(t *testing.T) {
	n, p := relay(t)
	batch := passOne(n, p, nil)
	if got := testing.AllocsPerRun(1000, func() { batch = passOne(n, p, batch) }); got >= 1 {
		t.Errorf("%v allocations per packet, want 0", got)
	}
	n.arrive(packet(100))
	batch, _, _ = p.out.next(batch[:0])
	if hops := batch[0].Bytes()[offHops]; hops != 19 {
		t.Errorf("hop budget %d after a budget of 20, want 19", hops)
	}
	batch[0].Release()
}

// TestOutbox: the order and the bounds of what waits for a link.
func TestOutbox(t *testing.T) {
	var o outbox
	o.init(1000, &share{total: maxQueued}, &share{total: maxTold})
	frame := func(b byte) *link.Frame { f := link.NewFrame(10); f.Bytes()[0] = b; return f }
	control := func(node wire.NodeID, b byte) { o.sendControl(controlKey{node: node}, []byte{b}) }

	o.send(frame(100))
	control("x", 1)
	control("y", 2)
	control("x", 3) // takes the place of the first
	batch, last, ok := o.next(nil)
	var got []byte
	for _, f := range batch {
		got = append(got, f.Bytes()[0])
		f.Release()
	}
	if string(got) != "\x03\x02\x64" || last || !ok {
		t.Errorf("order %v, %v, %v", got, last, ok)
	}

	for i := range maxQueue + 5 {
		if err := o.send(frame(0)); (err != nil) != (i >= maxQueue) {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if err := o.send(link.NewFrame(1001)); err != link.ErrFrameSize {
		t.Errorf("a frame too long for the link: %v", err)
	}
	closed := make(chan struct{})
	close(closed)
	for i := range maxLocal { // what passes through does not count
		if err := o.sendLocal(frame(0), nil, nil); err != nil {
			t.Fatalf("local frame %d: %v", i, err)
		}
	}
	if err := o.sendLocal(frame(0), closed, nil); err != ErrClosed {
		t.Errorf("a local sender at a full queue whose socket closes: %v", err)
	}
	if err := o.sendControl(controlKey{node: "z"}, make([]byte, 1001)); err != link.ErrFrameSize {
		t.Errorf("a control frame too long for the link: %v", err)
	}

	o.finish([]byte{9})
	batch, last, ok = o.next(nil)
	if len(batch) != 1 || batch[0].Bytes()[0] != 9 || !last || !ok {
		t.Errorf("last batch %v, %v, %v", batch, last, ok)
	}
	if err := o.send(frame(0)); err != ErrNoConnection {
		t.Errorf("send after the last frame: %v", err)
	}
	o.close()
	if _, _, ok := o.next(nil); ok {
		t.Error("next after close")
	}
}
