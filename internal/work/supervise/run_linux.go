package supervise

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

const (
	// retryFirst and retryLast bound the pauses between attempts to reach a supervisor that is there but does not answer.
	retryFirst = time.Second
	retryLast  = 30 * time.Second
	// ackBatch is how many delivered ends are acknowledged together at most.
	ackBatch = 256
)

// Run connects to the supervisor if one runs, starts one when a Start needs it, and calls events with all that happens, until ctx ends;
// commands go on. events is called by one goroutine; it may call the client's methods, and as long as it has not returned no other event
// is delivered. It must be idempotent: after a reconnect everything is told again. An end is told again, also to a later daemon, until events
// has returned from it. Run makes the process a child subreaper, and may be called once.
func (c *Client) Run(ctx context.Context, events func(Event)) error {
	c.mu.Lock()
	if c.ran {
		c.mu.Unlock()
		return errors.New("supervise: Run was called before")
	}
	c.ran = true
	c.mu.Unlock()
	if err := becomeSubreaper(); err != nil {
		c.log.Warn("not a subreaper; if the supervisor dies, exits may be lost", "err", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	c.group.Go(func() { c.deliver(ctx, events) })
	c.group.Go(func() { c.resolve(ctx) })
	c.group.Go(func() { c.limits.run(ctx) })
	c.kills.takeUp()
	c.group.Go(func() { c.kills.run(ctx) })
	c.group.Go(func() { sweepStrays(ctx) })
	c.keep(ctx)
	cancel()
	c.mu.Lock()
	close(c.done)
	c.mu.Unlock()
	c.group.Wait()
	return nil
}

// keep has a connection whenever there is a supervisor, and a supervisor whenever one is needed.
func (c *Client) keep(ctx context.Context) {
	retry := retryFirst
	for ctx.Err() == nil {
		l, err := c.connect(ctx, c.startWanted())
		if err == nil {
			retry = retryFirst
			c.serve(ctx, l)
			c.kills.takeUp() // it may have died with some
			continue
		}
		if ctx.Err() != nil {
			return
		}
		again := false
		if !errors.Is(err, errAbsent) {
			c.log.Error("supervisor not reached", "err", err)
			again = true
		}
		c.kills.takeUp() // the same
		c.without(err)
		if !c.rest(ctx, again, retry) {
			retry = min(2*retry, retryLast)
		}
	}
}

// rest waits until there is something to do, or for a while if again is set; false means that the while has passed.
func (c *Client) rest(ctx context.Context, again bool, while time.Duration) bool {
	var late <-chan time.Time
	if again {
		t := time.NewTimer(while)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-late:
		return false
	case <-c.wake:
	case <-ctx.Done():
	}
	return true
}

// startWanted tells whether a start waits for a supervisor.
func (c *Client) startWanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.calls {
		if k.op == opStart && !k.abandoned && !c.fromFilesLocked(k) {
			return true
		}
	}
	return false
}

// fromFilesLocked tells whether a call waits for the files of its unit, not for the supervisor.
func (c *Client) fromFilesLocked(k *call) bool {
	u := c.units[k.unit]
	return u != nil && (slices.Contains(u.before, k) || slices.Contains(u.stops, k))
}

// without settles what can be settled without a supervisor: cause is why there is none.
func (c *Client) without(cause error) {
	// One that refuses us looks after its commands and records their ends, so the files tell all. One that does not answer may do so later. If
	// one could not be started there is none.
	var refused *refusedError
	settled := errors.Is(cause, errAbsent) || errors.As(cause, &refused) || c.nobodyHolds()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = settled
	c.dropAbandonedLocked()
	for _, k := range c.callsLocked() {
		switch {
		case c.fromFilesLocked(k):
		case k.op == opForget:
			if c.settled { // else it may still be told of
				c.finishLocked(k)
			}
		case k.op == opStart && errors.Is(cause, errAbsent):
			poke(c.wake) // it came when we had already looked
		case k.op == opStart:
			k.err = cause
			c.finishLocked(k)
		case c.settled:
			c.stopByFilesLocked(k)
		default:
			k.err = cause
			c.finishLocked(k)
		}
	}
	poke(c.look)
}

// nobodyHolds tells whether there is certainly no supervisor: none has the lock.
func (c *Client) nobodyHolds() bool {
	held, err := lock(c.dir)
	if err == nil {
		held.Close()
	}
	return err == nil || errors.Is(err, os.ErrNotExist)
}

// callsLocked gives the calls in the order in which they were made: a stop that came after a start stays behind it.
func (c *Client) callsLocked() []*call {
	l := make([]*call, 0, len(c.calls))
	for _, k := range c.calls {
		l = append(l, k)
	}
	slices.SortFunc(l, func(a, b *call) int { return cmp.Compare(a.id, b.id) })
	return l
}

// serve reads what the supervisor sends until the connection ends.
func (c *Client) serve(ctx context.Context, l *link) {
	defer l.close()
	// A daemon that ends in order leaves no supervisor behind once nothing runs.
	defer context.AfterFunc(ctx, func() { l.send(&request{Op: opRetire}); l.conn.Close() })()
	c.attach(l)
	if l.exe != "" && l.exe != exeID(c.argv[0]) && l.exe != exeID("/proc/self/exe") {
		l.send(&request{Op: opRetire}) // we were upgraded: the next one shall be too
	}
	var err error
	for {
		var m message
		if err = readLine(l.r, &m); err != nil {
			break
		}
		c.receive(&m)
	}
	c.detach()
	if ctx.Err() != nil {
		c.seeOff(l)
		return
	}
	c.log.Debug("connection to the supervisor ended", "err", err)
	if l.proc == nil {
		return
	}
	// If it died, its commands are ours from the moment on when it is really gone. If it only hung up, dial again.
	l.conn.Close()
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if l.proc.wait(short) == nil {
		l.proc.reap() // if it was our child
		recordUnrecorded(c.starting())
	}
}

// seeOff waits a moment for a supervisor that was told to end and has nothing to do, so that it is gone when we are.
func (c *Client) seeOff(l *link) {
	c.mu.Lock()
	busy := false
	for _, u := range c.units {
		busy = busy || u.process != nil
	}
	c.mu.Unlock()
	if busy || l.proc == nil {
		return
	}
	short, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.proc.wait(short) == nil {
		l.proc.reap() // if it was our child
	}
}

// starting gives the directories of the units that are being started.
func (c *Client) starting() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var dirs []string
	for _, k := range c.calls {
		if k.op == opStart {
			dirs = append(dirs, k.dir)
		}
	}
	return dirs
}

// attach makes l the connection, and repeats on it what was not answered on the one before.
func (c *Client) attach(l *link) {
	l.wmu.Lock() // calls that come after those collected here are written after them
	defer l.wmu.Unlock()
	c.mu.Lock()
	c.link, c.settled = l, false
	c.dropAbandonedLocked()
	var lines []byte
	var special []*call // which are asked for one by one
	for _, k := range c.callsLocked() {
		switch {
		case c.fromFilesLocked(k):
		case len(k.needs) > 0 && !l.can(k.needs):
			special = append(special, k)
		default:
			lines = append(lines, k.line...)
		}
	}
	c.mu.Unlock()
	if len(lines) > 0 {
		l.writeLocked(lines)
	}
	if len(special) > 0 {
		c.group.Go(func() { // until they are refused or written
			for _, k := range special {
				c.send(l, k)
			}
		})
	}
}

func (c *Client) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.settled = nil, false
	for _, u := range c.units {
		u.known = false
	}
}

// deliver calls events, and lets the supervisor forget ends that were dealt with.
func (c *Client) deliver(ctx context.Context, events func(Event)) {
	var acks []string
	for {
		c.mu.Lock()
		var e Event
		some := len(c.events) > 0
		if some {
			e, c.events = c.events[0], c.events[1:]
		} else {
			c.events = nil
		}
		link := c.link
		c.mu.Unlock()
		if len(acks) > 0 && (!some || len(acks) >= ackBatch) {
			if link != nil { // otherwise the next connection tells us again
				link.send(&request{Op: opForget, Units: acks})
			}
			acks = nil
		}
		if ctx.Err() != nil {
			return
		}
		if some {
			events(e)
			if e.Exit != nil {
				acks = append(acks, e.Unit)
			}
			continue
		}
		select {
		case <-c.notify:
		case <-ctx.Done():
			return
		}
	}
}
