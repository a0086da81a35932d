package mesh

import (
	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// view is what the data path knows of the mesh. It is never changed: the owner
// puts a new one in its place.
type view struct {
	byHash map[wire.Hash]*destination
	byName map[wire.NodeID]*destination
}

// destination is a node that packets may come from or go to.
type destination struct {
	id    wire.NodeID
	hash  wire.Hash
	next  *peer // the link to take; nil for ourselves, and if there is none
	route bool  // there is a route, though perhaps no link
}

// names are the nodes whose hash is known: ourselves, neighbours, and
// originators of updates (spec mesh-protocol 2). The owner keeps them; the
// routing table says which come and go, and bounds their number.
type names map[wire.Hash]wire.NodeID

// add enters id; the first name to claim a hash keeps it.
func (s names) add(id wire.NodeID) {
	h := id.Hash()
	if _, taken := s[h]; !taken {
		s[h] = id
	}
}

// remove takes id out, unless another name has its hash.
func (s names) remove(id wire.NodeID) {
	if h := id.Hash(); s[h] == id {
		delete(s, h)
	}
}

// newView joins names, routes and links.
func newView(s names, routes *route.Snapshot, peers map[wire.NodeID]*peer) *view {
	v := &view{
		byHash: make(map[wire.Hash]*destination, len(s)),
		byName: make(map[wire.NodeID]*destination, len(s)),
	}
	for h, id := range s {
		d := &destination{id: id, hash: h}
		if hop, ok := routes.Next[id]; ok {
			d.route = true
			d.next = peers[hop]
		}
		v.byHash[h] = d
		v.byName[id] = d
	}
	return v
}
