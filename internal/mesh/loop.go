package mesh

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/route"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// loop is the goroutine that owns the changing state of a node: the routing
// table, the links and what is due when. Nothing it does waits for others.
type loop struct {
	n     *Node
	log   *slog.Logger
	now   time.Time // of the present round
	epoch uint64
	table *route.Table
	names names
	peers map[wire.NodeID]*peer // established links
	young map[*peer]struct{}    // links that are pending, held or rejected
	links map[*peer]struct{}    // all open links
	holds map[wire.NodeID]*hold // second links that wait for a decision

	changed      bool                        // the view has to be made anew
	rerouted     bool                        // routes changed: log them
	routesLogDue time.Time                   // not before
	reached      map[wire.NodeID]wire.NodeID // destinations that Reached knows of, as in the last snapshot
	restarted    []wire.NodeID               // of which Reached is to be told
	advertDue    time.Time                   // when own services are next advertised
	sweepDue     time.Time                   // when old advertisements are next looked for
	idleDue      time.Time                   // when a link may next have been idle for too long
	lastAdvert   time.Time                   // of our own advertisements
	nonce        uint64                      // of the last control key that is unique
	fatal        error
}

func newLoop(n *Node, now time.Time) *loop {
	rnd := newRand()
	epoch := newEpoch(now)
	l := &loop{
		n:     n,
		log:   n.Logger,
		now:   now,
		epoch: epoch,
		table: route.New(route.Config{
			Self:  n.ID,
			Epoch: epoch,
			NewID: randomName,
			Rand:  rnd,
		}, now),
		names:     names{},
		peers:     make(map[wire.NodeID]*peer),
		young:     make(map[*peer]struct{}),
		links:     make(map[*peer]struct{}),
		holds:     make(map[wire.NodeID]*hold),
		advertDue: now.Add(advertDelay),
		sweepDue:  now.Add(advertInterval),
		idleDue:   now.Add(n.IdleTimeout),
	}
	l.names.add(n.ID)
	return l
}

// newEpoch makes the epoch of a node that starts now: as the original's, the
// second in the upper 40 bits. The lower ones, random there, are the fraction of the
// second, so that a node that is started twice in one second is newer the second
// time: else its updates would be taken for old ones, and sessions with its
// predecessor be used until their idle limit.
func newEpoch(now time.Time) uint64 {
	return uint64(now.Unix())<<24 | uint64(now.Nanosecond())<<24/uint64(time.Second)
}

// run works until ctx ends or something fatal happens. Each round takes what
// is in the mailbox, does what is due, and publishes the outcome.
func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.n.box.wake:
		case <-timer.C:
		}
		l.now = time.Now()
		calls, peers := l.n.box.take()
		for _, f := range calls {
			f(l)
		}
		for _, p := range peers {
			l.receive(p)
		}
		l.tick()
		l.publish()
		l.logRoutes()
		for _, p := range peers {
			p.in.settle()
		}
		if l.fatal != nil {
			return l.fatal
		}
		timer.Reset(time.Until(l.deadline()))
	}
}

// closeAll closes all links; their serve returns soon. What waits for them,
// the end of streams for one, gets out first if that does not take long.
func (l *loop) closeAll() {
	late := time.NewTimer(flushPatience)
	defer late.Stop()
	for p := range l.links {
		p.out.flush()
	}
	for p := range l.links {
		select {
		case <-p.sent:
			continue
		case <-p.done:
			continue
		case <-late.C:
		}
		break
	}
	for p := range l.links {
		p.close(link.ErrClosed)
	}
}

// tick does what is due.
func (l *loop) tick() {
	if !l.now.Before(l.table.Deadline()) {
		l.apply(nil, l.table.Tick(l.now))
	}
	for p := range l.young {
		l.tickYoung(p)
	}
	for _, h := range l.holds {
		l.decide(h)
	}
	if !l.now.Before(l.idleDue) {
		l.checkIdle()
	}
	if l.n.readvertise.Swap(false) {
		l.advertiseSoon()
	}
	if !l.now.Before(l.advertDue) {
		l.advertise()
	}
	if !l.now.Before(l.sweepDue) {
		l.n.adverts.sweep(l.now, l.table.Snapshot().Known)
		l.sweepDue = l.now.Add(advertInterval)
	}
}

// deadline is when the next tick is due.
func (l *loop) deadline() time.Time {
	d := l.idleDue
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(d) {
			d = t
		}
	}
	earlier(l.table.Deadline())
	earlier(l.advertDue)
	earlier(l.sweepDue)
	for p := range l.young {
		earlier(p.nextHello)
		earlier(p.closeAt)
	}
	for _, h := range l.holds {
		earlier(h.deadline)
	}
	if l.rerouted {
		earlier(l.routesLogDue)
	}
	return d
}

// checkIdle closes links from which nothing was heard, or to which nothing
// could be sent, for too long. As the time of the last frame only grows, no
// link can become idle before the time computed for the next check.
func (l *loop) checkIdle() {
	limit := l.n.IdleTimeout
	clock := l.n.clock()
	next := limit
	for _, p := range l.peers {
		idle := time.Duration(clock - p.heard.Load())
		since := p.writing.Load()
		switch {
		case idle >= limit:
			p.close(errIdle)
		case since != 0 && time.Duration(clock-since) >= limit:
			p.close(errStuck)
		default:
			next = min(next, limit-idle)
		}
	}
	l.idleDue = l.now.Add(max(next, idleCheck))
}

// receive takes the control frames of a peer.
func (l *loop) receive(p *peer) {
	for _, f := range p.in.get() {
		if b := f.Bytes(); !p.ending.Load() {
			switch {
			case wire.Type(b[0]) == wire.TypeUpdate && p.state == statePending:
				l.greet(p, b)
			case p.state != stateUp:
			case wire.Type(b[0]) == wire.TypeUpdate:
				l.update(p, b)
			case wire.Type(b[0]) == wire.TypeAdvert:
				l.advert(p, b)
			}
		}
		f.Release()
	}
}

// update handles a routing update on an established link.
func (l *loop) update(p *peer, frame []byte) {
	if len(l.holds) > 0 {
		l.noteLife(p, frame)
	}
	res, err := l.table.Apply(l.now, p.id, frame)
	if err != nil {
		l.n.counters.malformed.Add(1)
		l.log.Debug("routing update ignored", "peer", p.id, "err", err)
		return
	}
	l.logUpdate(p, frame, &res)
	l.apply(p, res)
}

// advert handles a service advertisement on an established link.
func (l *loop) advert(p *peer, frame []byte) {
	p.life.Add(1)
	a, err := wire.ParseAdvert(frame)
	if err != nil {
		l.n.counters.malformed.Add(1)
		l.log.Debug("service advertisement ignored", "peer", p.id, "err", err)
		return
	}
	news, fits := l.n.adverts.receive(l.now, a, frame)
	if !fits {
		l.n.counters.overLimit.Add(1)
	}
	if news != nil {
		l.log.Debug("service advertisement received", "node", a.NodeID, "service", a.Service)
		l.flood(controlKey{node: a.NodeID, service: a.Service}, news, p)
	}
}

// flood sends a control frame to all peers but one.
func (l *loop) flood(key controlKey, frame []byte, except *peer) {
	for _, p := range l.peers {
		if p != except {
			l.sendControl(p, key, frame)
		}
	}
}

// sendControl queues a control frame for a peer.
func (l *loop) sendControl(p *peer, key controlKey, frame []byte) {
	switch err := p.out.sendControl(key, frame); {
	case err == nil:
	case errors.Is(err, errQueueFull):
		l.n.counters.toldLate.Add(1)
		if key.nonce == 0 && key.service == "" { // services are told of again every minute
			l.table.Behind(l.now, p.id)
		}
	default:
		l.n.counters.tooLong.Add(1)
		l.log.Warn("frame is too long for the link", "peer", p.id, "node", key.node, "bytes", len(frame))
	}
}

// apply carries out what the routing table wants; p is the peer that the event
// came from, or nil.
func (l *loop) apply(p *peer, res route.Result) {
	if len(res.Send) > 0 {
		l.logSent(res.Send)
	}
	for _, s := range res.Send {
		if to := l.peers[s.Peer]; to != nil {
			key := controlKey{node: s.Key}
			if s.Key == "" {
				key = l.unique()
			}
			l.sendControl(to, key, s.Frame)
		}
	}
	for _, id := range res.Names {
		l.names.add(id)
		l.changed = true
	}
	for _, id := range res.Forgotten {
		l.names.remove(id)
		l.changed = true
	}
	if res.Routes {
		l.changed, l.rerouted = true, true
	}
	if res.Duplicate && p != nil {
		l.log.Error("duplicate node", "node", l.n.ID, "peer", p.id)
	}
	if res.Grown {
		l.advertiseSoon()
	}
	if len(res.Restarted) > 0 {
		l.n.streams.restarted(res.Restarted)
		l.changed = true
		l.restarted = append(l.restarted, res.Restarted...)
	}
	if res.Fatal != nil && l.fatal == nil {
		l.fatal = res.Fatal
		l.log.Error("duplicate of another", "node", l.n.ID, "epoch", l.epoch)
	}
	if res.Reject != nil && p != nil {
		l.reject(p, res.Reject)
	}
}

// publish makes the outcome of a round visible to the data path and observers.
func (l *loop) publish() {
	if !l.changed {
		return
	}
	l.changed = false
	snapshot := l.table.Snapshot()
	l.n.view.Store(newView(l.names, snapshot, l.peers))
	l.n.state.Store(newLinkState(l.n.state.Load().turn+1, snapshot, l.peers))
	l.n.streams.routesChanged(l.now)
	if l.rerouted {
		l.log.Debug("routes computed")
	}
	l.tellReached(snapshot.Next)
}

// logRoutes logs the tables when they have changed. They have a line for each node,
// so the larger they are the rarer that is: logLinePause of time for each line.
func (l *loop) logRoutes() {
	if !l.rerouted || l.now.Before(l.routesLogDue) {
		return
	}
	l.rerouted = false
	if l.log.Enabled(context.Background(), slog.LevelInfo) {
		snapshot := l.table.Snapshot()
		l.log.Info("routes changed", "known", snapshot.Known, "routes", snapshot.Next)
		lines := len(snapshot.Known) + len(snapshot.Next)
		for _, list := range snapshot.Known {
			lines += len(list) / 4
		}
		if lines > freeLogLines {
			l.routesLogDue = l.now.Add(min(time.Duration(lines)*logLinePause, maxLogPause))
		}
	}
}

// tellReached tells Reached of the destinations that are new.
func (l *loop) tellReached(next map[wire.NodeID]wire.NodeID) {
	if l.n.Reached == nil {
		return
	}
	news := l.restarted
	for id := range next {
		if _, known := l.reached[id]; !known && !slices.Contains(news, id) {
			news = append(news, id)
		}
	}
	l.reached, l.restarted = next, nil
	if len(news) > 0 {
		l.n.Reached(news)
	}
}

// unique is the key of a control frame that replaces none and is not replaced.
func (l *loop) unique() controlKey {
	l.nonce++
	return controlKey{nonce: l.nonce}
}
