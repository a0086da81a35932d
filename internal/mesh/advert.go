package mesh

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// advertTable holds the service advertisements of other nodes (spec
// mesh-protocol 8), and for a while the cancelled ones, so that a cancellation
// that comes round again stops here. The owner of the node changes it,
// observers read it.
type advertTable struct {
	self  wire.NodeID
	mu    sync.Mutex
	nodes map[wire.NodeID]map[wire.Service]*advertEntry
	size  int
	bytes int           // cost of all of them
	turn  atomic.Uint64 // changes with every entry that does
}

// advertOverhead is what an advertisement takes beyond twice its frame, in bytes.
const advertOverhead = 512

// cost is what the entry takes in memory, about.
func (e *advertEntry) cost() int { return 2*len(e.frame) + advertOverhead }

// advertEntry is the newest advertisement of one service.
type advertEntry struct {
	advert wire.Advert
	frame  []byte    // as received, forwarded byte for byte; nil if cancelled
	heard  time.Time // our clock, when the newest advertisement of the service came
}

func (t *advertTable) init(self wire.NodeID) {
	t.self = self
	t.nodes = make(map[wire.NodeID]map[wire.Service]*advertEntry)
}

// receive enters an advertisement. It returns a copy of the frame if it is
// news and has to be forwarded, else nil. Advertisements in our own name are
// ignored; fits is false for those over the bounds, which are ignored too.
//
// Which of two is the newer one is told by the clock of the node that they are
// about, and that may have been wrong. So one that nothing newer has come after for
// advertAge is dropped (see sweep), though older ones still come: the next of these
// is taken then.
func (t *advertTable) receive(now time.Time, a wire.Advert, frame []byte) (news []byte, fits bool) {
	if a.NodeID == t.self || a.NodeID == "" {
		return nil, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.nodes[a.NodeID][a.Service]
	if e != nil && !a.Time.After(e.advert.Time) {
		return nil, true
	}
	next := &advertEntry{advert: a, heard: now, frame: frame}
	if a.Cancel { // only that it is, and of when, is asked for again
		next.advert = wire.Advert{NodeID: a.NodeID, Service: a.Service, Time: a.Time, Cancel: true}
		next.frame = nil
	}
	cost := next.cost()
	if e != nil {
		cost -= e.cost()
	}
	if cost > 0 && t.bytes+cost > maxAdvertBytes ||
		e == nil && (len(t.nodes[a.NodeID]) >= maxNodeAdverts || t.size >= maxAdverts) {
		return nil, false
	}
	news = bytes.Clone(frame)
	if !a.Cancel {
		next.frame = news
	}
	if e == nil {
		if t.nodes[a.NodeID] == nil {
			t.nodes[a.NodeID] = make(map[wire.Service]*advertEntry)
		}
		t.size++
	}
	t.nodes[a.NodeID][a.Service] = next
	t.bytes += cost
	t.turn.Add(1)
	return news, true
}

// each calls f for every advertisement that is not cancelled.
func (t *advertTable) each(f func(key controlKey, frame []byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, services := range t.nodes {
		for service, e := range services {
			if !e.advert.Cancel {
				f(controlKey{node: node, service: service}, e.frame)
			}
		}
	}
}

// sweep drops what is too old: cancellations, services that are no longer
// repeated, and those of nodes that the routing table has forgotten.
func (t *advertTable) sweep(now time.Time, known map[wire.NodeID]map[wire.NodeID]float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, services := range t.nodes {
		_, alive := known[node]
		for service, e := range services {
			limit := advertAge
			switch {
			case e.advert.Cancel:
				limit = cancelAge
			case !alive:
				limit = advertInterval // it may be heard of before its node is
			}
			if now.Sub(e.heard) >= limit {
				delete(services, service)
				t.size--
				t.bytes -= e.cost()
				t.turn.Add(1)
			}
		}
		if len(services) == 0 {
			delete(t.nodes, node)
		}
	}
}

// list returns the advertisements that are not cancelled.
func (t *advertTable) list() []wire.Advert {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []wire.Advert
	for _, services := range t.nodes {
		for _, e := range services {
			if !e.advert.Cancel {
				all = append(all, e.advert)
			}
		}
	}
	return all
}
