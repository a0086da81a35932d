package mesh

import (
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// hold is a second link to a node that has one already. ansible/receptor
// rejects such a link at once, which has two drawbacks: after an unclean loss
// (power, network) the dead old link locks the node out until its idle limit,
// and two nodes that dial each other at the same time may each reject the
// other's link for ever. So the newcomer waits, without being established,
// until it is clear which of the two is alive:
//
//   - The old link was silent for longer than the keep-alive interval: the
//     newcomer takes over at once.
//   - The old link ends, perhaps because the peer rejects it: the newcomer
//     takes over.
//   - The same process at the peer says on the newcomer that it is connected
//     to us. It would not if the old link were up at its end, so the newcomer
//     takes over. Only with simultaneous dials both ends can have established
//     a different link; then the one dialled by the smaller ID wins.
//   - A sign of life arrives on the old link, which is probed with a ping: the
//     newcomer is another process with the same ID, or late, and is rejected.
//   - Nothing of this within holdTime: the newcomer takes over if the peer
//     says that it is connected to us, as a process that restarted would.
//
// All this is invisible to the peer, who just sees first messages repeated.
type hold struct {
	old, newcomer *peer
	life          uint64 // of the old link, when the hold began
	deadline      time.Time
	probe         *socket // gets the answer to the ping
}

// contest decides about a second link to a node, or holds it.
func (l *loop) contest(p, old *peer) {
	if l.holds[p.id] != nil {
		l.reject(p, errConnected)
		return
	}
	if time.Duration(l.n.clock()-old.heard.Load()) >= silenceReplaced {
		l.replace(old, p)
		return
	}
	h := &hold{old: old, newcomer: p, life: old.life.Load(), deadline: l.now.Add(holdTime)}
	l.holds[p.id] = h
	p.hold = h
	l.probe(h)
}

// probe sends a ping over the old link itself, ahead of data.
func (l *loop) probe(h *hold) {
	h.probe = l.n.local.ephemeral(&socket{
		node: l.n,
		sink: func(_ *destination, _ wire.ServiceName, f *link.Frame) {
			f.Release()
			h.old.life.Add(1)
			l.n.box.poke()
		},
	})
	frame := wire.AppendHeader(nil, wire.Header{
		Hops: maxHops - 1,
		Src:  l.n.hash,
		Dst:  h.old.id.Hash(),
		From: h.probe.name,
		To:   wire.Ping.Name(),
	})
	l.sendControl(h.old, l.unique(), frame)
}

// heldUpdate handles a routing update on a link that is held.
func (l *loop) heldUpdate(p *peer, u wire.Update) {
	if u.ForwardingNode != p.id {
		l.reject(p, errChanged(p.id, u.ForwardingNode))
		return
	}
	if _, ok := u.Connections[l.n.ID]; ok && u.NodeID == p.id {
		p.listsUs = true
		p.epoch = u.UpdateEpoch
		l.decide(p.hold)
	}
}

// noteLife looks for a routing update that only an established peer sends.
func (l *loop) noteLife(p *peer, frame []byte) {
	u, err := wire.ParseUpdate(frame)
	if err != nil {
		return
	}
	if _, lists := u.Connections[l.n.ID]; lists || u.NodeID != p.id {
		p.life.Add(1)
	}
}

// decide applies the rules above to a link that is held.
func (l *loop) decide(h *hold) {
	p, old := h.newcomer, h.old
	alive := old.life.Load() != h.life
	samePeer := p.epoch == old.epoch
	simultaneous := p.dialed != old.dialed && p.opened.Sub(old.opened) < youngLink
	preferred := p.dialed == (l.n.ID < p.id) // dialled by the node with the smaller ID
	late := !l.now.Before(h.deadline)
	switch {
	case p.listsUs && samePeer && (preferred || !simultaneous):
		l.replace(old, p)
	case alive && !(simultaneous && preferred && !late):
		l.reject(p, errConnected)
	case late && p.listsUs:
		l.replace(old, p)
	case late:
		l.reject(p, errConnected)
	}
}

// replace closes the old link and establishes the newcomer.
func (l *loop) replace(old, p *peer) {
	l.unhold(p)
	l.log.Info("link replaced", "peer", p.id, "link", old.name)
	old.close(errReplaced)
	old.state = stateClosed
	l.down(old)
	l.accept(p)
}

// promote establishes a held link whose rival is gone.
func (l *loop) promote(h *hold) {
	l.unhold(h.newcomer)
	l.accept(h.newcomer)
}

// unhold ends the hold of p, if there is one.
func (l *loop) unhold(p *peer) {
	if p.hold == nil {
		return
	}
	p.hold.probe.Close()
	delete(l.holds, p.id)
	p.hold = nil
}
