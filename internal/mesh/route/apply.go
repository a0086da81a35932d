package route

import (
	"fmt"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Apply takes a frame of type update that came over the established link to
// peer (spec mesh-protocol 5 and 6.1). An error means that the frame is
// malformed (a *wire.Error) or the link unknown (ErrNoLink): it has been
// counted and ignored, and the link stays up. The frame is not kept.
func (t *Table) Apply(now time.Time, id wire.NodeID, frame []byte) (Result, error) {
	p := t.byPeer[id]
	if p == nil {
		return Result{}, fmt.Errorf("node %q: %w", id, ErrNoLink)
	}
	t.stats.Received++
	if t.repeated(p, frame) {
		t.stats.Duplicates++
		return Result{}, nil
	}
	u, err := wire.ParseUpdate(frame)
	if err != nil {
		t.stats.Malformed++
		return Result{}, err
	}
	ours, err := t.check(p, &u)
	if err != nil {
		return Result{Reject: err}, nil
	}
	if !ours {
		t.stats.Ignored++
		return Result{}, nil
	}
	var res Result
	t.receive(now, p, &u, frame, &res)
	t.settle(now, &res)
	return res, nil
}

// repeated tells from the raw bytes that an update need not be looked at. What
// the peer says about itself is checked against the link even if it is known
// through others, but only once.
func (t *Table) repeated(p *peer, frame []byte) bool {
	origin, id, ok := wire.PeekOrigin(frame)
	if !ok {
		return false
	}
	if string(origin) == string(p.id) {
		return p.listed && string(id) == p.checked
	}
	return t.seen.has(seenKey(id))
}

// check makes the checks on an established link. An error is the reason to
// reject it; false means that the update is to be ignored.
func (t *Table) check(p *peer, u *wire.Update) (ok bool, reject error) {
	if u.ForwardingNode != p.id {
		return false, &ForwarderError{From: p.id, To: u.ForwardingNode}
	}
	if u.NodeID != p.id {
		return true, nil
	}
	late := u.UpdateEpoch < p.epoch || u.UpdateEpoch == p.epoch && u.UpdateSequence < p.seq
	cost, listed := u.Connections[t.c.Self]
	switch {
	case !listed && (!p.listed || late):
		// A first message from before the peer had established the link. Links
		// that reorder may bring it late; the original would reject it then.
		return false, nil
	case !listed:
		return false, ErrUnlisted
	case cost != p.Cost:
		return false, &CostError{Ours: p.Cost, Theirs: cost}
	}
	p.listed, p.checked = true, u.UpdateID
	if !late {
		p.epoch, p.seq = u.UpdateEpoch, u.UpdateSequence
	}
	return true, nil
}

// receive applies the rules of spec mesh-protocol 6.1.
func (t *Table) receive(now time.Time, p *peer, u *wire.Update, frame []byte, res *Result) {
	switch {
	case u.NodeID == "": // rule 1
		t.stats.Ignored++
		return
	case u.NodeID == t.c.Self: // rule 2
		t.stats.Ignored++
		t.aboutUs(now, u, res)
		return
	}
	key := seenKey([]byte(u.UpdateID)) // rule 3
	if t.seen.has(key) {
		t.stats.Duplicates++
		return
	}
	t.seen.add(now, key)

	n := t.nodes[u.NodeID]
	if u.SuspectedDuplicate != 0 { // rule 4
		if n != nil && n.heard && n.epoch == u.SuspectedDuplicate {
			n.epoch, n.seq = u.UpdateEpoch, u.UpdateSequence
			t.keep(n, nil) // it is the duplicate's, and must not be given to anyone
		}
		t.stats.Accepted++
		suspects := *u
		res.News, res.Suspects = true, &suspects
		if f := t.forwarded(frame); f != nil {
			t.passOn(now, p, nil, f, res)
		}
		return
	}
	if n != nil && n.heard { // rule 5
		if u.UpdateEpoch < n.epoch || u.UpdateEpoch == n.epoch && u.UpdateSequence <= n.seq {
			t.stats.Stale++
			return
		}
	}
	if !t.fits(n, u, frame) {
		t.stats.OverLimit++
		return
	}
	t.record(now, p, u, frame, res)
}

// aboutUs handles an update in our own name (rule 2).
func (t *Table) aboutUs(now time.Time, u *wire.Update, res *Result) {
	switch {
	case u.UpdateEpoch == t.c.Epoch:
	case u.SuspectedDuplicate == t.c.Epoch:
		res.Fatal = &DuplicateError{Node: t.c.Self, Epoch: t.c.Epoch}
	case u.UpdateEpoch > t.c.Epoch:
		t.accuse(now, u.UpdateEpoch, res)
	}
}

// fits tells whether there is room for an update of n, which may be nil.
func (t *Table) fits(n *node, u *wire.Update, frame []byte) bool {
	size, edges := t.bytes+len(frame)+len(t.c.Self), t.edges+len(u.Connections)
	if n != nil {
		size -= len(n.frame)
		edges -= len(n.out)
	}
	known := n != nil && (n.heard || n.peer != nil)
	return size <= MaxStored && (known || t.heard < MaxNodes) && (edges <= MaxEdges || edges <= t.edges)
}

// record enters news of a node and passes it on (rules 5 to 7).
func (t *Table) record(now time.Time, p *peer, u *wire.Update, frame []byte, res *Result) {
	t.stats.Accepted++
	res.News = true
	n := t.enter(u.NodeID, res)
	changed := t.replace(n, u.Connections)
	t.dirty = t.dirty || changed
	switch {
	case !n.heard:
		n.heard = true
		t.heard++
		if n.peer == nil { // a neighbour hears of us anyway
			t.wantGrow(now)
		}
	case n.epoch != u.UpdateEpoch:
		res.Restarted = append(res.Restarted, n.id)
		t.wantGrow(now)
	}
	n.epoch, n.seq, n.heardAt = u.UpdateEpoch, u.UpdateSequence, now
	f := t.forwarded(frame)
	t.keep(n, f)
	if f != nil {
		t.passOn(now, p, n, f, res)
	}
}
