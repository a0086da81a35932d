package mesh

import (
	"errors"
	"fmt"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestSharedMemory: queues of links whose neighbours take nothing hold no more together
// than their share, however many they are; a single one may hold much. Once each
// could hold 8 MiB of data, and an entry for every node of the mesh.
func TestSharedMemory(t *testing.T) {
	for _, links := range []int{1, 500} {
		queued, told := &share{total: maxQueued}, &share{total: maxTold}
		boxes := make([]outbox, links)
		held, late := 0, 0
		for i := range boxes {
			o := &boxes[i]
			o.init(link.MaxStreamFrame, queued, told)
			for o.send(link.NewFrame(60_000)) == nil {
			}
			for n := range 20_000 {
				switch err := o.sendControl(controlKey{node: wire.NodeID(fmt.Sprint(n))}, []byte("x")); {
				case errors.Is(err, errQueueFull):
					late++
				case err != nil:
					t.Fatal(err)
				}
			}
			held += o.data.bytes + len(o.control)*controlCost
		}
		// Beyond the share each link has its floor and one frame more.
		most := maxQueued + maxTold + links*(shareFloor+shareChunk+leastControl*controlCost)
		if held > most {
			t.Errorf("%d links hold %d bytes, want %d at most", links, held, most)
		}
		if links == 1 && (boxes[0].data.bytes < maxQueueBytes || late > 0) {
			t.Errorf("a single link holds %d bytes of data, and %d updates are late", boxes[0].data.bytes, late)
		}
		for i := range boxes {
			boxes[i].close()
		}
		if queued.used.Load() != 0 || told.used.Load() != 0 {
			t.Errorf("%d and %d bytes are counted when all have closed", queued.used.Load(), told.used.Load())
		}
	}
}

// TestMaxLinks: beyond the bound links of others are refused and counted, and our own
// are not.
func TestMaxLinks(t *testing.T) {
	n, err := New(Config{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(n, n.start)
	open := func(dialed bool) *peer {
		near, far := link.Pipe(link.PipeOptions{})
		t.Cleanup(func() { near.Close(); far.Close() })
		p := newPeer(n, near, LinkPolicy{Cost: 1}, "x", dialed)
		l.open(p)
		return p
	}
	for range maxLinks {
		delete(l.young, open(false)) // as if established
	}
	if p := open(false); p.cause == nil || n.counters.crowded.Load() != 1 {
		t.Errorf("a link beyond the bound: %v, %d counted", p.cause, n.counters.crowded.Load())
	}
	if p := open(true); p.cause != nil {
		t.Errorf("our own link beyond the bound: %v", p.cause)
	}
}

// TestMaxPending: of links that have not said who they are the oldest give way, each to
// one, also if all open before one of them has ended. Our own stay.
func TestMaxPending(t *testing.T) {
	n, err := New(Config{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(n, n.start)
	open := func(dialed bool) *peer {
		near, far := link.Pipe(link.PipeOptions{})
		t.Cleanup(func() { near.Close(); far.Close() })
		p := newPeer(n, near, LinkPolicy{Cost: 1}, "x", dialed)
		l.now = l.now.Add(1)
		l.open(p)
		return p
	}
	own := open(true)
	var others []*peer
	const more = 20
	for range maxPending - 1 + more {
		others = append(others, open(false))
	}
	for i, p := range others {
		if closed := p.cause != nil; closed != (i < more) {
			t.Errorf("link %d: closed %v", i, closed)
		}
	}
	if own.cause != nil || len(l.young) != maxPending || n.counters.crowded.Load() != more {
		t.Errorf("our own link: %v; %d are pending, %d were counted", own.cause, len(l.young), n.counters.crowded.Load())
	}
	for _, p := range others {
		delete(l.young, p)
	}
	for range maxPending {
		open(true)
	}
	if p := open(false); p.cause == nil {
		t.Error("a link was let in while the maximum of our own is pending")
	}
}
