package mesh

import (
	"regexp"
	"sync"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// rules is a policy like a long list of firewall rules, none of which matches.
func rules() Policy {
	var exprs []*regexp.Regexp
	for range 20 {
		exprs = append(exprs, regexp.MustCompile(`^(?:(?i).*-untrusted[0-9]*|(?:.*\.)?guests\.example)$`))
	}
	return func(from, to wire.NodeID, _, toService wire.Service) Verdict {
		for _, x := range exprs {
			if x.MatchString(string(from)) || x.MatchString(string(to)) && toService == "control" {
				return Drop
			}
		}
		return Accept
	}
}

// BenchmarkFirewall is the whole way of a packet through a node, as in
// BenchmarkRelay, with the rules of rules: none, with the decisions that are
// kept, and asked for each packet.
func BenchmarkFirewall(b *testing.B) {
	for _, c := range []struct {
		name   string
		policy Policy
		forget bool
	}{{"none", nil, false}, {"kept", rules(), false}, {"asked", rules(), true}} {
		b.Run(c.name, func(b *testing.B) {
			n, p := relay(b)
			n.SetPolicy(c.policy)
			w, at := n.firewall.Load(), relayed().place(&[4]uint64{})
			if w != nil {
				at = relayed().place(&w.seed)
			}
			batch := passOne(n, p, nil)
			b.ReportAllocs()
			for b.Loop() {
				if c.forget {
					w.made[at].Store(nil)
				}
				batch = passOne(n, p, batch)
			}
		})
	}
}

// BenchmarkFirewallParallel is the decision alone, by many readers of links.
func BenchmarkFirewallParallel(b *testing.B) {
	n, _ := relay(b)
	n.SetPolicy(rules())
	v := n.view.Load()
	a, c := v.byHash[wire.NodeID("a").Hash()], v.byHash[wire.NodeID("c").Hash()]
	f := relayed()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.decide(a, c, f.from, f.to)
		}
	})
}

// relayed is the flow of passOne.
func relayed() flow {
	return flow{wire.NodeID("a").Hash(), wire.NodeID("c").Hash(), wire.Service("from").Name(), wire.Service("to").Name()}
}

// TestFirewallAllocates: a packet whose flow was decided costs no allocation.
func TestFirewallAllocates(t *testing.T) {
	n, p := relay(t)
	n.SetPolicy(rules())
	batch := passOne(n, p, nil)
	if got := testing.AllocsPerRun(1000, func() { batch = passOne(n, p, batch) }); got >= 1 {
		t.Errorf("%v allocations per packet, want 0", got)
	}
}

// TestFirewallTable: every decision is that of the policy, however many flows
// there are and whoever asks, and the table does not grow.
func TestFirewallTable(t *testing.T) {
	n, _ := relay(t)
	verdict := func(from, to wire.Service) Verdict { return Verdict((len(from) + int(to[0])) % 3) }
	n.SetPolicy(func(_, _ wire.NodeID, from, to wire.Service) Verdict { return verdict(from, to) })
	v := n.view.Load()
	a, c := v.byHash[wire.NodeID("a").Hash()], v.byHash[wire.NodeID("c").Hash()]
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			for i := range 2 * maxDecisions {
				i = (i + r*maxDecisions/2) % (2 * maxDecisions)
				from := wire.Service("f")
				if i%5 == 0 {
					from = "ff"
				}
				to := wire.Service([]byte{byte('a' + i%7), byte('0' + i%10), byte('0' + i/10%10), byte('0' + i/100%10), byte('0' + i/1000%10), byte('0' + i/10000)})
				if got := n.decide(a, c, from.Name(), to.Name()); got != verdict(from, to) {
					t.Errorf("%s to %s: verdict %d, want %d", from, to, got, verdict(from, to))
					return
				}
			}
		})
	}
	readers.Wait()
	used := 0
	for i := range n.firewall.Load().made {
		if n.firewall.Load().made[i].Load() != nil {
			used++
		}
	}
	if used < maxDecisions/2 {
		t.Errorf("%d of %d places are used by %d flows: they are not spread", used, maxDecisions, 2*maxDecisions)
	}
}
