package meshtest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Mesh is a set of nodes and the links between them.
type Mesh struct {
	// Config is the base of each node's configuration; set it before the first
	// node is made.
	Config mesh.Config
	tb     testing.TB
	nodes  map[wire.NodeID]*member
	order  []wire.NodeID
}

type member struct {
	node *mesh.Node
	stop context.CancelFunc
	done chan error
}

// New returns an empty mesh. Everything in it ends with the test.
func New(tb testing.TB) *Mesh {
	m := &Mesh{tb: tb, nodes: make(map[wire.NodeID]*member)}
	tb.Cleanup(func() {
		for _, id := range m.order {
			if m.nodes[id] != nil {
				m.nodes[id].stop()
			}
		}
		for _, id := range m.order {
			m.Stop(id)
		}
	})
	return m
}

// Node returns the node called id, which it makes and runs at the first call,
// and again after Stop.
func (m *Mesh) Node(id wire.NodeID) *mesh.Node {
	m.tb.Helper()
	if n := m.nodes[id]; n != nil {
		return n.node
	}
	c := m.Config
	c.ID = id
	c = prepared(m.tb, c)
	n, err := mesh.New(c)
	if err != nil {
		m.tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	mem := &member{node: n, stop: stop, done: make(chan error, 1)}
	go func() { mem.done <- n.Run(ctx) }()
	m.nodes[id] = mem
	m.order = append(m.order, id)
	return n
}

// prepared completes a configuration: with what a node in a synctest bubble
// needs (see mesh.Config), and a log if the test is verbose.
func prepared(tb testing.TB, c mesh.Config) mesh.Config {
	if c.PacketSize == 0 {
		c.PacketSize = 1280
	}
	if c.Logger == nil && testing.Verbose() {
		h := slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})
		c.Logger = slog.New(h).With("self", c.ID)
	}
	return c
}

// Stop ends a node and waits for it.
func (m *Mesh) Stop(id wire.NodeID) {
	mem := m.nodes[id]
	if mem == nil {
		return
	}
	mem.stop()
	if err := <-mem.done; err != nil {
		m.tb.Errorf("node %s: %v", id, err)
	}
	delete(m.nodes, id)
}

// Edge is a link between two nodes, kept up by redialling.
type Edge struct {
	*link.Cable // Cut and Heal
	stop        context.CancelFunc
	done        sync.WaitGroup
}

// Stop takes the link away for good, as if the cable was pulled out: the other
// end of the session is told nothing.
func (e *Edge) Stop() {
	e.Cut()
	e.stop()
	e.done.Wait()
}

// Join links two nodes: b dials a.
func (m *Mesh) Join(a, b wire.NodeID, o link.PipeOptions) *Edge {
	return m.JoinCost(a, b, o, mesh.LinkPolicy{})
}

// JoinCost is Join with a policy for both ends.
func (m *Mesh) JoinCost(a, b wire.NodeID, o link.PipeOptions, p mesh.LinkPolicy) *Edge {
	if o.Cable == nil {
		o.Cable = new(link.Cable)
	}
	o.Name = fmt.Sprintf("%s-%s", a, b)
	ln, dialer := link.ListenPipe(o)
	ctx, stop := context.WithCancel(context.Background())
	e := &Edge{Cable: o.Cable, stop: stop}
	na, nb := m.Node(a), m.Node(b)
	e.done.Go(func() { na.ServeLinks(ctx, ln, p) })
	e.done.Go(func() { nb.KeepLink(ctx, dialer, p, true) })
	m.tb.Cleanup(func() { stop(); e.done.Wait() })
	return e
}

// Line joins nodes to a chain.
func (m *Mesh) Line(o link.PipeOptions, ids ...wire.NodeID) []*Edge {
	var edges []*Edge
	for i := 1; i < len(ids); i++ {
		edges = append(edges, m.Join(ids[i-1], ids[i], o))
	}
	return edges
}

// Ring joins nodes to a circle.
func (m *Mesh) Ring(o link.PipeOptions, ids ...wire.NodeID) []*Edge {
	return append(m.Line(o, ids...), m.Join(ids[len(ids)-1], ids[0], o))
}

// Random makes n nodes called n0, n1, ... and joins them to a random tree with
// some more links on top.
func (m *Mesh) Random(o link.PipeOptions, n, more int, seed uint64) []wire.NodeID {
	r := rand.New(rand.NewPCG(seed, 0))
	ids := make([]wire.NodeID, n)
	for i := range ids {
		ids[i] = wire.NodeID(fmt.Sprintf("n%d", i))
		if i > 0 {
			m.Join(ids[r.IntN(i)], ids[i], o)
		}
	}
	for range more {
		if a, b := r.IntN(n), r.IntN(n); a != b {
			m.Join(ids[min(a, b)], ids[max(a, b)], o)
		}
	}
	return ids
}

// Converged waits until each of the nodes has a route to each other one, and
// fails the test after limit. It returns how long that took.
func (m *Mesh) Converged(limit time.Duration, ids ...wire.NodeID) time.Duration {
	m.tb.Helper()
	if len(ids) == 0 {
		for id := range m.nodes {
			ids = append(ids, id)
		}
	}
	start := time.Now()
	for {
		from, to, ok := m.missing(ids)
		if ok {
			return time.Since(start)
		}
		if time.Since(start) >= limit {
			m.tb.Fatalf("no route from %s to %s after %v", from, to, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (m *Mesh) missing(ids []wire.NodeID) (from, to wire.NodeID, ok bool) {
	for _, a := range ids {
		routes := m.Node(a).Status().Routes
		for _, b := range ids {
			if routes[b] == "" && a != b {
				return a, b, false
			}
		}
	}
	return "", "", true
}
