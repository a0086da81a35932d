package work

import (
	"context"
	"errors"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// A stream that only reads notices late that the other side has given it up: the
// node was restarted, or the link was cut for too long. So when a stream is
// silent, another connection asks whether there is anything that it should have
// brought.
const (
	firstProbe = 5 * time.Second
	lastProbe  = time.Minute
	// probePatience is how long the stream has, after a probe has found news, to
	// bring them.
	probePatience = 2 * time.Second
	// answerPatience is how long the node has to answer a probe before it counts as silent.
	answerPatience = 10 * time.Second
)

// probe watches over a stream until stop is called; giveUp ends the stream.
func (d *driver) probe(ctx context.Context, giveUp context.CancelCauseFunc) (stop func()) {
	p := &prober{d: d, giveUp: giveUp, pause: firstProbe}
	p.size, p.moves = d.progress()
	p.timer = time.AfterFunc(p.pause, func() {
		d.m.goes(func() { p.check(ctx) }) // ends with ctx, at the latest
	})
	return func() { p.timer.Stop() }
}

// prober belongs to one stream; one check runs at a time.
type prober struct {
	d      *driver
	giveUp context.CancelCauseFunc
	timer  *time.Timer
	pause  time.Duration
	size   int64 // progress of the stream at the last check
	moves  uint64
}

// progress is how far the stream has brought the unit.
func (d *driver) progress() (size int64, moves uint64) {
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	return d.u.size + d.u.errSize, d.u.moves
}

// moved tells whether the stream has brought something since the last check.
func (p *prober) moved() bool {
	size, moves := p.d.progress()
	changed := size != p.size || moves != p.moves
	p.size, p.moves = size, moves
	return changed
}

func (p *prober) check(ctx context.Context) {
	if p.moved() {
		p.pause = firstProbe
		if p.d.silent() {
			p.d.heard()
		}
	} else {
		p.pause = min(2*p.pause, lastProbe)
		news := p.news(ctx)
		if p.d.silent() {
			p.pause = firstProbe // its return is to be seen soon
		}
		if news {
			pause(ctx, probePatience)
			if ctx.Err() == nil && !p.moved() {
				p.giveUp(errors.New("the stream from the other node has stalled"))
			}
		}
	}
	if ctx.Err() == nil {
		p.timer.Reset(p.pause)
	}
}

// news asks whether the other node knows more than the stream has brought.
func (p *prober) news(ctx context.Context) bool {
	asked, cancel := context.WithTimeoutCause(ctx, answerPatience, errors.New("no answer within "+answerPatience.String()))
	defer cancel()
	conn, err := p.d.dial(asked)
	if err == nil {
		defer conn.Close()
		if !conn.ours { // it was replaced by another kind of node
			return true
		}
		var st controlproto.UnitStatus
		err = conn.client.Call(asked, map[string]any{
			"command": "work", "subcommand": "status", "unitid": p.d.u.remoteID(),
		}, &st)
		if err == nil {
			p.d.heard()
			if st.StderrSize != nil {
				st.StdoutSize += *st.StderrSize
			}
			return st.State.Ended() || st.StdoutSize > p.size
		}
	}
	if _, answered := errors.AsType[*controlproto.Error](err); answered {
		return true
	}
	if ctx.Err() == nil {
		if asked.Err() != nil {
			err = context.Cause(asked)
		}
		p.d.u.mu.Lock()
		if l := p.d.u.live; l != nil {
			since := l.sign
			if since.IsZero() {
				since = time.Now()
			}
			p.d.noteSilenceLocked(errandWatch, err, since)
		}
		p.d.u.mu.Unlock()
	}
	return false
}

// silent tells that the node is known not to answer.
func (d *driver) silent() bool {
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	return d.u.live != nil && !d.u.live.heard.since.IsZero()
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
