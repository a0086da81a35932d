//go:build linux

package suite

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/pattern"
)

// converged waits until every node has a route to every other one and
// returns the moment at which that was first seen.
func converged(ctx context.Context, nodes []*node.Node) (time.Time, error) {
	clients := make([]*ctl.Client, len(nodes))
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.Close()
			}
		}
	}()
	complete := func(i int) (bool, error) {
		if clients[i] == nil {
			c, err := ctl.Dial(ctx, nodes[i].Socket)
			if err != nil {
				if !nodes[i].Alive() {
					return false, fmt.Errorf("node %s ended: %s", nodes[i].ID, nodes[i].LogTail())
				}
				return false, nil // not listening yet
			}
			clients[i] = c
		}
		routes, err := clients[i].Routes()
		if err != nil {
			return false, err
		}
		for j, other := range nodes {
			if j != i && routes[other.ID] == "" {
				return false, nil
			}
		}
		return true, nil
	}
	missing := make([]int, len(nodes))
	for i := range missing {
		missing[i] = i
	}
	for {
		began := time.Now()
		var still []int
		for _, i := range missing {
			ok, err := complete(i)
			if err != nil {
				return time.Time{}, err
			}
			if !ok {
				still = append(still, i)
			}
		}
		if len(still) == 0 {
			return time.Now(), nil
		}
		missing = still
		// Asking costs the nodes time as well, so rest longer than a round took.
		pause := min(max(5*time.Since(began), 5*time.Millisecond), 250*time.Millisecond)
		if err := sleep(ctx, pause); err != nil {
			return time.Time{}, fmt.Errorf("%d of %d nodes lack routes: %w", len(still), len(nodes), err)
		}
	}
}

// join starts the nodes in order and waits for convergence.
func (e *Env) join(ctx context.Context, nodes []*node.Node) error {
	if err := e.Up(ctx, nodes...); err != nil {
		return err
	}
	_, err := converged(ctx, nodes)
	return err
}

// serving waits until a node itself says that it offers all the services.
func serving(ctx context.Context, n *node.Node, services ...string) error {
	c, err := ctl.Dial(ctx, n.Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		names, err := c.Services(n.ID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(services, func(s string) bool { return !slices.Contains(names, s) }) {
			return nil
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%s offers only %v: %w", n.ID, names, err)
		}
	}
}

// ended waits for the final state of a unit; on an error it returns the last
// state seen.
func ended(ctx context.Context, socket, unit string, poll time.Duration) (ctl.Unit, error) {
	c, err := ctl.Dial(ctx, socket)
	if err != nil {
		return ctl.Unit{}, err
	}
	defer c.Close()
	var last ctl.Unit
	for {
		u, err := c.Status(unit)
		if err != nil {
			return last, err
		}
		if u.Ended() {
			return u, nil
		}
		last = u
		if err := sleep(ctx, poll); err != nil {
			return last, fmt.Errorf("unit %s is %s (%s): %w", unit, u.StateName, u.Detail, err)
		}
	}
}

// fetch reads the whole result of a unit and checks it against the pattern.
// The moment of the first byte is returned too.
func fetch(ctx context.Context, socket, unit string, size int64) (first time.Time, err error) {
	r, err := ctl.Results(ctx, socket, unit)
	if err != nil {
		return first, err
	}
	defer r.Close()
	var v pattern.Verifier
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && first.IsZero() {
			first = time.Now()
		}
		_, _ = v.Write(buf[:n])
		if err == io.EOF {
			return first, v.Err(size)
		}
		if err != nil {
			return first, fmt.Errorf("after %d bytes: %w", v.N, err)
		}
	}
}

// within runs f with a time limit of its own.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}
