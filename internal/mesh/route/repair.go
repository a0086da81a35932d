package route

import (
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Lossy links lose updates, and nothing else would repair that before the next
// refresh of the origin, minutes later. So an update is repeated on them a few
// times soon after it was sent, unless a newer one has taken its place, and all
// stored updates are sent round again slowly.

// repeat is an update waiting to be sent once more.
type repeat struct {
	due     time.Time
	node    *node
	version uint64
}

// repeatLater queues the present update of n for its next repetition. The
// delays of one queue are equal, so each is in order of time. A full queue
// drops: the trickle gets there later.
func (t *Table) repeatLater(now time.Time, p *peer, n *node, round int) {
	if round < len(repeatAfter) && len(p.again[round]) < min(maxRepeats, max(leastRepeats, maxAllRepeats/len(t.byPeer))) {
		p.again[round] = append(p.again[round], repeat{now.Add(repeatAfter[round]), n, n.version})
	}
}

// repeat sends what is due.
func (t *Table) repeat(now time.Time, p *peer, res *Result) {
	for round := range p.again {
		q := p.again[round]
		i := 0
		for ; i < len(q) && !now.Before(q[i].due); i++ {
			n := q[i].node
			if n.frame == nil || n.version != q[i].version {
				continue
			}
			t.stats.Repeats++
			t.put(now, p, n, res)
			t.repeatLater(now, p, n, round+1)
		}
		if p.again[round] = q[i:]; len(q) == i {
			p.again[round] = nil
		}
	}
}

// Behind tells that a frame with a Key did not fit the queue of a link: the neighbour
// takes them more slowly than they come. It is given all stored updates once more,
// some every second, which is all that there is to remember for it.
func (t *Table) Behind(now time.Time, id wire.NodeID) {
	p := t.byPeer[id]
	if p == nil {
		return
	}
	p.behind = len(t.list)
	if p.trickleAt.IsZero() {
		p.trickleAt = now.Add(trickleEvery)
	}
}

// trickle sends the next few of all stored updates.
func (t *Table) trickle(now time.Time, p *peer, res *Result) {
	if !due(p.trickleAt, now) {
		return
	}
	some := min(trickleMax, (len(t.list)+trickleRound-1)/trickleRound)
	p.trickleAt = now.Add(trickleEvery)
	switch {
	case p.behind > 0:
		some = min(behindMax, p.behind, len(t.list))
		p.behind -= some
	case !p.Lossy:
		p.trickleAt = time.Time{}
		return
	}
	for range some {
		n := t.list[p.cursor%len(t.list)]
		p.cursor = (p.cursor + 1) % len(t.list)
		if n != p.node && n.current(now) {
			t.stats.Repeats++
			t.put(now, p, n, res)
		}
	}
}
