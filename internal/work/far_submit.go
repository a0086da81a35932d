package work

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// submit makes one attempt to hand the unit on. A *refusedError says that the
// unit is Failed now; any other error that it may be tried again.
func (d *driver) submit(ctx context.Context) error {
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	streamed, whole := d.streaming()
	if streamed && !whole && !conn.ours {
		conn.Close()
		return d.awaitPayload(ctx)
	}
	stdin, err := os.Open(d.m.store.path(d.u.id, fileStdin))
	if err != nil {
		conn.Close()
		return d.refused(controlproto.New(controlproto.Internal, err.Error()))
	}
	defer stdin.Close()
	switch {
	case !conn.ours:
		defer conn.Close()
		err := d.submitV1(ctx, conn, stdin)
		if _, refused := errors.AsType[*refusedError](err); err == nil || refused {
			conn.leave()
		}
		return err
	case streamed:
		return d.submitStream(ctx, conn)
	}
	if err := d.submitV2(ctx, conn, stdin); err != nil {
		conn.Close()
		return err
	}
	d.conn = conn
	return nil
}

// submitV2 hands the unit to one of our nodes, under an id that makes the
// attempt repeatable.
func (d *driver) submitV2(ctx context.Context, conn *farConn, stdin *os.File) error {
	id, again, err := d.claim()
	if err != nil {
		return err
	}
	s := d.submission(id)
	if err := d.signSubmission(&s, stdin); err != nil {
		return d.unsigned(err, again)
	}
	created := false
	_, err = conn.client.Submit(ctx, s, stdin, controlproto.SubmitOptions{
		Created: func(controlproto.UnitEvent) { created = true; d.heard() },
		Resume:  again,
	})
	if err != nil {
		return d.submitFailed(ctx, id, err, created)
	}
	return d.started(id)
}

// submitFailed says what follows from the failure of a submission to one of our
// nodes; created tells that the unit had come into being there.
func (d *driver) submitFailed(ctx context.Context, id string, err error, created bool) error {
	e, ok := errors.AsType[*controlproto.Error](err)
	switch {
	case !ok || passing(e):
		return err
	case e.Code == controlproto.Exists:
		return d.changeID(ctx)
	case e.Code == controlproto.Canceled:
		return d.canceledThere(ctx, id, err)
	}
	d.heard()
	text := "could not parse response: ERROR: " + e.Message
	if created {
		text = "error from remote: " + e.Message
	}
	return d.refused(controlproto.New(e.Code, text))
}

// canceledThere finds out what a cancelled submission means: the unit was
// cancelled there, which watching it tells; or only the request was, as the
// daemon stopped or its disk held it up, and may be made again.
func (d *driver) canceledThere(ctx context.Context, id string, refusal error) error {
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !conn.ours {
		return refusal
	}
	var st controlproto.UnitStatus
	err = conn.client.Call(ctx, map[string]any{"command": "work", "subcommand": "status", "unitid": id}, &st)
	if err == nil && st.State.Ended() {
		return d.started(id)
	}
	return errors.New(refusal.Error()) // no refusal
}

// claim notes on disk that the other node may know the unit from now on. again
// tells that it may know it already. The first attempt costs no write for that:
// as long as the status file is the one from before the acceptance, a restart
// takes the unit for known (loadUnit).
func (d *driver) claim() (id string, again bool, err error) {
	u := d.u
	u.mu.Lock()
	if u.rec.State.Ended() || u.far.LocalReleased || u.removed {
		u.mu.Unlock()
		return "", false, errInterrupted
	}
	id, again = u.live.remoteID, u.live.resumed || u.far.RemoteUnitID != ""
	u.far.RemoteUnitID = id
	u.touchLocked()
	from, resumed := u.live.from, u.live.resumed
	u.mu.Unlock()
	u.saveMu.Lock()
	before := !resumed && u.saved < from
	u.saveMu.Unlock()
	if before { // and what is saved from now on has the id
		return id, again, nil
	}
	if err := u.save(d.m.store); err != nil {
		return id, again, &storeError{what: "status", err: err}
	}
	return id, again, nil
}

// changeID draws another id for the unit on the other node, where the first one
// belongs to somebody else.
func (d *driver) changeID(ctx context.Context) error {
	u := d.u
	u.mu.Lock()
	u.live.remoteID, u.live.resumed, u.far.RemoteUnitID = newID(), false, ""
	u.touchLocked()
	r := u.receiptLocked(true, d.m.store.size(u.id, fileStdin))
	u.mu.Unlock()
	u.saveMu.Lock()
	err := d.m.store.saveReceipt(u.id, r)
	u.saveMu.Unlock()
	if err == nil {
		err = d.m.durable(ctx, u.id, fileReceipt)
	}
	if err != nil {
		return &storeError{what: "status", err: err}
	}
	return errors.New("the other node has a unit of that id already, trying another")
}

// started notes that the other node has accepted the unit.
func (d *driver) started(id string) error {
	u := d.u
	u.mu.Lock()
	defer u.mu.Unlock()
	u.far.RemoteUnitID = id
	if !u.rec.State.Ended() { // else it was cancelled meanwhile, and is released there
		u.far.RemoteStarted = true
		u.live.heard, u.live.sign = silence{}, time.Now()
	}
	u.touchLocked()
	return nil
}

// refused fails the unit because the other node, or this one, will not have it.
func (d *driver) refused(e *controlproto.Error) error {
	u := d.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if !strings.HasPrefix(e.Message, "error from remote: ") {
		u.far.RemoteUnitID = "" // it was never made
	}
	d.unstartedLocked("Error starting worker: "+e.Message, e)
	u.touchLocked()
	return &refusedError{e}
}

// unstartedLocked fails a unit that was not started, and will not be.
func (d *driver) unstartedLocked(detail string, e *controlproto.Error) {
	if d.u.moveLocked(failed(detail), nil) {
		d.u.far.refusal, d.late = e, e
	}
}

// reportLate tells that an accepted unit was never started, unless the answer to
// its submission has said so.
func (d *driver) reportLate() {
	if d.late == nil {
		return
	}
	r := Refusal{Unit: d.u.id, WorkType: d.u.far.RemoteWorkType, Node: d.u.far.RemoteNode, Err: d.late}
	d.late = nil
	d.m.c.Logger.Warn("accepted unit was not started", "unit", r.Unit, "node", r.Node, "err", r.Err)
	d.m.c.Refused(r)
}

// unsigned says what follows when a submission cannot be signed. again tells
// that the other node may have the unit already. With nobody there to be told,
// a key that cannot be read is waited for: it may just be being replaced.
func (d *driver) unsigned(err error, again bool) error {
	e, ok := errors.AsType[*signError](err)
	if !ok {
		return d.refused(controlproto.New(controlproto.Internal, err.Error()))
	}
	d.u.mu.Lock()
	awaited := d.u.live != nil && d.u.live.first != nil
	d.u.mu.Unlock()
	if again || !awaited && e.err != errNoKey {
		return err
	}
	return d.refused(controlproto.New(controlproto.Denied, err.Error()))
}

// submitV1 hands the unit to a node of ansible/receptor (spec work 7.2).
func (d *driver) submitV1(ctx context.Context, conn *farConn, stdin *os.File) error {
	token, err := d.sign(false, sign.Work{})
	if err != nil {
		return d.unsigned(err, d.u.remoteID() != "")
	}
	if err := d.greet(ctx, conn); err != nil {
		return err
	}
	if d.u.remoteID() != "" {
		if known, err := d.settleV1(ctx, conn); known || err != nil {
			return err
		}
	}
	params := maps.Clone(d.u.far.RemoteParams)
	if params == nil {
		params = make(map[string]string)
	}
	params["tlsclient"] = d.u.far.TLSClient // sent though it is empty
	d.u.mu.Lock()
	apart := d.u.live != nil && d.u.live.stderr == controlproto.StderrSeparate
	d.u.mu.Unlock()
	if apart {
		d.m.c.Logger.Warn("the other node cannot keep error output apart, it will be mixed with the output",
			"unit", d.u.id, "node", d.u.far.RemoteNode)
	}
	unit := ""
	_, err = conn.client.Submit(ctx, controlproto.Submit{
		Node: d.u.far.RemoteNode, WorkType: d.u.far.RemoteWorkType, Signature: token, Params: params,
	}, stdin, controlproto.SubmitOptions{Created: func(e controlproto.UnitEvent) {
		unit = e.UnitID
		d.created(unit)
	}})
	e, answered := errors.AsType[*controlproto.Error](err)
	switch {
	case err == nil:
		return d.started(unit)
	case answered && unit != "":
		return d.refused(controlproto.New(e.Code, "error from remote: "+e.Message))
	case answered && strings.HasPrefix(e.Message, "could not parse response: "):
		return d.refused(e)
	case answered:
		return d.refused(controlproto.New(e.Code, "could not parse response: ERROR: "+e.Message))
	case unit != "" && conn.finished && ctx.Err() == nil:
		// The node has the whole payload, but its answer was lost: watching
		// the unit tells what became of it.
		return d.started(unit)
	}
	return err
}

// created notes at once the id that a node of ansible/receptor gave to the unit.
func (d *driver) created(id string) {
	u := d.u
	u.mu.Lock()
	u.far.RemoteUnitID = id
	u.touchLocked()
	u.mu.Unlock()
	if err := u.save(d.m.store); err != nil {
		d.m.c.Logger.Error("status of a unit could not be saved", "unit", u.id, "err", err)
	}
}

// settleV1 finds out what became of an attempt that was cut: known tells that
// the node has the unit and its payload. A unit that never got its payload is
// released, so that the next attempt begins afresh.
func (d *driver) settleV1(ctx context.Context, conn *farConn) (known bool, err error) {
	id := d.u.remoteID()
	var st controlproto.UnitStatus
	err = conn.client.Call(ctx, map[string]any{"command": "work", "subcommand": "status", "unitid": id}, &st)
	if controlproto.CodeOf(err) == controlproto.NotFound {
		err = nil
	} else if err != nil {
		return false, err
	} else if !withoutPayload(st) {
		return true, d.started(id)
	} else if err = d.request(ctx, conn.client, "release", id); err != nil {
		return false, err
	}
	d.u.mu.Lock()
	defer d.u.mu.Unlock()
	d.u.far.RemoteUnitID = ""
	d.u.touchLocked()
	return false, nil
}

// withoutPayload tells that a unit of ansible/receptor never got all of its payload.
func withoutPayload(st controlproto.UnitStatus) bool {
	return st.State == controlproto.Pending && (st.Detail == detailWaiting || st.Detail == detailCreated) ||
		st.State == controlproto.Failed && strings.HasPrefix(st.Detail, "Error reading input data")
}
