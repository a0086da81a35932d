//go:build linux

package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// rate measures how many trivial units get done per second.
func rate(remote bool) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		nodes := e.Chain(2, func(i int, s *node.Spec) {
			s.Works = []node.Work{{Type: "true", Command: "true"}}
		})
		target := "localhost"
		if remote {
			target = nodes[1].ID
		}
		if err := e.join(ctx, nodes); err != nil {
			return err
		}
		var problems error
		for _, submitters := range []int{1, 16} {
			name := fmt.Sprintf("%d submitters", submitters)
			if submitters == 1 {
				name = "1 submitter"
			}
			b := batch{e: e, socket: nodes[0].Socket, target: target, total: Pick(e, 200, 40)}
			problems = errors.Join(problems, b.run(ctx, name, submitters))
		}
		e.CheckErr("no unit failed", problems)
		return ctx.Err()
	}
}

// batch submits a number of units and waits until all have succeeded.
type batch struct {
	e              *Env
	socket, target string
	total          int

	mu       sync.Mutex
	units    []string
	failures []error
}

func (b *batch) run(ctx context.Context, name string, submitters int) error {
	cpu, daemon := b.e.CPU(), b.e.DaemonCPU()
	began := time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	for range submitters {
		group.Go(func() {
			for next.Add(1) <= int64(b.total) && ctx.Err() == nil {
				unit, err := ctl.Submit(ctx, b.socket, b.target, "true", nil)
				b.mu.Lock()
				if err != nil {
					b.failures = append(b.failures, err)
				} else {
					b.units = append(b.units, unit)
				}
				b.mu.Unlock()
			}
		})
	}
	group.Wait()
	submitted := time.Since(began)
	for _, unit := range b.units {
		u, err := ended(ctx, b.socket, unit, 5*time.Millisecond)
		switch {
		case err != nil:
			b.failures = append(b.failures, err)
		case u.State != ctl.Succeeded:
			b.failures = append(b.failures, fmt.Errorf("unit %s %s: %s", unit, u.StateName, u.Detail))
		}
		if ctx.Err() != nil {
			break
		}
	}
	took := time.Since(began)
	n := float64(b.total)
	b.e.Metric(name, "units/s", Higher, n/took.Seconds())
	b.e.Metric(name+", submit only", "units/s", Higher, n/submitted.Seconds())
	b.e.Metric(name+", daemon CPU", "ms/unit", Lower, stat.Millis(b.e.DaemonCPU()-daemon)/n)
	b.e.Metric(name+", all CPU", "ms/unit", Lower, stat.Millis(b.e.CPU()-cpu)/n)
	b.e.Metric(name+", failures", "", Lower, float64(len(b.failures)))
	if len(b.failures) > 0 {
		return fmt.Errorf("%s: %d of %d, first: %w", name, len(b.failures), b.total, b.failures[0])
	}
	return nil
}
