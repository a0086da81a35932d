package work

import (
	"context"
	"errors"
	"fmt"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
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
	err := d.watchV1(ctx, conn)
	if err == nil {
		conn.leave()
	}
	return err
}

// watchV2 follows the unit on one stream.
func (d *driver) watchV2(ctx context.Context, conn *farConn) error {
	w, err := d.m.openMirror(d.u)
	if err != nil {
		return err
	}
	defer w.close()
	errs := d.m.errMirror(d.u)
	defer errs.close()
	token, err := d.sign(true, sign.Work{Command: "follow", Unit: d.u.remoteID()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer d.probe(ctx, cancel)()
	defer d.feeding(ctx)()
	last, err := conn.client.Follow(ctx, d.u.remoteID(), w, controlproto.FollowOptions{
		From: w.size, Signature: token, Status: d.copyStatus, Stderr: errs, StderrFrom: errs.size,
	})
	switch {
	case controlproto.CodeOf(err) == controlproto.NotFound:
		d.gone()
		return nil
	case err != nil:
		return err
	case !last.State.Ended():
		return errors.New("the other node ended the stream of a unit that has not ended")
	}
	if last.StderrSize != nil {
		if err := errs.open(); err != nil { // it exists, though it may be empty
			return err
		}
	}
	return d.finish(last, w, errs)
}

// copyStatus takes over what the other node says about the unit; its final state
// only later, by finish.
func (d *driver) copyStatus(st controlproto.UnitStatus) {
	d.heard()
	d.served()
	d.u.mu.Lock()
	d.u.apartLocked(st)
	moved := !st.State.Ended() && d.u.moveLocked(change{state: st.State, detail: st.Detail, size: keepSize}, nil)
	d.u.mu.Unlock()
	if moved {
		d.m.moved(d.u)
	}
}

// finish ends the unit as the other node says, if all of its output is here.
// errs is nil if the other node mixes the error output with the output.
func (d *driver) finish(last controlproto.UnitStatus, w, errs *mirror) error {
	missing, whole := last.StdoutSize-w.size, last.StdoutSize
	ahead := max(0, w.from-last.StdoutSize)
	if errs == nil || last.StderrSize == nil {
		last.StderrSize = nil
	} else {
		missing, whole = max(0, missing)+max(0, *last.StderrSize-errs.size), whole+*last.StderrSize
		ahead += max(0, errs.from-*last.StderrSize)
		last.StderrSize = &errs.size
	}
	if missing > 0 {
		if d.short++; d.short < shortTries {
			return fmt.Errorf("%d bytes of the output have not come", missing)
		}
		last.Detail += fmt.Sprintf(" (%d of %d bytes of the output are missing)", missing, whole)
	}
	if ahead > 0 {
		last.Detail += fmt.Sprintf(" (%d bytes more of the output are here than node %s has: one of the two is damaged)",
			ahead, d.u.far.RemoteNode)
	}
	d.end(change{state: last.State, detail: last.Detail, size: w.size}, last)
	return nil
}

// gone ends the unit because the other node does not know it.
func (d *driver) gone() {
	d.heard()
	d.end(change{state: controlproto.Failed, detail: detailGone, size: d.m.store.size(d.u.id, fileStdout)}, controlproto.UnitStatus{})
}

// end moves the unit to its final state, with what the original keeps nowhere.
func (d *driver) end(c change, last controlproto.UnitStatus) {
	c.exit, c.at = last.ExitCode, storable(last.Ended)
	d.u.mu.Lock()
	if d.u.live != nil && (last.State == controlproto.Succeeded || last.State == controlproto.Failed) {
		d.u.live.broken = "" // the command ended before it was stopped: it did not want the rest
	}
	moved := d.u.moveLocked(c, func() { d.u.rec.StderrSize = d.u.errSizeLocked(last.StderrSize) })
	if !moved && !d.u.mirroredLocked() { // it had ended before, and there is no more output to be had
		d.u.rec.StdoutSize = min(d.u.rec.StdoutSize, c.size)
		d.u.rec.StderrSize = d.u.errSizeLocked(nil)
		d.u.touchLocked()
	}
	d.u.mu.Unlock()
	if moved {
		d.m.moved(d.u)
	}
}

// errSizeLocked is the final size of the error output: size, or what is here.
func (u *unit) errSizeLocked(size *int64) *int64 {
	if size == nil && u.rec.StderrSize != nil {
		have := u.errSize
		return &have
	}
	return size
}
