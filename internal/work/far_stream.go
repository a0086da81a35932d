package work

import (
	"context"
	"errors"
	"os"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// The payload of a streamed unit is sent on a connection of its own, beside the
// one that brings its output: both may flow for hours, and each may be cut. The
// other node counts what it has, so a repeated submission goes on there.

// feed is one submission of a streamed unit under way.
type feed struct {
	stop  context.CancelFunc
	taken chan struct{} // closed when the other node has the unit
	ended chan struct{} // closed at the end
	err   error         // nil: the payload is all there. Set before ended is closed
}

// halt ends the submission and waits for that.
func (f *feed) halt() {
	f.stop()
	<-f.ended
}

// startFeed begins to send the payload of s. again tells that the other node may
// know the unit. conn belongs to the feed from now on.
func (d *driver) startFeed(conn *farConn, s controlproto.Submit, again bool) (*feed, error) {
	file, err := os.Open(d.m.store.path(d.u.id, fileStdin))
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(d.m.ctx)
	f := &feed{stop: stop, taken: make(chan struct{}), ended: make(chan struct{})}
	reading, stopReading := context.WithCancel(ctx)
	go func() { // ends with the payload or the connection; halt ends it and waits for it
		defer close(f.ended)
		defer stop()
		defer stopReading()
		defer file.Close()
		defer conn.Close()
		taken := false
		_, f.err = conn.client.Submit(ctx, s, &growing{ctx: reading, u: d.u, file: file}, controlproto.SubmitOptions{
			Created: func(controlproto.UnitEvent) {
				if !taken {
					taken = true
					d.heard()
					close(f.taken)
				}
			},
			Resume:  again,
			Abandon: stopReading,
			Seal:    func() (string, error) { return d.sealPayload(s.UnitID) },
		})
	}()
	return f, nil
}

// submission is the request that hands the unit on to one of our nodes, unsigned.
func (d *driver) submission(id string) controlproto.Submit {
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	s := controlproto.Submit{
		Node: d.u.far.RemoteNode, WorkType: d.u.far.RemoteWorkType, UnitID: id,
		Params: d.u.far.RemoteParams, Stream: d.u.stream,
	}
	if d.u.live != nil {
		s.Stderr = d.u.live.stderr
	}
	return s
}

// submitStream hands a streamed unit on. It returns when the other node has it;
// the payload follows while the unit is watched.
func (d *driver) submitStream(ctx context.Context, conn *farConn) error {
	id, again, err := d.claim()
	if err != nil {
		conn.Close()
		return err
	}
	s := d.submission(id)
	if err := d.signSubmission(&s, nil); err != nil {
		conn.Close()
		return d.unsigned(err, again)
	}
	f, err := d.startFeed(conn, s, again)
	if err != nil {
		return d.refused(controlproto.New(controlproto.Internal, err.Error()))
	}
	select {
	case <-f.taken:
	case <-f.ended:
		select {
		case <-f.taken:
		default:
			// Such a refusal may come after the unit was made there: see to it that it is released.
			return d.submitFailed(ctx, id, f.err, controlproto.CodeOf(f.err) == controlproto.Internal)
		}
	case <-ctx.Done():
		f.halt()
		return context.Cause(ctx)
	}
	d.feed = f
	return d.started(id)
}

// streaming tells that the payload is to be handed on while it comes, and
// whether all of it is here.
func (d *driver) streaming() (streamed, whole bool) {
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	return d.u.stream, d.u.payloadEnded
}

// awaitPayload waits until the payload is complete, for a node that cannot read
// it while it is sent.
func (d *driver) awaitPayload(ctx context.Context) error {
	d.answer(errandSubmit, errWaits)
	set := func(b bool) {
		d.u.mu.Lock()
		defer d.u.mu.Unlock()
		if d.u.live != nil && d.u.live.awaits != b {
			d.u.live.awaits = b
			d.u.moves++
			d.u.wakeLocked()
		}
	}
	set(true)
	defer set(false)
	for {
		d.u.mu.Lock()
		done, news := d.u.payloadEnded || d.u.removed || d.u.rec.State.Ended(), d.u.newsLocked()
		d.u.mu.Unlock()
		if done {
			return errInterrupted
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errWaits says that a unit is not handed on before its payload is complete.
var errWaits = errors.New("the unit waits for the end of its payload")

// feeding sends what is missing of the payload for as long as the unit is
// watched, until stop is called.
func (d *driver) feeding(ctx context.Context) (stop func()) {
	d.u.mu.Lock()
	wanted := d.u.stream && !d.fed && !d.u.far.LocalCancelled && !d.u.far.LocalReleased
	d.u.mu.Unlock()
	if !wanted {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() { // ends with stop, which waits for it
		defer close(over)
		d.keepFeeding(ctx)
	}()
	return func() { cancel(); <-over }
}

func (d *driver) keepFeeding(ctx context.Context) {
	defer func() {
		if d.feed != nil {
			d.feed.halt()
			d.feed = nil
		}
	}()
	for b := newBackoff(); ; {
		err := d.feedOnce(ctx, b)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			d.fed = true
			d.noteFed("")
			return
		}
		d.noteFed(err.Error())
		if !b.wait(ctx, nil) {
			return
		}
	}
}

// feedOnce sends the payload on one connection, which may have been opened
// before. nil means that no more is to be sent.
func (d *driver) feedOnce(ctx context.Context, b *backoff) error {
	if d.feed == nil {
		f, err := d.refeed(ctx)
		if f == nil {
			return err
		}
		d.feed = f
	}
	f := d.feed
	select {
	case <-f.taken:
		b.reset()
		d.noteFed("")
		select {
		case <-f.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	case <-f.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.feed = nil
	return f.err
}

// refeed goes on with a payload after a cut. Without a feed and an error nothing
// is to be sent: a unit that has ended, or that the other node does not know, is
// not submitted again, as that would start the work a second time.
func (d *driver) refeed(ctx context.Context) (*feed, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	if !conn.ours {
		conn.Close()
		return nil, errors.New("it was replaced by another kind of node")
	}
	id := d.u.remoteID()
	var st controlproto.UnitStatus
	err = conn.client.Call(ctx, map[string]any{"command": "work", "subcommand": "status", "unitid": id}, &st)
	if err != nil || st.State.Ended() {
		conn.Close()
		if controlproto.CodeOf(err) == controlproto.NotFound {
			err = nil
		}
		return nil, err
	}
	d.heard()
	s := d.submission(id)
	if err := d.signSubmission(&s, nil); err != nil {
		conn.Close()
		return nil, err
	}
	return d.startFeed(conn, s, true)
}

// noteFed notes why the payload cannot be handed on; empty: it can.
func (d *driver) noteFed(why string) {
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	l, why := d.u.live, controlproto.Clip(why, maxRemark)
	if l == nil || l.fed == why {
		return
	}
	if why != "" {
		d.m.c.Logger.Warn("payload of a unit cannot be handed on, trying again", "unit", d.u.id, "node", d.u.far.RemoteNode, "err", why)
	}
	l.fed = why
}
