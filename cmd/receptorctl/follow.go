package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

const (
	// resumePause is waited before a stream that ended early is taken up again.
	resumePause = time.Second
	// resumeFor is how long that is tried without any success.
	resumeFor = 60 * time.Second
	// resumePatience bounds one attempt to reach the daemon again.
	resumePatience = 10 * time.Second
	// watchInterval is how often version 1 is asked for a silent unit's state.
	watchInterval = time.Second
)

// progress is a stream of a unit that is printed, and how far that is. Its errors
// are errOutput.
type progress struct {
	w io.Writer
	n atomic.Int64
}

func (p *progress) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n.Add(int64(n))
	if err != nil && !errors.Is(err, errOutput) {
		err = fmt.Errorf("%w: %w", errOutput, err)
	}
	return n, err
}

// following is a unit whose output is printed.
type following struct {
	unit   string
	stdout *progress // nil: not wanted
	stderr *progress // nil: not wanted
	// apart makes it an error that the unit keeps no error output apart.
	apart bool

	heard bool // the daemon told of the unit on the connection of now
}

// printed is how much of the unit was printed.
func (f *following) printed() (n int64) {
	for _, p := range []*progress{f.stdout, f.stderr} {
		if p != nil {
			n += p.n.Load()
		}
	}
	return n
}

// follow prints the output of a unit up to its end and returns its last status.
// A stream that ends before the unit does, because the daemon was restarted, is
// taken up again where it was cut, if the daemon is back in time.
func (d *daemon) follow(ctx context.Context, f *following) (controlproto.UnitStatus, error) {
	if _, err := d.session(ctx); err != nil {
		return controlproto.UnitStatus{}, err
	}
	var since time.Time // the stream was lost
	var why string
	for tries, told := 0, false; ; tries++ {
		before := f.printed()
		f.heard = false
		last, err := d.followOnce(ctx, f)
		switch {
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case err == nil && last.State.Ended():
			return last, nil
		case errors.Is(err, errOutput), final(err):
			return last, err
		}
		if err == nil {
			err = errors.New("the results of unit " + f.unit + " ended before it did")
		}
		if f.heard || f.printed() > before || tries == 0 {
			tries, since, why = 0, time.Now(), lostText(err)
		}
		if f.printed() > before { // go on at once
			continue
		}
		if tries > int(resumeFor/resumePause) || time.Since(since) > resumeFor {
			return last, f.lost(err)
		}
		if !told {
			told = true
			d.a.hint(why + "; trying to reach it again for " + inSeconds(resumeFor))
		}
		if err := d.a.pause(ctx, resumePause); err != nil {
			return last, err
		}
	}
}

// final tells that an error of the daemon is its last word.
func final(err error) bool {
	if f, ok := errors.AsType[*failure](err); ok && f.unit {
		return true
	}
	e, ok := errors.AsType[*controlproto.Error](err)
	return ok && e.Code != controlproto.Unreachable
}

func lostText(err error) string {
	if e, ok := errors.AsType[*controlproto.Error](err); ok {
		return e.Message // it is shutting down
	}
	return "the connection to the daemon was lost"
}

func inSeconds(d time.Duration) string { return plural(int(d/time.Second), "second") }

// lost is err after the daemon could not be reached again.
func (f *following) lost(err error) error {
	was := *explain(err)
	was.err = err
	was.hints = append(was.hints[:len(was.hints):len(was.hints)],
		"tried for "+inSeconds(resumeFor)+"; what is printed is not all",
		"`receptorctl work results "+f.unit+"` prints the output of the unit when the daemon is back")
	return &was
}

// followOnce follows a unit on one connection.
func (d *daemon) followOnce(ctx context.Context, f *following) (controlproto.UnitStatus, error) {
	c, err := d.sessionAgain(ctx)
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	if c.Version() == controlproto.V2 {
		last, err := f.version2(ctx, c)
		if err != nil {
			d.drop()
		}
		return last, err
	}
	if f.apart {
		return controlproto.UnitStatus{}, &failure{code: exitFailure, unit: true,
			message: "the daemon keeps no error output apart: it speaks version 1 of the control protocol only"}
	}
	w := d.watch(ctx, f.unit, f.stdout)
	_, err = c.Follow(w.ctx, f.unit, f.stdout, controlproto.FollowOptions{From: f.stdout.n.Load()})
	d.drop()
	if last, canceled := w.stop(); canceled {
		return last, nil
	}
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	return d.status(ctx, f.unit)
}

// sessionAgain is session, but does not wait for ever for a daemon that is away.
func (d *daemon) sessionAgain(ctx context.Context) (*controlproto.Client, error) {
	if d.client != nil {
		return d.client, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, resumePatience, errors.New("the daemon does not answer"))
	defer cancel()
	return d.session(ctx)
}

// version2 follows on a session of version 2.
func (f *following) version2(ctx context.Context, c *controlproto.Client) (controlproto.UnitStatus, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := controlproto.FollowOptions{Status: func(u controlproto.UnitStatus) {
		f.heard = true
		// Until a unit was handed on nobody knows where its error output goes.
		if f.apart && u.StderrSize == nil && u.State != controlproto.Pending {
			cancel(f.mixed(u))
		}
	}}
	var out io.Writer
	if f.stdout != nil {
		out, o.From = f.stdout, f.stdout.n.Load()
	}
	if f.stderr != nil {
		o.Stderr, o.StderrFrom = f.stderr, f.stderr.n.Load()
	}
	last, err := c.Follow(ctx, f.unit, out, o)
	if cause, ok := errors.AsType[*failure](context.Cause(ctx)); ok {
		err = cause
	}
	if err == nil && f.apart && last.StderrSize == nil && last.State.Ended() {
		err = f.mixed(last)
	}
	return last, err
}

// mixed is the error of a unit that keeps no error output apart.
func (f *following) mixed(u controlproto.UnitStatus) error {
	e := &failure{code: exitFailure, unit: true,
		message: "unit " + f.unit + " keeps no error output apart: what there is of it is in its output",
		hints: []string{"`receptorctl work results " + f.unit + "` prints both",
			"`receptorctl work submit --stderr separate`, or `stderr: separate` in the configuration of the work type, keeps it apart"}}
	if u.State == controlproto.Failed {
		e.hints = append(e.hints, "the unit failed: "+u.Detail)
	}
	return e
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
