package route

import (
	"maps"
	"slices"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// original behaves like ansible/receptor as far as the specification tells: it
// floods every 10 s, does not give stored updates to new links, and never
// forgets. It is written to be obvious, not fast.
type original struct {
	c     Config
	seq   uint64
	peers map[wire.NodeID]*originalPeer
	seen  map[string]bool
	known map[wire.NodeID]struct{ epoch, seq uint64 }
	costs graph
	own   time.Time
	snap  *Snapshot
}

type originalPeer struct {
	cost   float64
	listed bool
}

func newOriginal(c Config, now time.Time) *original {
	o := &original{c: c, peers: map[wire.NodeID]*originalPeer{}, seen: map[string]bool{},
		known: map[wire.NodeID]struct{ epoch, seq uint64 }{}, costs: graph{c.Self: {}}, own: now.Add(10 * time.Second)}
	o.compute()
	return o
}

func (o *original) update() wire.Update {
	o.seq++
	u := wire.Update{NodeID: o.c.Self, ForwardingNode: o.c.Self, UpdateID: o.c.NewID(), UpdateEpoch: o.c.Epoch,
		UpdateSequence: o.seq, Connections: map[wire.NodeID]float64{}}
	for id, p := range o.peers {
		u.Connections[id] = p.cost
	}
	return u
}

func (o *original) want(now time.Time) {
	if due := now.Add(100 * time.Millisecond); due.Before(o.own) {
		o.own = due
	}
}

func (o *original) Hello(time.Time) []byte { return wire.AppendUpdate(nil, o.update()) }
func (o *original) Deadline() time.Time    { return o.own }
func (o *original) Snapshot() *Snapshot    { return o.snap }

func (o *original) LinkUp(now time.Time, peer wire.NodeID, l Link) (res Result) {
	o.peers[peer] = &originalPeer{cost: l.Cost}
	if o.costs[peer] == nil {
		o.costs[peer] = map[wire.NodeID]float64{}
	}
	o.costs[peer][o.c.Self], o.costs[o.c.Self][peer] = l.Cost, l.Cost
	o.want(now)
	o.compute()
	return res
}

func (o *original) LinkDown(now time.Time, peer wire.NodeID) (res Result) {
	delete(o.peers, peer)
	delete(o.costs[peer], o.c.Self)
	delete(o.costs[o.c.Self], peer)
	o.want(now)
	o.compute()
	return res
}

func (o *original) Tick(now time.Time) (res Result) {
	if now.Before(o.own) {
		return res
	}
	o.own = now.Add(10 * time.Second)
	if len(o.peers) > 0 {
		frame := wire.AppendUpdate(nil, o.update())
		for _, id := range slices.Sorted(maps.Keys(o.peers)) {
			res.Send = append(res.Send, Send{Peer: id, Key: o.c.Self, Frame: frame})
		}
	}
	return res
}

func (o *original) Apply(now time.Time, peer wire.NodeID, frame []byte) (res Result, err error) {
	u, err := wire.ParseUpdate(frame)
	if err != nil {
		return res, err
	}
	p := o.peers[peer]
	if u.ForwardingNode != peer {
		res.Reject = &ForwarderError{peer, u.ForwardingNode}
		return res, nil
	}
	if u.NodeID == peer {
		cost, listed := u.Connections[o.c.Self]
		switch {
		case !listed && !p.listed:
			return res, nil
		case !listed:
			res.Reject = ErrUnlisted
			return res, nil
		case cost != p.cost:
			res.Reject = &CostError{p.cost, cost}
			return res, nil
		}
		p.listed = true
	}
	if u.NodeID == "" || u.NodeID == o.c.Self || o.seen[u.UpdateID] {
		return res, nil
	}
	o.seen[u.UpdateID] = true
	k, known := o.known[u.NodeID]
	if known && (u.UpdateEpoch < k.epoch || u.UpdateEpoch == k.epoch && u.UpdateSequence <= k.seq) {
		return res, nil
	}
	if !known {
		o.want(now)
	}
	o.known[u.NodeID] = struct{ epoch, seq uint64 }{u.UpdateEpoch, u.UpdateSequence}
	if o.costs[u.NodeID] == nil || !maps.Equal(o.costs[u.NodeID], u.Connections) {
		o.costs[u.NodeID] = maps.Clone(u.Connections)
		for other, links := range o.costs {
			if _, ok := u.Connections[other]; !ok && other != o.c.Self {
				delete(links, u.NodeID)
			}
		}
		o.compute()
	}
	u.ForwardingNode = o.c.Self
	f := wire.AppendUpdate(nil, u)
	for _, id := range slices.Sorted(maps.Keys(o.peers)) {
		if id != peer {
			res.Send = append(res.Send, Send{Peer: id, Key: u.NodeID, Frame: f})
		}
	}
	return res, nil
}

// compute finds routes by Bellman-Ford, carrying the first hop along.
func (o *original) compute() {
	s := &Snapshot{Next: map[wire.NodeID]wire.NodeID{}, Hops: map[wire.Hash]wire.NodeID{}, Cost: o.costs.distances(o.c.Self),
		Known: map[wire.NodeID]map[wire.NodeID]float64{}}
	for id, links := range o.costs {
		s.Known[id] = maps.Clone(links)
	}
	for dst, cost := range s.Cost {
		s.Next[dst] = o.first(s.Cost, dst, cost)
		s.Hops[dst.Hash()] = s.Next[dst]
	}
	o.snap = s
}

// first walks back from dst to find its first hop.
func (o *original) first(dist map[wire.NodeID]float64, dst wire.NodeID, cost float64) wire.NodeID {
	for {
		if c, ok := o.costs[o.c.Self][dst]; ok && c == cost {
			return dst
		}
		for a, links := range o.costs {
			if d, ok := dist[a]; ok && d+links[dst] == cost && links[dst] > 0 {
				dst, cost = a, d
				break
			}
		}
	}
}
