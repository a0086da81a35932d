package mesh

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// firewall is a policy with the decisions that it has made. Each flow has one
// place in the table, by its hash, which holds the last decision that was made
// for a flow of that place: so the table is bounded, forgets by itself, and
// readers of links neither wait for each other nor allocate.
type firewall struct {
	policy Policy
	seed   [4]uint64 // nobody else can tell which flows share a place
	made   [maxDecisions]atomic.Pointer[decision]
}

// decision is the verdict on all packets of a flow. It is not changed.
type decision struct {
	flow    flow
	verdict Verdict
}

// flow is what a decision depends on.
type flow struct {
	src, dst wire.Hash
	from, to wire.ServiceName
}

// SetPolicy replaces the policy, at once for all packets; nil lets all of them pass.
func (n *Node) SetPolicy(p Policy) { n.firewall.Store(newFirewall(p)) }

// newFirewall is a policy without decisions, nil for the policy nil.
func newFirewall(p Policy) *firewall {
	if p == nil {
		return nil
	}
	w := &firewall{policy: p}
	for i := range w.seed {
		w.seed[i] = rand.Uint64()
	}
	return w
}

// decide returns the verdict on a packet.
func (n *Node) decide(src, dst *destination, from, to wire.ServiceName) Verdict {
	w := n.firewall.Load()
	if w == nil {
		return Accept
	}
	return w.decide(src, dst, from, to)
}

func (w *firewall) decide(src, dst *destination, from, to wire.ServiceName) Verdict {
	f := flow{src.hash, dst.hash, from, to}
	place := &w.made[f.place(&w.seed)]
	if d := place.Load(); d != nil && d.flow == f {
		return d.verdict
	}
	d := &decision{flow: f, verdict: w.policy(src.id, dst.id, from.Service(), to.Service())}
	place.Store(d)
	return d.verdict
}

// place is the index of the flow in the table.
func (f flow) place(seed *[4]uint64) uint64 {
	a := mix(uint64(f.src)^seed[0], uint64(f.dst)^seed[1])
	b := mix(number(f.from)^seed[2], number(f.to)^seed[3])
	return mix(a^seed[1], b^seed[2]) % maxDecisions
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func number(s wire.ServiceName) uint64 {
	var x uint64
	for _, b := range s {
		x = x<<8 | uint64(b)
	}
	return x
}
