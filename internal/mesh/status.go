package mesh

import (
	"cmp"
	"slices"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Status is an immutable snapshot for observers, who must not change the maps
// in it: they are shared.
type Status struct {
	ID          wire.NodeID
	Connections []Connection                            // established links, by peer
	Routes      map[wire.NodeID]wire.NodeID             // destination to next hop, without ourselves
	Known       map[wire.NodeID]map[wire.NodeID]float64 // the whole known graph, ourselves included
	Costs       map[wire.NodeID]float64                 // path cost of each destination
	Adverts     []wire.Advert                           // own ones with the present time; by node and service
}

// Connection is an established link.
type Connection struct {
	Peer wire.NodeID
	Cost float64
}

// linkState is the part of a Status that the owner publishes.
type linkState struct {
	turn        uint64 // its number
	connections []Connection
	routes      *route.Snapshot
}

func newLinkState(turn uint64, s *route.Snapshot, peers map[wire.NodeID]*peer) *linkState {
	st := &linkState{turn: turn, routes: s, connections: make([]Connection, 0, len(peers))}
	for id, p := range peers {
		st.connections = append(st.connections, Connection{id, p.cost})
	}
	slices.SortFunc(st.connections, func(a, b Connection) int { return cmp.Compare(a.Peer, b.Peer) })
	return st
}

// Turn tells whether a Status may have changed: as long as two are equal it has
// not, apart from the times of own advertisements. It may be kept: what it stands for is
// not kept with it.
type Turn struct {
	links, adverts, services uint64
	work                     *[]wire.WorkCommand
}

// Turn is the present one.
func (n *Node) Turn() Turn {
	return Turn{n.state.Load().turn, n.adverts.turn.Load(), n.local.turn.Load(), n.work.Load()}
}

// Status tells what the node knows now.
func (n *Node) Status() Status {
	s := Status{ID: n.ID}
	st := n.state.Load()
	s.Connections = slices.Clone(st.connections)
	if st.routes != nil {
		s.Routes, s.Known, s.Costs = st.routes.Next, st.routes.Known, st.routes.Cost
	} else {
		s.Routes = map[wire.NodeID]wire.NodeID{}
		s.Known = map[wire.NodeID]map[wire.NodeID]float64{n.ID: {}}
		s.Costs = map[wire.NodeID]float64{}
	}
	s.Adverts = n.adverts.list()
	work := n.workTypes()
	now := time.Now()
	for _, a := range n.local.adverts() {
		a.Time = now
		if len(work) > 0 {
			a.WorkCommands = work
		}
		s.Adverts = append(s.Adverts, a)
	}
	slices.SortFunc(s.Adverts, func(a, b wire.Advert) int {
		return cmp.Or(cmp.Compare(a.NodeID, b.NodeID), cmp.Compare(a.Service, b.Service))
	})
	return s
}
