package rig

import (
	"context"
	"fmt"
	"net"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// Session is a connection to a daemon's control socket, for one goroutine.
type Session struct{ *controlproto.Client }

// Open connects to a control socket.
func Open(ctx context.Context, socket string) (*Session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c, err := controlproto.Open(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.AllowLongAnswers(256 << 20)
	return &Session{c}, nil
}

// List is every unit of the node.
func (s *Session) List(ctx context.Context) (map[string]controlproto.UnitStatus, error) {
	units := map[string]controlproto.UnitStatus{}
	err := s.Call(ctx, map[string]any{"command": "work", "subcommand": "list"}, &units)
	return units, err
}

// Unit asks for what (cancel, release, force-release) to be done to a unit.
// pending tells that it will be done once the other node can be reached.
func (s *Session) Unit(ctx context.Context, what, unit string) (pending bool, err error) {
	reply := map[string]string{}
	err = s.Call(ctx, map[string]any{"command": "work", "subcommand": what, "unitid": unit}, &reply)
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", what, unit, err)
	}
	_, c := reply["cancel pending"]
	_, r := reply["release pending"]
	return c || r, nil
}
