package control

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// maxHops is the hop budget of a ping (spec mesh-protocol 1).
const maxHops = 30

func (s *Server) ping(ctx context.Context, x exchange) (any, error) {
	target, err := s.target(x, access.Ping)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	pong, err := s.Node.Ping(ctx, target, maxHops)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return controlproto.Ping{Error: err.Error()}, nil
	}
	if pong.Time == 0 {
		pong.Time = time.Since(began)
	}
	return controlproto.Ping{Success: true, From: string(pong.From), Time: pong.Time}, nil
}

func (s *Server) traceroute(ctx context.Context, x exchange) (any, error) {
	target, err := s.target(x, access.Traceroute)
	if err != nil {
		return nil, err
	}
	trace := controlproto.Trace{}
	for i, h := range s.Node.Traceroute(ctx, target) {
		trace[strconv.Itoa(i)] = hop(h)
	}
	return trace, ctx.Err()
}

func hop(h mesh.Hop) controlproto.Hop {
	out := controlproto.Hop{From: string(h.From), Time: h.Time, TimeStr: h.Time.String()}
	if h.Err != nil {
		out.Error = h.Err.Error()
	}
	return out
}

// target decodes the one argument of ping and traceroute (spec
// control-protocol 3, 4), in text form all of the rest of the line, if the
// caller may do that.
func (s *Server) target(x exchange, command string) (wire.NodeID, error) {
	r := x.request()
	target := r.Params
	if r.Text {
		if target == "" {
			return "", invalid("no " + command + " target")
		}
	} else {
		value, ok := r.Fields["target"]
		if !ok {
			return "", invalid("no " + command + " target")
		}
		if target, ok = value.(string); !ok {
			return "", invalid(command + " target must be string")
		}
	}
	if err := s.permit(x, access.Request{Command: command, Node: target}, ""); err != nil {
		return "", err
	}
	if strings.EqualFold(target, "localhost") {
		return s.Node.ID, nil
	}
	return wire.NodeID(target), nil
}
