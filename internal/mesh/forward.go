package mesh

import (
	"encoding/binary"
	"errors"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Offsets in a data frame (spec mesh-protocol 9).
const (
	offHops = 1
	offSrc  = 4
	offDst  = 12
	offFrom = 20
	offTo   = 28
)

func srcHash(b []byte) wire.Hash                { return wire.Hash(binary.BigEndian.Uint64(b[offSrc:])) }
func dstHash(b []byte) wire.Hash                { return wire.Hash(binary.BigEndian.Uint64(b[offDst:])) }
func fromService(b []byte) (s wire.ServiceName) { return wire.ServiceName(b[offFrom:offTo]) }
func toService(b []byte) (s wire.ServiceName)   { return wire.ServiceName(b[offTo:headerSize]) }

// arrive handles a data frame from a link, which it takes over. It runs on the
// reader of that link and never waits: what finds a queue full is dropped. A
// frame that passes through is neither copied nor decoded; one byte changes.
func (n *Node) arrive(f *link.Frame) {
	b := f.Bytes()
	if len(b) < headerSize {
		n.counters.malformed.Add(1)
		f.Release()
		return
	}
	v := n.view.Load()
	src, dst := v.byHash[srcHash(b)], v.byHash[dstHash(b)]
	if src == nil || dst == nil {
		n.counters.unknownHash.Add(1)
		f.Release()
		return
	}
	if log := n.trace.Load(); log != nil {
		n.traceArrived(log, src, dst, b)
	}
	if w := n.firewall.Load(); w != nil {
		if verdict := w.decide(src, dst, fromService(b), toService(b)); verdict != Accept {
			n.refuse(verdict, src, dst, b)
			f.Release()
			return
		}
	}
	if dst.hash == n.hash {
		n.deliver(src, dst, f)
		return
	}
	if b[offHops] == 0 {
		if fromService(b) != wire.Unreachable.Name() {
			n.notify(src, dst, b, wire.ProblemExpired)
		}
		f.Release()
		return
	}
	next := dst.next
	if next == nil {
		n.counters.noRoute.Add(1)
		f.Release()
		return
	}
	b[offHops]--
	n.count(next.out.send(f))
}

// count counts a frame that could not be queued.
func (n *Node) count(err error) {
	switch {
	case err == nil:
	case errors.Is(err, errQueueFull):
		n.counters.queueFull.Add(1)
	case errors.Is(err, link.ErrFrameSize):
		n.counters.tooLong.Add(1)
	default:
		n.counters.noRoute.Add(1)
	}
}

// refuse does what the firewall's verdict says, Accept apart.
func (n *Node) refuse(verdict Verdict, src, dst *destination, b []byte) {
	n.counters.blocked.Add(1)
	if verdict == Reject && fromService(b) != wire.Unreachable.Name() {
		n.notify(src, dst, b, wire.ProblemBlocked)
	}
}

// deliver hands a frame for this node, which it takes over, to the local
// service it is for.
func (n *Node) deliver(src, dst *destination, f *link.Frame) {
	b := f.Bytes()
	switch to := toService(b); to {
	case wire.Ping.Name():
		// Nobody pings from a reserved service: the answer to a forged one
		// would be a ping again, and so on for ever.
		if from := fromService(b); from != wire.Ping.Name() && from != wire.Unreachable.Name() {
			n.reply(src, dst, from)
		}
		f.Release()
	case wire.Unreachable.Name():
		n.noticeReceived(src, wire.Payload(b))
		f.Release()
	default:
		s := n.local.lookup(to)
		if s == nil {
			n.notify(src, dst, b, wire.ProblemServiceUnknown)
			f.Release()
			return
		}
		s.deliver(src, f)
	}
}

// reply answers a ping.
func (n *Node) reply(to, self *destination, service wire.ServiceName) {
	n.sendOwn(self, to, wire.Ping.Name(), service, nil)
}

// sendOwn sends a packet of the node itself, a ping's answer or a notice,
// subject to the firewall. It never waits.
func (n *Node) sendOwn(self, to *destination, from, service wire.ServiceName, payload []byte) {
	if n.decide(self, to, from, service) != Accept {
		n.counters.blocked.Add(1)
		return
	}
	f := n.frame(self, to, maxHops, from, service, payload)
	if to.hash == n.hash {
		n.deliver(self, to, f)
		return
	}
	if to.next == nil {
		n.counters.noRoute.Add(1)
		f.Release()
		return
	}
	f.Bytes()[offHops]--
	n.count(to.next.out.send(f))
}

// frame makes a data frame.
func (n *Node) frame(src, dst *destination, hops uint8, from, to wire.ServiceName, payload []byte) *link.Frame {
	f := link.NewFrame(headerSize + len(payload))
	b := f.Bytes()
	wire.AppendHeader(b[:0], wire.Header{Hops: hops, Src: src.hash, Dst: dst.hash, From: from, To: to})
	copy(b[headerSize:], payload)
	if log := n.trace.Load(); log != nil {
		tracePacket(log, "sent", src, dst, b)
	}
	return f
}

// patience says how long a local sender waits for room in the queue of a link;
// nil channels never end.
type patience struct {
	closed, expired <-chan struct{}
}

// send sends a packet that starts here (spec mesh-protocol 9.1). The errors
// are those that a local sender gets at once; other problems are reported to
// the socket by a notice, as they would be from a node on the way.
func (n *Node) send(s *socket, dst *destination, to wire.ServiceName, hops uint8, payload []byte, wait patience) error {
	self := n.view.Load().byHash[n.hash]
	if w := n.firewall.Load(); w != nil {
		switch w.decide(self, dst, s.name, to) {
		case Reject:
			n.counters.blocked.Add(1)
			s.notice(self.id, problemOf(self, dst, s.name, to, wire.ProblemBlocked))
			return nil
		case Drop:
			n.counters.blocked.Add(1)
			return nil
		}
	}
	if dst.hash == n.hash {
		if to != wire.Ping.Name() && to != wire.Unreachable.Name() && n.local.lookup(to) == nil {
			return ErrServiceUnknown
		}
		n.deliver(self, dst, n.frame(self, dst, hops, s.name, to, payload))
		return nil
	}
	if hops == 0 {
		s.notice(self.id, problemOf(self, dst, s.name, to, wire.ProblemExpired))
		return nil
	}
	if dst.next == nil {
		return unreachable(dst)
	}
	f := n.frame(self, dst, hops-1, s.name, to, payload)
	return dst.next.out.sendLocal(f, wait.closed, wait.expired)
}

// unreachable tells why there is no link to take to dst.
func unreachable(dst *destination) error {
	if dst != nil && dst.route {
		return ErrNoConnection
	}
	return ErrNoRoute
}
