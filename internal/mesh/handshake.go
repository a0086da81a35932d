package mesh

import (
	"bytes"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// state of a link, of the owner.
type state byte

const (
	statePending state = iota // its first message is awaited, or it is held
	stateUp                   // established
	stateEnding               // rejected, lingers
	stateClosed
)

// open takes a new link in and sends the first message. If too many links are
// pending, the oldest that was not dialled by us has to go; if too many are open
// altogether, the new one, unless we dialled it.
func (l *loop) open(p *peer) {
	l.links[p] = struct{}{}
	if len(l.links) > maxLinks && !p.dialed {
		l.n.counters.crowded.Add(1)
		p.state = stateEnding
		p.close(errCrowded)
		return
	}
	if len(l.young) >= maxPending && !p.dialed {
		oldest := p
		for q := range l.young {
			if !q.dialed && (oldest == p || q.opened.Before(oldest.opened)) {
				oldest = q
			}
		}
		l.n.counters.crowded.Add(1)
		delete(l.young, oldest) // not only when it has ended: many links may open in one round
		l.unhold(oldest)
		oldest.state = stateEnding
		oldest.close(errCrowded)
		if oldest == p {
			return
		}
	}
	p.opened = l.now
	l.young[p] = struct{}{}
	l.hello(p)
}

// hello sends the first message, or repeats it with a new sequence number. The
// link ends with the last one (spec mesh-protocol 5, 1).
func (l *loop) hello(p *peer) {
	p.hellos++
	frame := l.table.Hello(l.now)
	l.log.Debug("first message sent", "link", p.name, "count", p.hellos)
	if p.hellos < helloCount {
		// Nothing may take its place: a peer of the original does not process the
		// first update that it gets, so that must not be one that says something new.
		l.sendControl(p, l.unique(), frame)
		p.nextHello = l.now.Add(helloInterval)
		return
	}
	l.unhold(p)
	p.state = stateEnding
	p.ending.Store(true)
	p.refusal = errSilent
	p.nextHello = time.Time{}
	p.closeAt = l.now.Add(lingerSilent)
	p.out.finish(frame)
}

// tickYoung does what is due for a link that is not established.
func (l *loop) tickYoung(p *peer) {
	if !p.nextHello.IsZero() && !l.now.Before(p.nextHello) {
		l.hello(p)
	}
	if !p.closeAt.IsZero() && !l.now.Before(p.closeAt) {
		p.closeAt = time.Time{}
		p.close(p.refusal)
	}
}

// greet handles a routing update on a link that is not established: the first
// that can be read tells who the peer is (spec mesh-protocol 5, 2). A true first
// message does not list us and says no more. One that does is a later update,
// whose forerunner was lost, and is news like any other.
func (l *loop) greet(p *peer, frame []byte) {
	u, err := wire.ParseUpdate(frame)
	if err != nil || u.ForwardingNode == "" {
		l.n.counters.malformed.Add(1)
		return
	}
	if _, lists := u.Connections[l.n.ID]; lists && u.NodeID == u.ForwardingNode {
		p.early = bytes.Clone(frame)
	}
	if p.hold != nil {
		l.heldUpdate(p, u)
		return
	}
	p.id, p.epoch = u.ForwardingNode, u.UpdateEpoch
	if p.cost, err = p.policy.admit(l.n.ID, p.id); err == nil {
		err = p.policy.verify(p.link, p.id)
	}
	if err != nil {
		l.reject(p, err)
		return
	}
	if old := l.peers[p.id]; old != nil {
		l.contest(p, old)
		return
	}
	l.accept(p)
	if _, listed := u.Connections[l.n.ID]; listed && u.NodeID == p.id && p.state == stateUp {
		l.update(p, frame)
	}
}

// accept establishes a link.
func (l *loop) accept(p *peer) {
	delete(l.young, p)
	p.nextHello = time.Time{}
	p.state = stateUp
	l.peers[p.id] = p
	l.changed = true
	l.n.counters.linksUp.Add(1)
	l.log.Info("link up", "peer", p.id, "link", p.name)
	l.log.Debug("first messages ended", "link", p.name, "peer", p.id)
	l.apply(p, l.table.LinkUp(l.now, p.id, route.Link{Cost: p.cost, Lossy: p.link.Lossy()}))
	if p.state != stateUp {
		return
	}
	l.n.adverts.each(func(key controlKey, frame []byte) { l.sendControl(p, key, frame) })
	l.advertiseSoon()
	p.up.Store(true)
	if p.early != nil {
		l.update(p, p.early)
		p.early = nil
	}
}

// reject refuses a link, or ends an established one, with a reject frame.
func (l *loop) reject(p *peer, cause error) {
	if p.state == stateEnding || p.state == stateClosed {
		return
	}
	l.log.Error("link rejected", "node", l.n.ID, "peer", p.id, "cause", cause)
	wasUp := p.state == stateUp
	p.state = stateEnding
	p.nextHello = time.Time{}
	l.young[p] = struct{}{}
	p.reject(cause, l.now)
	l.unhold(p)
	if wasUp {
		l.down(p)
	}
}

// gone takes a link out that has closed.
func (l *loop) gone(p *peer) {
	wasUp := p.state == stateUp
	p.state = stateClosed
	delete(l.links, p)
	delete(l.young, p)
	l.unhold(p)
	if wasUp {
		l.down(p)
	}
}

// down removes an established link from the tables; a second link to the same
// node that was held takes its place.
func (l *loop) down(p *peer) {
	if l.peers[p.id] != p {
		return
	}
	delete(l.peers, p.id)
	l.n.counters.linksDown.Add(1)
	l.changed = true
	l.apply(nil, l.table.LinkDown(l.now, p.id))
	if h := l.holds[p.id]; h != nil {
		l.promote(h)
	}
}

// serveLink runs a link from its opening to its end and returns why it ended:
// errNodeEnded if the node has ended.
func (n *Node) serveLink(p *peer) error {
	if !n.box.enter() {
		p.link.Close()
		return errNodeEnded
	}
	defer n.box.wg.Done()
	if !n.box.call(func(l *loop) { l.open(p) }) {
		p.link.Close()
		return errNodeEnded
	}
	err := p.serve()
	if !n.box.call(func(l *loop) { l.gone(p) }) {
		return errNodeEnded
	}
	p.logEnd(n.Logger)
	return err
}
