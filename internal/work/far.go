package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

const (
	// dialPatience bounds one attempt to connect; the mesh gives up after 15 s.
	dialPatience = 20 * time.Second
	// greetingPatience bounds the wait for the greeting (spec work 7.2).
	greetingPatience = 5 * time.Second
	// tellPatience bounds a cancel or release on the other node, which takes up
	// to 10 s there for a command that ignores the interrupt.
	tellPatience = 30 * time.Second
)

// refusedError is a no of the other node; err has the text for the client.
type refusedError struct{ err *controlproto.Error }

func (e *refusedError) Error() string { return e.err.Message }

// passing tells that an error of the other node says nothing about the request:
// it may be made again later.
func passing(e *controlproto.Error) bool {
	switch e.Code {
	case controlproto.Busy, controlproto.Unreachable, controlproto.Timeout:
		return true
	}
	return false
}

// farConn is a connection to the control service of another node.
type farConn struct {
	io.ReadWriteCloser
	ours     bool                 // it speaks version 2
	client   *controlproto.Client // version 2, or version 1 after openV1
	finished bool                 // our direction was ended
}

// CloseWrite ends our direction, and notes it.
func (c *farConn) CloseWrite() error {
	err := controlproto.CloseWrite(c.ReadWriteCloser)
	c.finished = err == nil
	return err
}

// leavePatience bounds the wait for the other node's end of a connection.
const leavePatience = time.Second

// leave closes a connection whose last answer was read. A node of
// ansible/receptor warns in its log when its direction is given up before it has
// ended it, so that is waited for.
func (c *farConn) leave() {
	defer c.Close()
	if c.ours || c.CloseWrite() != nil {
		return
	}
	timer := time.AfterFunc(leavePatience, func() { c.Close() })
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, c.ReadWriteCloser) // its end, or nothing that matters
}

// dial connects to the unit's node. With ours the client is ready, otherwise
// openV1 makes it.
func (d *driver) dial(ctx context.Context) (*farConn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialPatience, errors.New("no answer in time"))
	defer cancel()
	x := d.u.far
	conn, ours, err := d.m.c.Dial(ctx, x.RemoteNode, x.TLSClient)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	c := &farConn{ReadWriteCloser: conn, ours: ours}
	if ours {
		if c.client, err = controlproto.OpenV2(c); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return c, nil
}

// greet reads the greeting of a node that speaks version 1 and checks that it is
// the right one.
func (d *driver) greet(ctx context.Context, c *farConn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, greetingPatience, errors.New("no greeting in time"))
	defer cancel()
	client, err := controlproto.OpenV1(ctx, c)
	if err != nil {
		return err
	}
	if node := d.u.far.RemoteNode; !strings.Contains(client.Node(), node) {
		return notGreetedBy(node, controlproto.Greeting(client.Node()))
	}
	c.client = client
	d.heard()
	return nil
}

// notGreetedBy is the error of a greeting that is not one of that node.
func notGreetedBy(node, greeting string) error {
	return fmt.Errorf("while expecting node ID %s, got message: %s", node, controlproto.Clip(greeting, maxRemark))
}

// tell has the other node cancel or release the unit. A unit that it does not
// know is a success.
func (d *driver) tell(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(ctx, dialPatience+tellPatience)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !conn.ours {
		if err := d.greet(ctx, conn); err != nil {
			return err
		}
	}
	err = d.request(ctx, conn.client, what, d.u.remoteID())
	if answer := new(controlproto.Error); err == nil || errors.As(err, &answer) {
		conn.leave()
	}
	if e, ok := errors.AsType[*controlproto.Error](err); ok && !passing(e) {
		d.heard()
		text := strings.TrimSpace(e.Message)
		return d.told(what, &refusedError{controlproto.New(e.Code, "error cancelling remote unit:  "+text)})
	}
	if err != nil {
		return err
	}
	d.heard()
	return d.told(what, nil)
}

// request makes one signed request about a unit; NotFound is a success.
func (d *driver) request(ctx context.Context, c *controlproto.Client, what, id string) error {
	members := map[string]any{"command": "work", "subcommand": what, "unitid": id}
	token, err := d.sign(c.Version() == controlproto.V2, sign.Work{Command: what, Unit: id})
	if err != nil {
		return controlproto.New(controlproto.Denied, err.Error())
	}
	if token != "" {
		members["signature"] = token
	}
	err = c.Call(ctx, members, nil)
	if controlproto.CodeOf(err) == controlproto.NotFound {
		return nil
	}
	return err
}

// told notes that the other node has done what was asked, or refused to.
func (d *driver) told(what string, refused error) error {
	u := d.u
	u.mu.Lock()
	released := u.far.LocalReleased
	u.live.parting = time.Time{}
	switch {
	case refused != nil && (u.far.RemoteStarted || u.far.LocalReleased):
		u.far.LocalCancelled, u.far.LocalReleased = false, false
	case what == "cancel":
		u.live.cancelTold = true
	case !released && refused == nil: // it has disowned the unit
		u.far.RemoteUnitID = ""
	}
	u.touchLocked()
	u.mu.Unlock()
	if refused != nil {
		if what != "release" || released { // else it is tried again, and rest says so once
			d.m.c.Logger.Warn("the other node refuses", "unit", u.id, "node", u.far.RemoteNode, "err", refused)
		}
		return refused
	}
	if what == "release" && released {
		return d.m.drop(u)
	}
	return nil
}

// remoteID is the unit's id on the other node.
func (u *unit) remoteID() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.far.RemoteUnitID
}
