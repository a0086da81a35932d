package work

import (
	"context"
	"errors"
	"fmt"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// shortTries is how often output that the other node says it has, and does not
// send, is asked for before the unit ends without it.
const shortTries = 3

// watch mirrors the unit until it has ended and its output is all here (nil), or
// the connection fails.
func (d *driver) watch(ctx context.Context) error {
	conn := d.conn
	d.conn = nil
	if conn == nil {
		var err error
		if conn, err = d.dial(ctx); err != nil {
			return err
		}
	}
	defer conn.Close()
	if conn.ours {
		return d.watchV2(ctx, conn)
	}
	return d.watchV1(ctx, conn)
}

// watchV2 follows the unit on one stream.
func (d *driver) watchV2(ctx context.Context, conn *farConn) error {
	w, err := d.m.openMirror(d.u)
	if err != nil {
		return err
	}
	defer w.close()
	token, err := d.sign()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer d.probe(ctx, cancel)()
	last, err := conn.client.Follow(ctx, d.u.remoteID(), w, controlproto.FollowOptions{
		From: w.size, Signature: token, Status: d.copyStatus,
	})
	switch {
	case controlproto.CodeOf(err) == controlproto.NotFound:
		d.gone(w.size)
		return nil
	case err != nil:
		return err
	case !last.State.Ended():
		return errors.New("the other node ended the stream of a unit that has not ended")
	}
	return d.finish(last, w.size)
}

// copyStatus takes over what the other node says about the unit; its final state
// only later, by finish.
func (d *driver) copyStatus(st controlproto.UnitStatus) {
	d.heard()
	if !st.State.Ended() && d.u.move(change{st.State, st.Detail, keepSize}, nil) {
		d.m.moved(d.u)
	}
}

// finish ends the unit as the other node says, if all of its output is here.
func (d *driver) finish(last controlproto.UnitStatus, have int64) error {
	if missing := last.StdoutSize - have; missing > 0 {
		if d.short++; d.short < shortTries {
			return fmt.Errorf("%d bytes of the output have not come", missing)
		}
		last.Detail += fmt.Sprintf(" (%d of %d bytes of the output are missing)", missing, last.StdoutSize)
	}
	d.end(change{last.State, last.Detail, have})
	return nil
}

// gone ends the unit because the other node does not know it.
func (d *driver) gone(have int64) {
	d.heard()
	d.end(change{controlproto.Failed, detailGone, have})
}

func (d *driver) end(c change) {
	d.u.mu.Lock()
	moved := d.u.moveLocked(c, nil)
	if !moved && d.u.rec.StdoutSize > c.size { // it had ended before, and there is no more output to be had
		d.u.rec.StdoutSize = c.size
		d.u.touchLocked()
	}
	d.u.mu.Unlock()
	if moved {
		d.m.moved(d.u)
	}
}
