package mesh

import (
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// noticeLogInterval is the least time between two log lines about notices.
const noticeLogInterval = int64(time.Second)

// problemOf describes a packet that failed.
func problemOf(src, dst *destination, from, to wire.ServiceName, problem string) wire.Problem {
	return wire.Problem{
		FromNode: src.id, ToNode: dst.id,
		FromService: from.Service(), ToService: to.Service(),
		Problem: problem,
	}
}

// notify tells the source of frame b, a node or a local socket, what became of
// it (spec mesh-protocol 10).
func (n *Node) notify(src, dst *destination, b []byte, problem string) {
	n.notifyAbout(src, dst, fromService(b), toService(b), problem)
}

// notifyAbout is notify for a packet that is described by its addresses.
func (n *Node) notifyAbout(src, dst *destination, from, to wire.ServiceName, problem string) {
	self := n.view.Load().byHash[n.hash]
	payload := wire.AppendProblem(nil, problemOf(src, dst, from, to, problem))
	n.sendOwn(self, src, wire.Unreachable.Name(), wire.Unreachable.Name(), payload)
}

// noticeReceived passes a notice to the local socket that it is about.
func (n *Node) noticeReceived(reporter *destination, payload []byte) {
	p, err := wire.ParseProblem(payload)
	if err != nil {
		n.counters.malformed.Add(1)
		return
	}
	if p.FromNode != n.ID {
		return
	}
	s := n.local.lookup(p.FromService.Name())
	if s == nil {
		return
	}
	s.notice(reporter.id, p)
	if s.quiet {
		return
	}
	last, now := n.logged.Load(), n.clock()
	if (last == 0 || now-last >= noticeLogInterval) && n.logged.CompareAndSwap(last, now) {
		n.Logger.Warn("unreachable received", "node", reporter.id, "cause", p.Problem,
			"service", p.FromService, "peer", p.ToNode)
	}
}
