package route

import (
	"slices"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// peer is an established link.
type peer struct {
	id wire.NodeID
	Link
	node *node

	// listed: an update of the peer on this link listed us; the newest that did
	// had this epoch and sequence. checked is the ID of the peer's last own
	// update that passed the checks, so that repeats of it pass undecoded.
	listed     bool
	epoch, seq uint64
	checked    string

	sentAt time.Time     // when it last got an update, of whatever origin
	alive  time.Duration // how long after that it gets a keep-alive

	// Only on lossy links, and on those that are behind; see repair.go.
	behind    int // how many of the stored updates are to be sent once more
	again     [len(repeatAfter)][]repeat
	trickleAt time.Time
	cursor    int
}

func comparePeer(p *peer, id wire.NodeID) int { return strings.Compare(string(p.id), string(id)) }

// deadline is when the link next needs a frame.
func (p *peer) deadline() time.Time {
	d := earlier(p.sentAt.Add(p.alive), p.trickleAt)
	for _, q := range p.again {
		if len(q) > 0 {
			d = earlier(d, q[0].due)
		}
	}
	return d
}

// LinkUp tells that a link to peer is established. The caller has made the
// checks of the handshake (spec mesh-protocol 5, step 2) and has put a Hello
// into the link's queue before. The new link gets our own update, at once or
// within MergeDelay, and all that we know of other nodes that are reachable or
// were heard of just now. The result's Reject is ErrOwnName if peer is our own
// name. A link to peer that is already up is replaced.
func (t *Table) LinkUp(now time.Time, id wire.NodeID, l Link) Result {
	var res Result
	if id == t.c.Self {
		res.Reject = ErrOwnName
		return res
	}
	if t.byPeer[id] != nil {
		t.unlink(id, &res)
	}
	n := t.enter(id, &res)
	p := &peer{id: id, Link: l, node: n, sentAt: now, alive: t.between(keepAliveMin, keepAliveMax)}
	if l.Lossy {
		p.trickleAt = now.Add(trickleEvery)
	}
	n.peer = p
	t.byPeer[id] = p
	i, _ := slices.BinarySearchFunc(t.peers, id, comparePeer)
	t.peers = slices.Insert(t.peers, i, p)
	n.stale, t.self.stale, t.dirty = true, true, true

	t.wantOwn(now)
	t.settle(now, &res)
	t.sync(now, p, &res)
	return res
}

// LinkDown tells that the link to peer has ended, for whatever reason. It does
// nothing if there is none.
func (t *Table) LinkDown(now time.Time, id wire.NodeID) Result {
	var res Result
	if t.byPeer[id] == nil {
		return res
	}
	t.unlink(id, &res)
	if len(t.peers) > 0 {
		t.wantOwn(now)
	} else {
		t.ownDue, t.growDue = time.Time{}, time.Time{}
	}
	t.settle(now, &res)
	return res
}

// unlink removes a link and the two edges that stand for it.
func (t *Table) unlink(id wire.NodeID, res *Result) {
	n := t.byPeer[id].node
	delete(t.byPeer, id)
	i, _ := slices.BinarySearchFunc(t.peers, id, comparePeer)
	t.peers = slices.Delete(t.peers, i, i+1)
	t.stamp++
	n.peer, n.downAt = nil, t.stamp
	n.stale, t.self.stale, t.dirty = true, true, true
	if !n.heard {
		t.bury(res)
	}
}

// between returns a random duration from a to b.
func (t *Table) between(a, b time.Duration) time.Duration {
	return a + time.Duration(t.c.Rand.Int64N(int64(b-a)+1))
}
