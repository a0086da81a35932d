package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// daemon is the daemon of this call. It keeps a session open, and opens another
// where a request used the one before up.
type daemon struct {
	a       *app
	target  target
	v1      bool // speak version 1: wanted, or nothing else understood
	client  *controlproto.Client
	version string // of its software
}

// open reaches the daemon, agrees on the protocol, and warns if its version is
// not ours.
func (a *app) open(ctx context.Context) (*daemon, error) { return a.openVersion(ctx, false) }

// openV1 is open for requests that version 2 has no use for.
func (a *app) openV1(ctx context.Context) (*daemon, error) { return a.openVersion(ctx, true) }

func (a *app) openVersion(ctx context.Context, v1 bool) (*daemon, error) {
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	d := &daemon{a: a, target: t, v1: v1}
	c, err := d.session(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.readVersion(ctx, c); err != nil {
		d.close()
		return nil, err
	}
	if d.version != a.version {
		a.warning("receptorctl and receptor are different versions, they may not be compatible")
	}
	return d, nil
}

// maxAnswer is the longest answer of a daemon that is taken, in bytes: a list of
// all the units that one may hold.
const maxAnswer = 1 << 30

// session is a session ready for a request.
func (d *daemon) session(ctx context.Context) (*controlproto.Client, error) {
	if d.client != nil {
		return d.client, nil
	}
	conn, err := d.a.dialTarget(ctx, d.target)
	if err != nil {
		return nil, err
	}
	c, err := controlproto.OpenV1(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, d.noGreeting(ctx, err)
	}
	c.AllowLongAnswers(maxAnswer)
	if !d.v1 {
		if err := c.Upgrade(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		d.v1 = c.Version() == controlproto.V1
	}
	d.client = c
	return c, nil
}

// noGreeting words that the other side is no daemon, or closed at once.
func (d *daemon) noGreeting(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if certificateWanted(err) {
		return fail(exitFailure, "the daemon wants a client certificate",
			"give --cert FILE and --key FILE, or --config FILE and --tls-client NAME")
	}
	f := fail(exitFailure, "Failed to connect to Receptor socket", err.Error())
	f.err = err
	if d.target.network == "tcp" {
		f.hints = append(f.hints, "if the daemon's port has TLS, use tls: instead of tcp:")
	}
	return f
}

func (d *daemon) readVersion(ctx context.Context, c *controlproto.Client) error {
	if d.version = c.Software(); d.version != "" {
		return nil
	}
	var reply struct{ Version *string }
	err := c.Call(ctx, map[string]any{"command": "status", "requested_fields": []string{"Version"}}, &reply)
	if err != nil {
		return err
	}
	if reply.Version == nil {
		return fail(exitFailure, "the daemon did not tell its version")
	}
	d.version = *reply.Version
	return nil
}

// call makes a request that has one answer.
func (d *daemon) call(ctx context.Context, members map[string]any, reply any) error {
	c, err := d.session(ctx)
	if err != nil {
		return err
	}
	err = c.Call(ctx, members, reply)
	if err != nil && !errors.As(err, new(*controlproto.Error)) {
		d.drop()
	}
	return err
}

// another is the same daemon, over a connection of its own.
func (d *daemon) another() *daemon {
	return &daemon{a: d.a, target: d.target, v1: d.v1, version: d.version}
}

// work makes a request about units that has one answer.
func (d *daemon) work(ctx context.Context, subcommand, unit string, reply any) error {
	members := map[string]any{"command": "work", "subcommand": subcommand}
	if unit != "" {
		members["unitid"] = unit
	}
	return d.call(ctx, members, reply)
}

// status asks for the record of a unit.
func (d *daemon) status(ctx context.Context, unit string) (controlproto.UnitStatus, error) {
	var u controlproto.UnitStatus
	err := d.work(ctx, "status", unit, &u)
	return u, err
}

// outcome makes a request that is answered with a single member which is named
// by what became of the unit: cancelled, release pending, and so on.
func (d *daemon) outcome(ctx context.Context, subcommand, unit string) (string, error) {
	reply := map[string]json.RawMessage{}
	if err := d.work(ctx, subcommand, unit, &reply); err != nil {
		return "", err
	}
	for name := range reply {
		return name, nil
	}
	return "", fmt.Errorf("the daemon did not tell what became of unit %s", unit)
}

// drop ends the session: the next request opens another.
func (d *daemon) drop() {
	if d.client != nil {
		d.client.Close()
		d.client = nil
	}
}

func (d *daemon) close() { d.drop() }
