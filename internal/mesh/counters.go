package mesh

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// traffic is what one link has moved: frames of all kinds, without what the
// transport adds.
type traffic struct {
	framesIn, bytesIn   atomic.Uint64 // counted by the reader
	framesOut, bytesOut atomic.Uint64 // counted by the writer
}

// Counters are counts since New, for diagnosis.
type Counters struct {
	LinksUp   uint64 // links that were established
	LinksDown uint64 // of these: that have ended
	Links     []LinkCounters
	Drops     Drops
	Route     route.Stats // zero once the node has ended
}

// LinkCounters are of one established link, since it was opened. Bytes are those
// of frames, without what the transport adds.
type LinkCounters struct {
	Peer                wire.NodeID
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64
}

// Drops is what was ignored or dropped.
type Drops struct {
	Malformed   uint64 // frames that could not be understood
	UnknownType uint64 // frames of a type that is not known
	UnknownNode uint64 // packets with a source or destination that is not known
	NoRoute     uint64 // packets to pass on without a way
	LinkFull    uint64 // packets that found the queue of a link full
	LinkBehind  uint64 // routing updates and advertisements that did, and are sent later
	SocketFull  uint64 // packets that found the queue of a local socket full
	Blocked     uint64 // packets that the firewall stopped
	TooLong     uint64 // frames too long for the link they had to take
	OverLimit   uint64 // service advertisements for which there was no room
	Crowded     uint64 // links closed because too many were open
}

// Counters tells what the node has counted so far. It waits for the goroutine
// that owns the node, which must be running or have ended.
func (n *Node) Counters() Counters {
	c := &n.counters
	out := Counters{
		LinksUp: c.linksUp.Load(), LinksDown: c.linksDown.Load(),
		Drops: Drops{
			Malformed: c.malformed.Load(), UnknownType: c.unknownType.Load(), UnknownNode: c.unknownHash.Load(),
			NoRoute: c.noRoute.Load(), LinkBehind: c.toldLate.Load(), LinkFull: c.queueFull.Load(), SocketFull: c.socketFull.Load(),
			Blocked: c.blocked.Load(), TooLong: c.tooLong.Load(),
			OverLimit: c.overLimit.Load(), Crowded: c.crowded.Load(),
		},
	}
	n.box.call(func(l *loop) {
		out.LinksUp, out.LinksDown = c.linksUp.Load(), c.linksDown.Load() // as of the links below
		out.Route = l.table.Stats()
		for id, p := range l.peers {
			out.Links = append(out.Links, LinkCounters{
				Peer:     id,
				FramesIn: p.moved.framesIn.Load(), BytesIn: p.moved.bytesIn.Load(),
				FramesOut: p.moved.framesOut.Load(), BytesOut: p.moved.bytesOut.Load(),
			})
		}
	})
	slices.SortFunc(out.Links, func(a, b LinkCounters) int { return cmp.Compare(a.Peer, b.Peer) })
	return out
}
