package route

import (
	"sort"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Our own update is flooded
//
//   - when a link came or went: at once, or MergeDelay after the one before;
//   - when a node appeared, restarted or became reachable, because it may know
//     nothing of us: likewise, but spread over a window that grows with the
//     number of nodes, since all of them do the same;
//   - again after refreshFirst if nothing happens, then ever more rarely.
//
// Each has the next sequence number and goes to all links, so on each link they
// leave in order of sequence.

// Hello returns the first message for a link that is not yet established: our
// own update, which does not list that link. It takes a sequence number, so
// each message of the handshake needs a new one (spec mesh-protocol 5, step 1).
func (t *Table) Hello(now time.Time) []byte {
	return t.makeOwn(now, 0)
}

// makeOwn builds the next update of our own.
func (t *Table) makeOwn(now time.Time, suspect uint64) []byte {
	t.seq++
	u := wire.Update{
		NodeID:             t.c.Self,
		UpdateID:           t.c.NewID(),
		UpdateEpoch:        t.c.Epoch,
		UpdateSequence:     t.seq,
		Connections:        make(map[wire.NodeID]float64, len(t.peers)),
		ForwardingNode:     t.c.Self,
		SuspectedDuplicate: suspect,
	}
	for _, p := range t.peers {
		u.Connections[p.id] = p.Cost
	}
	t.seen.add(now, seenKey([]byte(u.UpdateID)))
	frame := wire.AppendUpdate(nil, u)
	t.stats.LeftOut = 0
	if len(frame) > wire.MaxFrame {
		frame = t.truncate(u)
	}
	return frame
}

// truncate leaves the links with the highest IDs out of an update that is too
// long, as few as possible. A longer list would break TCP links (spec
// mesh-protocol 17), and the same links are left out each time, so no others
// suffer.
func (t *Table) truncate(u wire.Update) []byte {
	var frame []byte
	tooMany := sort.Search(len(t.peers), func(n int) bool {
		u.Connections = make(map[wire.NodeID]float64, n+1)
		for _, p := range t.peers[:n+1] {
			u.Connections[p.id] = p.Cost
		}
		f := wire.AppendUpdate(nil, u)
		if len(f) > wire.MaxFrame {
			return true
		}
		if len(f) > len(frame) {
			frame = f
		}
		return false
	})
	t.stats.LeftOut = len(t.peers) - tooMany
	if frame == nil {
		u.Connections = map[wire.NodeID]float64{}
		frame = wire.AppendUpdate(nil, u)
	}
	return frame
}

// wantOwn requests an update of our own because our links changed.
func (t *Table) wantOwn(now time.Time) {
	if t.ownDue.IsZero() {
		t.ownDue = later(now, t.ownAt.Add(MergeDelay))
	}
}

// wantGrow requests one because a node has appeared that may not know us.
func (t *Table) wantGrow(now time.Time) {
	if len(t.peers) == 0 {
		return
	}
	spread := min(growMax, growSpread*time.Duration(t.heard))
	due := later(now.Add(t.between(0, spread)), t.ownAt.Add(MergeDelay))
	if t.growDue.IsZero() || due.Before(t.growDue) {
		t.growDue = due
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// flushOwn floods our own update if it is time.
func (t *Table) flushOwn(now time.Time, res *Result) {
	if len(t.peers) == 0 {
		return
	}
	switch {
	case due(t.ownDue, now):
		t.interval = refreshFirst
	case due(t.growDue, now):
	case due(t.refresh, now):
		t.interval = min(refreshMax, t.interval*refreshGrowth)
		t.stats.Refreshes++
	default:
		return
	}
	t.ownDue, t.growDue, t.ownAt = time.Time{}, time.Time{}, now
	t.refresh = now.Add(t.between(t.interval-t.interval/10, t.interval))
	t.self.frame = t.makeOwn(now, 0)
	t.self.version++
	t.stats.Floods++
	for _, p := range t.peers {
		t.send(now, p, t.self, res)
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// accuse tells everyone that the node of this epoch uses our name (spec
// mesh-protocol 6.1, rule 2.3). An update of ours without an accusation follows,
// since what others know of us may now be what the other said. Accusations are
// at least MergeDelay apart; the next update of the other leads to one again.
func (t *Table) accuse(now time.Time, epoch uint64, res *Result) {
	res.Duplicate = true
	if !t.accusedAt.IsZero() && now.Sub(t.accusedAt) < MergeDelay {
		return
	}
	t.accusedAt, t.ownAt = now, now
	frame := t.makeOwn(now, epoch)
	for _, p := range t.peers {
		p.sentAt = now
		res.Send = append(res.Send, Send{Peer: p.id, Frame: frame})
	}
	t.wantOwn(now)
}
