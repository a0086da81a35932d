package route

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// mesh adds n nodes and a connected random graph of about 1.5 n links.
func (s *sim) mesh(n int, loss float64) {
	for range n {
		s.addNode()
	}
	costs := []float64{1, 1, 1, 2, 0.5, 1.25}
	linked := map[[2]int]bool{}
	join := func(a, b int) {
		if a == b || linked[[2]int{a, b}] || linked[[2]int{b, a}] {
			return
		}
		linked[[2]int{a, b}] = true
		s.join(s.nodes[a], s.nodes[b], costs[s.rng.IntN(len(costs))], 5*time.Millisecond, loss)
	}
	for i := 1; i < n; i++ {
		join(i, s.rng.IntN(i))
	}
	for range n / 2 {
		join(s.rng.IntN(n), s.rng.IntN(n))
	}
}

// mustSettle lets time pass until the check succeeds, for at most limit.
func (s *sim) mustSettle(t testing.TB, limit time.Duration) time.Duration {
	t.Helper()
	began := s.now
	if err := s.settleWithin(limit, limit/8); err != nil {
		t.Fatalf("seed %d: not settled within %v: %v", s.seed, limit, err)
	}
	return s.now.Sub(began)
}

// settleWithin tries the check every step.
func (s *sim) settleWithin(limit, step time.Duration) (err error) {
	for end := s.now.Add(limit); s.now.Before(end); {
		s.run(step)
		if err = s.check(); err == nil || s.fault != nil {
			return err
		}
	}
	return err
}

// TestSimManyNodesConverge starts many nodes at once. All routes must be right
// within half a second; a little later, when the updates have ended that they
// all send because so many others appeared, the databases are equal.
func TestSimManyNodesConverge(t *testing.T) {
	n := 300
	if testing.Short() {
		n = 100
	}
	s := newSim(1)
	s.mesh(n, 0)
	s.run(500 * time.Millisecond)
	if err := s.checkRoutes(); err != nil {
		t.Fatalf("seed %d: %v", s.seed, err)
	}
	t.Logf("%d nodes, %d links: %d deliveries", n, len(s.links), s.total)
	if raceEnabled {
		return // the rest takes long, and other tests have it too
	}
	s.run(growSpread*time.Duration(n) + time.Second)
	if err := s.checkDatabases(); err != nil {
		t.Fatalf("seed %d: %v", s.seed, err)
	}
	t.Logf("%d deliveries at the end", s.total)
}

// TestSimThousandNodesConverge takes a minute or so and 2 GB: it runs if
// ROUTE_LONG is set.
func TestSimThousandNodesConverge(t *testing.T) {
	if os.Getenv("ROUTE_LONG") == "" {
		t.Skip("ROUTE_LONG is not set")
	}
	s := newSim(1)
	s.mesh(1000, 0)
	s.run(2 * time.Second)
	// The full check is cubic, so look only at what would go wrong first.
	for _, n := range s.nodes {
		if got := len(n.r.Snapshot().Next); got != len(s.nodes)-1 {
			t.Fatalf("%s has routes to %d nodes", n.id, got)
		}
	}
	t.Logf("%d links, %d deliveries", len(s.links), s.total)
}

// TestSimChangeCost counts what one change costs: no update crosses any link
// more than once in each direction.
func TestSimChangeCost(t *testing.T) {
	s := newSim(2)
	s.mesh(60, 0)
	s.mustSettle(t, 4*time.Second)
	s.run(30 * time.Minute) // so that refreshes are rare
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	s.delivered = map[string]int{}
	before := map[string]bool{}
	s.run(12 * time.Second) // keep-alives only, or nearly
	for id := range s.delivered {
		before[id] = true
	}
	s.delivered = map[string]int{}
	floods := s.floods()
	l := s.links[len(s.links)-1] // not a bridge: the first n-1 links connect everyone
	l.down = true
	ends := &l.session.ends
	s.close(&ends[0])
	s.close(&ends[1])
	s.run(time.Second)
	changes := 0
	for id, n := range s.delivered {
		if before[id] {
			continue
		}
		changes++
		if n > 2*len(s.links) {
			t.Errorf("update %s was delivered %d times over %d links", id, n, len(s.links))
		}
	}
	if got := s.floods() - floods; got != 2 || changes != 2 {
		t.Errorf("%d floods with %d new updates, want one from each end of the link", got, changes)
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
}

// floods counts own updates flooded so far.
func (s *sim) floods() (n uint64) {
	for _, x := range s.nodes {
		if t, ok := x.r.(*Table); ok {
			n += t.stats.Floods
		}
	}
	return n
}

// TestSimSilence: a quiet mesh sends keep-alives and rare refreshes, and no
// link is ever without an update for KeepAlive.
func TestSimSilence(t *testing.T) {
	s := newSim(3)
	s.mesh(40, 0)
	s.mustSettle(t, 4*time.Second)
	s.run(30 * time.Minute)
	total, floods := s.total, s.floods()
	const span = time.Hour
	s.run(span)
	refreshes := int(s.floods() - floods)
	if most := len(s.nodes) * (1 + int(span/(refreshMax*9/10))); refreshes > most {
		t.Errorf("%d refreshes, want at most %d", refreshes, most)
	}
	ends := 2 * len(s.links)
	most := ends*int(span/keepAliveMin) + refreshes*ends
	least := ends * int(span/KeepAlive)
	if got := s.total - total; got > most || got < least {
		t.Errorf("%d deliveries, want %d to %d", got, least, most)
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
	for _, n := range s.nodes {
		if f := n.r.(*Table).stats.Forgotten; f > 0 {
			t.Errorf("%s forgot %d nodes", n.id, f)
		}
	}
}

// chaos disturbs a small mesh ops times, then leaves it alone and checks that
// it settles. Half of the links of odd seeds are lossy.
func chaos(seed uint64, ops int) error {
	s := newSim(seed)
	s.mesh(12, 0)
	if seed%2 == 1 {
		for i, l := range s.links {
			if i%2 == 0 {
				l.loss = 0.2
			}
		}
	}
	if seed%3 == 0 {
		s.original = func(i int) bool { return i%3 == 0 }
		for _, n := range s.nodes {
			s.crash(n)
		}
	}
	script := rand.New(rand.NewPCG(seed, 2))
	for range ops {
		l := s.links[script.IntN(len(s.links))]
		n := s.nodes[script.IntN(len(s.nodes))]
		switch script.IntN(6) {
		case 0: // a cut that nobody is told of
			l.down = true
		case 1: // a cut that both ends notice
			if l.session != nil {
				s.close(&l.session.ends[script.IntN(2)])
			}
		case 2, 3:
			l.down = false
		case 4:
			s.crash(n)
		case 5: // in one direction only, so to speak: one end gives up
			if l.session != nil {
				l.down = true
				s.close(&l.session.ends[script.IntN(2)])
			}
		}
		s.run(time.Duration(script.ExpFloat64() * float64(4*time.Second)))
		if s.fault != nil {
			return s.fault
		}
	}
	for _, l := range s.links {
		l.down = false
	}
	// Up to 26 s until the last dead session is noticed, up to 20 more until the
	// link is back; lossy links need some rounds of repeats.
	s.run(50 * time.Second)
	if seed%2 == 1 {
		return s.settleWithin(4*time.Minute, time.Second)
	}
	return s.settleWithin(15*time.Second, time.Second)
}

func TestSimChaos(t *testing.T) {
	seeds := uint64(48)
	if testing.Short() || raceEnabled {
		seeds = 12
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			const ops = 40
			err := chaos(seed, ops)
			if err == nil {
				return
			}
			shortest := ops
			for n := range ops {
				if e := chaos(seed, n); e != nil {
					shortest, err = n, e
					break
				}
			}
			t.Fatalf("seed %d, first %d operations: %v", seed, shortest, err)
		})
	}
}

// TestSimHealBetweenOriginals joins two halves of ours by a link between two
// nodes of the original kind, which do not hand over what they know.
func TestSimHealBetweenOriginals(t *testing.T) {
	s := newSim(4)
	s.original = func(i int) bool { return i == 3 || i == 4 }
	for range 8 {
		s.addNode()
	}
	var middle *simLink
	for i := range 7 {
		l := s.join(s.nodes[i], s.nodes[i+1], 1, 5*time.Millisecond, 0)
		if i == 3 {
			middle = l
		}
	}
	s.mustSettle(t, 4*time.Second)
	middle.down = true
	s.run(40 * time.Minute)
	if got := len(s.nodes[0].r.Snapshot().Next); got != 3 {
		t.Fatalf("%d routes in the cut-off half, want 3", got)
	}
	middle.down = false
	s.run(simRedial)
	s.mustSettle(t, 15*time.Second)
}
