package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// The pace at which a node of ansible/receptor is asked for a unit's status:
// after each change fast, then slower.
const (
	fastPoll   = 50 * time.Millisecond
	slowPoll   = time.Second
	pollFactor = 1.5
	// stallPatience is how long output that the node has may take to arrive
	// before the results stream is taken for dead.
	stallPatience = 5 * time.Second
)

// watchV1 mirrors a unit of a node of ansible/receptor (spec work 7.5): it polls
// the status on one connection and fetches output on others.
func (d *driver) watchV1(ctx context.Context, conn *farConn) error {
	lines, err := d.openLines(ctx, conn)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	w, err := d.m.openMirror(d.u)
	if err != nil {
		return err
	}
	defer w.close()
	f := &fetch{d: d, w: w}
	defer f.stop()
	timer := time.NewTimer(fastPoll)
	defer timer.Stop()
	pause := fastPoll
	for {
		st, err := lines.status(d.u.remoteID())
		if controlproto.CodeOf(err) == controlproto.NotFound {
			f.stop()
			d.gone()
			return nil
		}
		if err != nil {
			return err
		}
		done, changed, err := d.takeStatus(ctx, st, f)
		if done || err != nil {
			return err
		}
		if pause = min(time.Duration(float64(pause)*pollFactor), slowPoll); changed {
			pause = fastPoll
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case err := <-f.done:
			if f.ended(err); err != nil {
				return err
			}
			pause = fastPoll
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lines is a version 1 session that asks in text form, as the original does.
type lines struct {
	r *controlproto.Reader
	w *controlproto.Writer
}

// openLines is greet for such a session.
func (d *driver) openLines(ctx context.Context, conn *farConn) (*lines, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, greetingPatience, errors.New("no greeting in time"))
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	l := &lines{r: controlproto.NewReader(conn), w: controlproto.NewWriter(conn)}
	line, err := l.r.ReadLine()
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	if node := d.u.far.RemoteNode; !strings.Contains(string(line), node) {
		return nil, notGreetedBy(node, string(line))
	}
	d.heard()
	return l, nil
}

// status asks for a unit's status.
func (l *lines) status(id string) (controlproto.UnitStatus, error) {
	var st controlproto.UnitStatus
	if err := l.w.Line("work status " + id); err != nil {
		return st, err
	}
	line, err := l.r.ReadLine()
	if err != nil {
		return st, err
	}
	switch text := string(line); {
	case strings.HasPrefix(text, "ERROR") && strings.Contains(text, "unknown work unit"):
		return st, controlproto.New(controlproto.NotFound, controlproto.Clip(text, controlproto.MaxText))
	case json.Unmarshal(line, &st) != nil:
		return st, fmt.Errorf("unexpected answer to work status: %.80s", text)
	}
	return st, nil
}

// takeStatus copies a status and fetches output that is not here. done tells
// that the unit has ended and all of it is.
func (d *driver) takeStatus(ctx context.Context, st controlproto.UnitStatus, f *fetch) (done, changed bool, err error) {
	if !st.State.Ended() {
		changed = d.u.move(change{state: st.State, detail: st.Detail, size: keepSize}, nil)
		if changed {
			d.m.moved(d.u)
		}
	}
	have := f.have()
	switch {
	case have >= st.StdoutSize && st.State.Ended():
		f.stop() // the stream of a canceled unit has no end of its own
		return true, true, d.finish(withExitCode(st), f.w, nil)
	case have >= st.StdoutSize:
		d.served()
	case !f.running:
		if st.State.Ended() && f.ends >= shortTries {
			d.short = shortTries
			return true, true, d.finish(withExitCode(st), f.w, nil)
		}
		f.start(ctx)
		changed = true
	case f.stalled(have):
		return false, false, errors.New("the results stream has stalled")
	}
	return false, changed, nil
}

// fetch brings output over, one results stream at a time. It belongs to the
// driver; only w is used by the goroutine, which done tells the end of.
type fetch struct {
	d       *driver
	w       *mirror
	running bool
	cancel  context.CancelFunc
	done    chan error // 1
	ends    int        // streams in a row that ended without anything new
	from    int64      // size at the start of the stream
	seen    int64      // size when it last grew
	seenAt  time.Time
}

func (f *fetch) have() int64 {
	f.d.u.mu.Lock()
	defer f.d.u.mu.Unlock()
	return f.d.u.size
}

func (f *fetch) start(ctx context.Context) {
	ctx, f.cancel = context.WithCancel(ctx)
	f.done, f.running, f.from = make(chan error, 1), true, f.w.size
	f.seen, f.seenAt = f.from, time.Now()
	go func() { f.done <- f.run(ctx) }() // ends with the stream, or with cancel; stop waits for it
}

// run fetches until the stream ends.
func (f *fetch) run(ctx context.Context) error {
	conn, err := f.d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := f.d.greet(ctx, conn); err != nil {
		return err
	}
	token, err := f.d.sign(false, sign.Work{})
	if err != nil {
		return err
	}
	_, err = conn.client.Follow(ctx, f.d.u.remoteID(), f.w, controlproto.FollowOptions{From: f.w.size, Signature: token})
	if e, ok := errors.AsType[*controlproto.Error](err); ok && strings.Contains(e.Message, "unknown work unit") {
		return nil // the status will tell
	}
	return err
}

// ended notes the end of the stream.
func (f *fetch) ended(err error) {
	f.cancel()
	f.running, f.done = false, nil
	if f.ends++; f.w.size > f.from || err != nil {
		f.ends = 0
	}
}

// stop ends the stream and waits for that.
func (f *fetch) stop() {
	if f.running {
		f.cancel()
		f.ended(<-f.done)
	}
}

// stalled tells that nothing has come for long, though there is more.
func (f *fetch) stalled(have int64) bool {
	if have > f.seen {
		f.seen, f.seenAt = have, time.Now()
	}
	return time.Since(f.seenAt) > stallPatience
}

// withExitCode adds the exit code, which a node of ansible/receptor tells in the
// Detail only (spec work 4).
func withExitCode(st controlproto.UnitStatus) controlproto.UnitStatus {
	st.StderrSize, st.ExitCode, st.Ended = nil, nil, time.Time{}
	code := 0
	if st.State == controlproto.Failed {
		text, ok := strings.CutPrefix(st.Detail, "exit status ")
		n, err := strconv.Atoi(text)
		if !ok || err != nil || n <= 0 {
			return st
		}
		code = n
	}
	if st.State != controlproto.StateCanceled {
		st.ExitCode = &code
	}
	return st
}
