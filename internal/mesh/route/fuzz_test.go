package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// FuzzTable turns bytes into events. Whatever they are, the table neither
// panics nor misbehaves towards its links, and its routes are those of the
// oracle.
func FuzzTable(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0, 2, 3, 1, 1, 5, 0x12, 3, 2, 2, 5, 0x31, 2, 200, 1, 1})
	f.Add([]byte{0, 1, 3, 1, 1, 1, 0xff, 4, 1, 0, 9, 3, 3, 1, 2, 2, 0x21, 2, 90, 5, 1, 7})
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz 0101010101 33333 4444"))
	f.Fuzz(func(t *testing.T, data []byte) {
		z := &fuzzer{t: t, bench: newBench(t, "self"), o: newOracle("self"), data: data}
		for len(z.data) > 0 && len(data) < 2000 {
			z.step()
		}
		if err := z.o.compare(z.settled()); err != nil {
			t.Fatal(err)
		}
	})
}

type fuzzer struct {
	t *testing.T
	*bench
	o    *oracle
	data []byte
	last []byte // the last frame
}

// next takes a byte of input.
func (z *fuzzer) next() byte {
	if len(z.data) == 0 {
		return 0
	}
	c := z.data[0]
	z.data = z.data[1:]
	return c
}

// node names one of eight nodes, or ourselves.
func (z *fuzzer) node() wire.NodeID {
	if c := z.next() % 9; c < 8 {
		return wire.NodeID('a' + rune(c))
	}
	return "self"
}

func (z *fuzzer) step() {
	p := wire.NodeID('a' + rune(z.next()%8))
	switch z.next() % 6 {
	case 0:
		if z.o.links[p] == 0 {
			cost := float64(1 + z.next()%4)
			z.check(z.LinkUp(z.now, p, Link{Cost: cost, Lossy: z.next()%2 == 0}))
			z.o.linkUp(p, cost)
		}
	case 1:
		z.down(p)
	case 2:
		z.now = z.now.Add(time.Duration(z.next()) * 10 * time.Millisecond)
		z.check(z.Tick(z.now))
		if !z.Deadline().After(z.now) {
			z.t.Fatal("Tick leaves something due")
		}
	case 3:
		z.update(p)
	case 4: // whatever bytes come
		n := min(int(z.next()), len(z.data))
		z.raw(p, z.data[:n])
		z.data = z.data[n:]
	case 5:
		z.raw(p, z.last)
	}
}

func (z *fuzzer) down(p wire.NodeID) {
	z.check(z.LinkDown(z.now, p))
	if z.o.links[p] != 0 {
		z.o.linkDown(p)
	}
}

// update applies a well-formed update by p.
func (z *fuzzer) update(p wire.NodeID) {
	u := wire.Update{NodeID: z.node(), ForwardingNode: p, UpdateID: fmt.Sprintf("%08d", len(z.data)),
		UpdateEpoch: epoch0 + uint64(z.next()%3) - 1, UpdateSequence: uint64(z.next()), Connections: map[wire.NodeID]float64{}}
	for n := z.next() % 5; n > 0; n-- {
		u.Connections[z.node()] = float64(int(z.next())-10) / 4
	}
	delete(u.Connections, u.NodeID)
	if z.next()%16 == 0 {
		u.SuspectedDuplicate = epoch0 + uint64(z.next()%2)
	}
	z.raw(p, wire.AppendUpdate(nil, u))
}

// raw applies a frame and tells the oracle if it was recorded.
func (z *fuzzer) raw(p wire.NodeID, frame []byte) {
	z.last = append([]byte(nil), frame...)
	accepted := z.stats.Accepted
	res, err := z.Apply(z.now, p, frame)
	z.check(res)
	if res.Reject != nil {
		z.down(p)
	}
	if z.stats.Accepted == accepted {
		return
	}
	u, perr := wire.ParseUpdate(z.last)
	if err != nil || perr != nil {
		z.t.Fatal(err, perr)
	}
	if u.SuspectedDuplicate == 0 {
		if !z.o.apply(u) {
			z.t.Fatalf("%v was accepted", u)
		}
	} else if at, ok := z.o.order[u.NodeID]; ok && at[0] == u.SuspectedDuplicate {
		z.o.order[u.NodeID] = [2]uint64{u.UpdateEpoch, u.UpdateSequence}
	}
}

// check looks at what is sent.
func (z *fuzzer) check(res Result) {
	for _, s := range res.Send {
		u, err := wire.ParseUpdate(s.Frame)
		if err != nil || len(s.Frame) > wire.MaxFrame || u.ForwardingNode != "self" {
			z.t.Fatalf("sent %s: %v", s.Frame, err)
		}
		if z.byPeer[s.Peer] == nil {
			z.t.Fatalf("sent to %s, to which there is no link", s.Peer)
		}
		if s.Key != "" && s.Key != u.NodeID {
			z.t.Fatalf("key %q for %v", s.Key, u)
		}
	}
	if res.Fatal != nil && res.Reject != nil {
		z.t.Fatalf("%+v", res)
	}
}
