package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

const (
	// resumePause is waited before a stream that ended early is taken up again.
	resumePause = time.Second
	// maxResumes is how often in a row that is done without a byte in between.
	maxResumes = 5
	// watchInterval is how often version 1 is asked for a silent unit's state.
	watchInterval = time.Second
)

// progress is stdout that knows how much it was given.
type progress struct {
	a *app
	n atomic.Int64
}

func (p *progress) Write(b []byte) (int, error) {
	n, err := p.a.Write(b)
	p.n.Add(int64(n))
	return n, err
}

// follow prints the output of a unit up to its end and returns its last status.
// A stream that ends before the unit does, because the daemon was restarted, is
// taken up again where it was cut, if the daemon is back within some seconds.
func (d *daemon) follow(ctx context.Context, unit string) (controlproto.UnitStatus, error) {
	if _, err := d.session(ctx); err != nil {
		return controlproto.UnitStatus{}, err
	}
	out := &progress{a: d.a}
	for resumes := 0; ; resumes++ {
		before := out.n.Load()
		last, err := d.followOnce(ctx, unit, out)
		switch {
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case err == nil && last.State.Ended():
			return last, nil
		case errors.Is(err, errOutput), errors.As(err, new(*controlproto.Error)):
			return last, err
		}
		if out.n.Load() > before {
			resumes = 0
		}
		if resumes == maxResumes {
			if err == nil {
				err = errors.New("the results of unit " + unit + " ended before it did")
			}
			return last, err
		}
		if resumes > 0 { // the first time at once
			if err := d.a.pause(ctx, resumePause); err != nil {
				return last, err
			}
		}
	}
}

// followOnce follows a unit on one connection.
func (d *daemon) followOnce(ctx context.Context, unit string, out *progress) (controlproto.UnitStatus, error) {
	c, err := d.session(ctx)
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	from := controlproto.FollowOptions{From: out.n.Load()}
	if c.Version() == controlproto.V2 {
		last, err := c.Follow(ctx, unit, out, from)
		if err != nil {
			d.drop()
		}
		return last, err
	}
	w := d.watch(ctx, unit, out)
	_, err = c.Follow(w.ctx, unit, out, from)
	d.drop()
	if last, canceled := w.stop(); canceled {
		return last, nil
	}
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	return d.status(ctx, unit)
}

// watch looks out for a unit that was cancelled while its results are streamed
// in version 1, where an ansible/receptor daemon does not end such a stream.
type watch struct {
	ctx  context.Context // ends when the unit is found cancelled
	end  context.CancelFunc
	done chan controlproto.UnitStatus // one status: cancelled, or the zero one
}

func (d *daemon) watch(ctx context.Context, unit string, out *progress) *watch {
	ctx, end := context.WithCancel(ctx)
	w := &watch{ctx: ctx, end: end, done: make(chan controlproto.UnitStatus, 1)}
	// The watcher has a session of its own, as d's is busy. It ends when the
	// context does, and stop waits for it.
	own := &daemon{a: d.a, target: d.target, v1: true}
	go func() {
		defer end()
		defer own.close()
		w.done <- own.waitCanceled(ctx, unit, out)
	}()
	return w
}

// stop ends the watch. canceled tells that the unit was.
func (w *watch) stop() (last controlproto.UnitStatus, canceled bool) {
	w.end()
	last = <-w.done
	return last, last.State == controlproto.StateCanceled
}

// waitCanceled returns when the unit is cancelled and nothing more came out of
// it for a while, or ctx ends. It asks only while the stream is silent.
func (d *daemon) waitCanceled(ctx context.Context, unit string, out *progress) controlproto.UnitStatus {
	was, found := out.n.Load(), false
	for {
		if d.a.pause(ctx, watchInterval) != nil {
			return controlproto.UnitStatus{}
		}
		now := out.n.Load()
		if now != was {
			was, found = now, false
			continue
		}
		u, err := d.status(ctx, unit)
		if err != nil || u.State != controlproto.StateCanceled {
			found = false
			continue
		}
		// The far end of the output may still be on its way, once.
		if found || now >= u.StdoutSize {
			return u
		}
		found = true
	}
}
