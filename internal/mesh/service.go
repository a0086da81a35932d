package mesh

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Service describes what to listen on.
type Service struct {
	// Name of at most 8 bytes; empty picks an ephemeral one.
	Name wire.Service
	// Advertise tells the mesh of the service.
	Advertise bool
	// Tags of the advertisement; "type" says what the service is.
	Tags map[string]string
	// TLS of a stream service; nil is the anonymous certificate.
	TLS *tls.Config
}

var (
	errServiceTooLong = errors.New("service name too long")
	errReserved       = errors.New("service name is reserved")
)

// controlService is the "type" tag of services that list the work types.
const controlService = "Control Service"

// listen opens the socket of a service. problem, which may be nil, gets notices
// about packets that it sent.
func (n *Node) listen(s Service, kind wire.ConnType, problem func(wire.NodeID, wire.Problem)) (*socket, error) {
	sock := &socket{node: n, service: s.Name, name: s.Name.Name(), problem: problem}
	switch {
	case s.Name == "":
		n.local.ephemeral(sock)
	case len(s.Name) > len(wire.ServiceName{}):
		return nil, fmt.Errorf("listen on %s: %w", s.Name, errServiceTooLong)
	case s.Name == wire.Ping || s.Name == wire.Unreachable:
		return nil, fmt.Errorf("listen on %s: %w", s.Name, errReserved)
	default:
		if err := n.local.add(sock); err != nil {
			return nil, err
		}
	}
	n.announce(sock, s, kind)
	return sock, nil
}

// announce has the mesh told of a socket, if its service wants that.
func (n *Node) announce(sock *socket, s Service, kind wire.ConnType) {
	if !s.Advertise {
		return
	}
	n.local.setAdvert(sock, &wire.Advert{NodeID: n.ID, Service: sock.service, ConnType: kind, Tags: maps.Clone(s.Tags)})
	n.advertiseSoon()
}

// SetWorkTypes sets what advertisements of control services carry.
func (n *Node) SetWorkTypes(w []wire.WorkCommand) {
	w = append([]wire.WorkCommand(nil), w...)
	n.work.Store(&w)
	n.advertiseSoon()
}

// workTypes is what SetWorkTypes was last given.
func (n *Node) workTypes() []wire.WorkCommand {
	if w := n.work.Load(); w != nil {
		return *w
	}
	return nil
}

// advertiseSoon has the owner advertise our services shortly.
func (n *Node) advertiseSoon() {
	n.readvertise.Store(true)
	n.box.poke()
}

// withdraw tells the mesh that a service is about to close. Towards nodes of
// ansible/receptor a cancellation that meets a cycle circulates for ever (spec
// mesh-protocol 8), so it is only sent into a mesh without cycles. Elsewhere
// the advertisement ages.
func (n *Node) withdraw(s *socket) {
	was := n.local.setAdvert(s, nil)
	if was == nil || !n.running.Load() {
		return
	}
	n.box.call(func(l *loop) {
		if !acyclic(l.table.Snapshot().Known) {
			return
		}
		a := wire.Advert{NodeID: n.ID, Service: s.service, Time: l.advertTime(), ConnType: was.ConnType, Cancel: true}
		l.flood(controlKey{node: n.ID, service: s.service}, wire.AppendAdvert(nil, a), nil)
	})
}

// acyclic tells whether the graph has no cycles, links taken as undirected:
// each tree of k nodes has k-1 of them.
func acyclic(known map[wire.NodeID]map[wire.NodeID]float64) bool {
	type edge struct{ a, b wire.NodeID }
	edges := make(map[edge]bool)
	root := make(map[wire.NodeID]wire.NodeID) // union-find
	find := func(id wire.NodeID) wire.NodeID {
		for root[id] != "" {
			id = root[id]
		}
		return id
	}
	for a, list := range known {
		for b := range list {
			e := edge{min(a, b), max(a, b)}
			if a == b || edges[e] {
				continue
			}
			edges[e] = true
			ra, rb := find(a), find(b)
			if ra == rb {
				return false
			}
			root[ra] = rb
		}
	}
	return true
}

// advertTime is the present, but later than any such time before: receivers
// drop what is not later.
func (l *loop) advertTime() time.Time {
	t := l.now.Round(0)
	if !t.After(l.lastAdvert) {
		t = l.lastAdvert.Add(1)
	}
	l.lastAdvert = t
	return t
}

// advertiseSoon has our services advertised within advertDelay.
func (l *loop) advertiseSoon() {
	if due := l.now.Add(advertDelay); due.Before(l.advertDue) {
		l.advertDue = due
	}
}

// advertise sends our advertisements to all peers.
func (l *loop) advertise() {
	l.advertDue = l.now.Add(advertInterval)
	if len(l.peers) == 0 {
		return
	}
	work := l.n.workTypes()
	for _, a := range l.n.local.adverts() {
		a.Time = l.advertTime()
		if a.Tags["type"] == controlService && len(work) > 0 {
			a.WorkCommands = work
		}
		if l.debugs() {
			l.log.Debug("service advertised", "node", a.NodeID, "service", a.Service, "time", a.Time, "kind", int(a.ConnType), "tags", a.Tags, "work", a.WorkCommands)
		}
		l.flood(controlKey{node: a.NodeID, service: a.Service}, wire.AppendAdvert(nil, a), nil)
	}
}
