//go:build linux

package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/proc"
	"github.com/receptor-go/receptor/test/bench/internal/relay"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// shape is a way to join n nodes.
type shape struct {
	name  string
	edges func(n int) []node.Edge
}

var shapes = []shape{
	{"line", node.Line},
	{"ring", node.Ring},
	{"star", node.Star},
	{"random", func(n int) []node.Edge { return node.Random(n, 3) }},
}

// guess is the memory set aside per node when deciding whether a mesh fits.
const guess = 64 << 20

// converge measures a mesh of real processes.
func converge(s shape, size int) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		if need := int64(size) * guess; proc.Available() < need {
			return fmt.Errorf("skipped: %d MiB of memory needed", need>>20)
		}
		edges := s.edges(size)
		nodes, counter, err := e.build(size, edges)
		if err != nil {
			return err
		}
		// Cold start: everything at once, as after a power cut.
		for _, n := range nodes {
			if err := n.Start(); err != nil {
				return err
			}
		}
		last := nodes[size-1].Began()
		whole, err := converged(ctx, nodes)
		if err != nil {
			return err
		}
		e.Metric("cold start", "s", Lower, whole.Sub(last).Seconds())
		e.Metric("cold start CPU", "s/node", Lower, e.DaemonCPU().Seconds()/float64(size))

		if err := sleep(ctx, 5*time.Second); err != nil {
			return err
		}
		window := Pick(e, 30*time.Second, 15*time.Second)
		cpu, bytes := e.DaemonCPU(), counter.Bytes()
		if err := sleep(ctx, window); err != nil {
			return err
		}
		perMinute := time.Minute.Seconds() / window.Seconds()
		e.Metric("idle CPU", "ms/node/min", Lower, stat.Millis(e.DaemonCPU()-cpu)*perMinute/float64(size))
		e.Metric("idle link", "B/s", Lower, float64(counter.Bytes()-bytes)/window.Seconds())
		var memory []float64
		for _, n := range nodes {
			memory = append(memory, mib(n.Memory().RSS))
		}
		e.Metric("RSS per node", "MiB", Lower, stat.Median(memory))

		// One more node joins the first one.
		cpu = e.DaemonCPU()
		extra := e.Node(node.Spec{
			ID: "extra", TCPListen: node.FreePort(),
			TCPPeers: []string{node.Loopback(nodes[0].TCPListen)},
		})
		if err := e.Up(ctx, extra); err != nil {
			return err
		}
		up := time.Now()
		whole, err = converged(ctx, append(slices.Clone(nodes), extra))
		if err != nil {
			return err
		}
		e.Metric("join", "ms", Lower, stat.Millis(whole.Sub(up)))
		e.Metric("join CPU", "ms/node", Lower, stat.Millis(e.DaemonCPU()-cpu)/float64(size))

		v, err := e.victim(ctx, nodes, edges)
		if err != nil {
			return err
		}
		nodes[v.relay].Kill()
		killed := time.Now()
		if !v.detour {
			if err := e.Up(ctx, nodes[v.relay]); err != nil {
				return err
			}
		}
		back, err := reachable(ctx, nodes[v.from].Socket, nodes[v.to].ID)
		if err != nil {
			return err
		}
		name := "relay killed and restarted to ping"
		if v.detour {
			name = "relay killed to ping by detour"
		}
		e.Metric(name, "ms", Lower, stat.Millis(back.Sub(killed)))
		return nil
	}
}

// build prepares the nodes of a mesh; the first edge runs through a relay
// that counts bytes.
func (e *Env) build(size int, edges []node.Edge) ([]*node.Node, *relay.TCP, error) {
	specs := make([]node.Spec, size)
	for i := range specs {
		specs[i] = node.Spec{ID: fmt.Sprintf("n%d", i), TCPListen: node.FreePort()}
	}
	var counter *relay.TCP
	for i, edge := range edges {
		address := node.Loopback(specs[edge.Low].TCPListen)
		if i == 0 {
			var err error
			if counter, err = relay.NewTCP(node.Loopback(node.FreePort()), address); err != nil {
				return nil, nil, err
			}
			e.OnClose(counter.Close)
			address = counter.Addr
		}
		specs[edge.High].TCPPeers = append(specs[edge.High].TCPPeers, address)
	}
	var nodes []*node.Node
	for _, s := range specs {
		nodes = append(nodes, e.Node(s))
	}
	return nodes, counter, nil
}

// loss is the choice of a relay to kill and of two nodes that talk over it.
type loss struct {
	from, to, relay int
	detour          bool // another path remains
}

// maxHops is how far a message travels at most in a receptor mesh.
const maxHops = 30

// victim finds two nodes and a relay on the path their traffic takes now; if
// possible such that a usable path remains when the relay is gone.
func (e *Env) victim(ctx context.Context, nodes []*node.Node, edges []node.Edge) (loss, error) {
	index := make(map[string]int)
	tables := make([]map[string]string, len(nodes))
	for i, n := range nodes {
		index[n.ID] = i
		c, err := ctl.Dial(ctx, n.Socket)
		if err != nil {
			return loss{}, err
		}
		tables[i], err = c.Routes()
		c.Close()
		if err != nil {
			return loss{}, err
		}
	}
	var plain *loss
	for to := min(len(nodes)-1, maxHops/2); to > 1; to-- {
		const from = 1
		path := []int{from}
		for at := from; at != to && len(path) <= maxHops/2; {
			next, ok := index[tables[at][nodes[to].ID]]
			if !ok {
				break
			}
			at = next
			path = append(path, at)
		}
		if len(path) < 3 || path[len(path)-1] != to {
			continue
		}
		for _, relay := range path[1 : len(path)-1] {
			other := node.Path(edges, from, to, relay)
			if other != nil && len(other) <= maxHops {
				return loss{from, to, relay, true}, nil
			}
		}
		if plain == nil {
			plain = &loss{from, to, path[len(path)/2], false}
		}
	}
	if plain == nil {
		return loss{}, errors.New("no path with a relay found")
	}
	return *plain, nil
}

// reachable pings without pause, each ping on its own connection since one
// may hang, and returns when the first answer came.
func reachable(ctx context.Context, socket, target string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	answers := make(chan time.Time, 1)
	for {
		go func() {
			c, err := ctl.Dial(ctx, socket)
			if err != nil {
				return
			}
			defer c.Close()
			if _, err := c.Ping(target); err == nil {
				select {
				case answers <- time.Now():
				default:
				}
			}
		}()
		select {
		case at := <-answers:
			return at, nil
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("no ping got through: %w", ctx.Err())
		case <-time.After(25 * time.Millisecond):
		}
	}
}
