package mesh

import (
	"context"
	"errors"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Pong is a ping's answer. If the ping failed, From is who reported it, this
// node for what it noticed itself and empty after a timeout.
type Pong struct {
	From wire.NodeID
	Time time.Duration // from sending to the answer, or to the failure
}

// Hop is one step of a traceroute.
type Hop struct {
	Pong
	Err error // why the hop failed; nil for a node on the way
}

// answer is how a ping ends.
type answer struct {
	from wire.NodeID
	err  error
}

// Ping sends an empty packet with the given hop budget to the ping service of
// a node and waits for the answer, at most 10 s (spec mesh-protocol 10). The
// errors are ErrNoRoute, ErrNoConnection, ErrExpired, ErrBlocked,
// ErrServiceUnknown, ErrTimeout, ErrClosed and those of ctx. MaxHops is the
// budget to use if there is no reason for another.
func (n *Node) Ping(ctx context.Context, node wire.NodeID, hops uint8) (Pong, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pingTimeout, ErrTimeout)
	defer cancel()
	start := time.Now()
	a := n.ping(ctx, node, hops)
	return Pong{From: a.from, Time: time.Since(start)}, a.err
}

// MaxHops is the hop budget of ordinary packets (spec mesh-protocol 1).
const MaxHops = maxHops

func (n *Node) ping(ctx context.Context, node wire.NodeID, hops uint8) answer {
	answers := make(chan answer, 1)
	first := func(a answer) {
		select {
		case answers <- a:
		default:
		}
	}
	s := n.local.ephemeral(&socket{
		node:  n,
		quiet: true,
		sink: func(src *destination, from wire.ServiceName, f *link.Frame) {
			f.Release()
			if from == wire.Ping.Name() {
				first(answer{from: src.id})
			}
		},
		problem: func(reporter wire.NodeID, p wire.Problem) {
			first(answer{reporter, problemError(p.Problem)})
		},
	})
	defer s.Close()
	dst, err := n.resolve(node)
	if err != nil && hops == 0 {
		err = ErrExpired // as the budget is looked at before the route (spec mesh-protocol 9.1, 4)
	}
	if err == nil {
		err = n.send(s, dst, wire.Ping.Name(), hops, nil, patience{closed: s.done, expired: ctx.Done()})
	}
	if err != nil && ctx.Err() == nil {
		return answer{n.ID, err}
	}
	select {
	case a := <-answers:
		return a
	case <-s.done:
		return answer{n.ID, ErrClosed}
	case <-ctx.Done():
		return answer{err: context.Cause(ctx)}
	}
}

// Traceroute pings a node with hop budgets 0, 1, 2 ... up to MaxHops and
// returns the nodes on the way, this one first. A hop that failed otherwise
// than by an expired budget is the last (spec mesh-protocol 10).
func (n *Node) Traceroute(ctx context.Context, node wire.NodeID) []Hop {
	var hops []Hop
	for budget := range uint8(maxHops + 1) {
		pong, err := n.Ping(ctx, node, budget)
		if errors.Is(err, ErrExpired) {
			hops = append(hops, Hop{Pong: pong})
			continue
		}
		return append(hops, Hop{pong, err})
	}
	return hops
}
