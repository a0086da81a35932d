package route

import (
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// forwarded returns an update as we pass it on, or nil if it cannot be: a frame
// close to the limit may exceed it with our name in it.
func (t *Table) forwarded(frame []byte) []byte {
	f, err := wire.ForwardUpdate(make([]byte, 0, len(frame)+len(t.c.Self)), frame, t.c.Self)
	if err != nil {
		t.stats.Oversize++
		return nil
	}
	return f
}

// passOn sends an update to all links but the one it came from. With a node,
// the frame is that node's stored update, and lossy links get it again.
func (t *Table) passOn(now time.Time, from *peer, n *node, frame []byte, res *Result) {
	for _, p := range t.peers {
		if p == from {
			continue
		}
		t.stats.Forwarded++
		if n != nil {
			t.send(now, p, n, res)
			continue
		}
		p.sentAt = now
		res.Send = append(res.Send, Send{Peer: p.id, Frame: frame})
	}
}

// send puts the stored update of n on a link for the first time.
func (t *Table) send(now time.Time, p *peer, n *node, res *Result) {
	t.put(now, p, n, res)
	if p.Lossy {
		t.repeatLater(now, p, n, 0)
	}
}

// put puts the stored update of n on a link.
func (t *Table) put(now time.Time, p *peer, n *node, res *Result) {
	p.sentAt = now
	res.Send = append(res.Send, Send{Peer: p.id, Key: n.id, Frame: n.frame})
}

// sync gives a new link what we know of others. The peer drops from the raw
// bytes what it knows already.
func (t *Table) sync(now time.Time, p *peer, res *Result) {
	for _, n := range t.list {
		if n != p.node && n.current(now) {
			t.stats.Synced++
			t.send(now, p, n, res)
		}
	}
}

// current tells whether n's stored update is worth giving to others. That of a
// node out of reach is not, unless it came just now: otherwise nodes that have
// long ended would live on by being passed from newcomer to newcomer.
func (n *node) current(now time.Time) bool {
	return n.frame != nil && (n.reach || now.Sub(n.heardAt) < recent)
}

// keepAlive repeats our own update, the same bytes, on a link that got nothing
// else for a while. It tells the peer that we live, and nobody passes it on.
func (t *Table) keepAlive(now time.Time, p *peer, res *Result) {
	if now.Before(p.sentAt.Add(p.alive)) {
		return
	}
	t.stats.KeepAlives++
	p.alive = t.between(keepAliveMin, keepAliveMax)
	t.put(now, p, t.self, res)
}
