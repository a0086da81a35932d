package route

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// start is when all tests begin.
var start = time.Date(2026, 11, 23, 3, 40, 0, 0, time.UTC)

// epoch0 is an epoch that needs more than 53 bits.
const epoch0 = 30121901109578301

// counterIDs makes update IDs of 8 characters that differ between nodes.
func counterIDs(prefix byte) func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprintf("%c%07d", prefix, n)
	}
}

// bench is a table whose neighbours are the test.
type bench struct {
	t   *testing.T
	now time.Time
	*Table
	ids   func() string
	names []wire.NodeID // all that were in Result.Names
}

func newBench(t *testing.T, self wire.NodeID) *bench {
	return &bench{t: t, now: start, ids: counterIDs('t'), Table: New(Config{
		Self: self, Epoch: epoch0, NewID: counterIDs('o'), Rand: rand.New(rand.NewPCG(1, 2)),
	}, start)}
}

// update makes a frame that by sends about node. Sequence numbers are given by
// the caller, IDs are fresh.
func (b *bench) update(node, by wire.NodeID, epoch, seq uint64, links ...any) []byte {
	u := wire.Update{NodeID: node, ForwardingNode: by, UpdateID: b.ids(), UpdateEpoch: epoch, UpdateSequence: seq,
		Connections: map[wire.NodeID]float64{}}
	for i := 0; i < len(links); i += 2 {
		u.Connections[wire.NodeID(links[i].(string))] = links[i+1].(float64)
	}
	return wire.AppendUpdate(nil, u)
}

func (b *bench) up(peer wire.NodeID, cost float64) Result {
	b.t.Helper()
	res := b.LinkUp(b.now, peer, Link{Cost: cost})
	if res.Reject != nil {
		b.t.Fatalf("link to %s: %v", peer, res.Reject)
	}
	b.names = append(b.names, res.Names...)
	return res
}

// apply is Apply of a good frame.
func (b *bench) apply(peer wire.NodeID, frame []byte) Result {
	b.t.Helper()
	res, err := b.Apply(b.now, peer, frame)
	if err != nil {
		b.t.Fatalf("%s: %v", frame, err)
	}
	b.names = append(b.names, res.Names...)
	return res
}

// pass lets time pass and ticks whenever the table asks for it.
func (b *bench) pass(d time.Duration) (sent []Send) {
	b.t.Helper()
	end := b.now.Add(d)
	for {
		next := b.Deadline()
		if next.After(end) {
			break
		}
		if next.After(b.now) {
			b.now = next
		}
		res := b.Tick(b.now)
		b.names = append(b.names, res.Names...)
		sent = append(sent, res.Send...)
		if !b.Deadline().After(b.now) {
			b.t.Fatalf("Tick at %v leaves something due at %v", b.now, b.Deadline())
		}
	}
	b.now = end
	return sent
}

// settled is the snapshot after pending computations.
func (b *bench) settled() *Snapshot {
	b.t.Helper()
	b.pass(MergeDelay)
	return b.Snapshot()
}

// about picks the updates that are about one node and go to one peer.
func about(t *testing.T, sent []Send, origin, peer wire.NodeID) (updates []wire.Update) {
	t.Helper()
	for _, s := range sent {
		u, err := wire.ParseUpdate(s.Frame)
		if err != nil {
			t.Fatal(err)
		}
		if u.NodeID == origin && s.Peer == peer {
			updates = append(updates, u)
		}
	}
	return updates
}

// one is the only update that about finds.
func one(t *testing.T, sent []Send, origin, peer wire.NodeID) wire.Update {
	t.Helper()
	u := about(t, sent, origin, peer)
	if len(u) != 1 {
		t.Fatalf("%d updates about %s to %s, want 1: %v", len(u), origin, peer, u)
	}
	return u[0]
}

// vectors decodes a file of the specification's golden data.
func vectors[T any](t *testing.T, name string) T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// status is the part of the original's status that is about routes.
type status struct {
	KnownConnectionCosts map[wire.NodeID]map[wire.NodeID]float64
	RoutingTable         map[wire.NodeID]wire.NodeID
}

// want compares the routing state with a status of the original.
func (b *bench) want(text string) {
	b.t.Helper()
	var want status
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		b.t.Fatal(err)
	}
	s := b.settled()
	got, _ := json.Marshal(status{s.Known, s.Next})
	exp, _ := json.Marshal(want)
	if string(got) != string(exp) {
		b.t.Errorf("\n got %s\nwant %s", got, exp)
	}
}
