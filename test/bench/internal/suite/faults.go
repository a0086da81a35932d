//go:build linux

package suite

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/pattern"
	"github.com/receptor-go/receptor/test/bench/internal/proc"
	"github.com/receptor-go/receptor/test/bench/internal/relay"
)

// blobPair joins two nodes by a relayed TCP link; the second offers a work
// type that prints size bytes of the pattern.
func (e *Env) blobPair(ctx context.Context, size int64) ([]*node.Node, *relay.TCP, error) {
	blob, err := e.blob(size)
	if err != nil {
		return nil, nil, err
	}
	nodes, link, err := e.build(2, node.Line(2))
	if err != nil {
		return nil, nil, err
	}
	nodes[1].Works = []node.Work{{Type: "blob", Command: "cat", Params: blob}}
	return nodes, link, e.join(ctx, nodes)
}

// cut breaks the link in the middle of a result transfer for a while.
func cut(down time.Duration, silent bool) func(context.Context, *Env) error {
	return func(ctx context.Context, e *Env) error {
		const size = 64 << 20
		nodes, link, err := e.blobPair(ctx, size)
		if err != nil {
			return err
		}
		unit, err := ctl.Submit(ctx, nodes[0].Socket, nodes[1].ID, "blob", nil)
		if err != nil {
			return err
		}
		type outcome struct {
			err error
			at  time.Time
		}
		result := make(chan outcome, 1)
		go func() {
			_, err := fetch(ctx, nodes[0].Socket, unit, size)
			result <- outcome{err, time.Now()}
		}()
		for begin := link.Bytes(); link.Bytes()-begin < size/3; {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return fmt.Errorf("before the cut: %w", err)
			}
		}
		if silent {
			link.Stall(true)
		} else {
			link.Cut()
		}
		passed := link.Bytes()
		if err := sleep(ctx, down); err != nil {
			return err
		}
		if silent {
			link.Stall(false)
		} else if err := link.Heal(); err != nil {
			return err
		}
		healed := time.Now()
		got := <-result
		e.CheckErr("bytes identical after the cut", got.err)
		if got.err == nil {
			e.Metric("healing to last byte", "s", Lower, got.at.Sub(healed).Seconds())
		}
		e.Metric("forwarded before the cut", "MiB", Info, mib(passed))
		return nil
	}
}

// Slow work: prints the pattern in pieces for about eight seconds.
const (
	slowSize   = 4 << 20
	slowPieces = 64
)

// slowPair joins two nodes; the second offers the slow work.
func (e *Env) slowPair(ctx context.Context) ([]*node.Node, error) {
	blob, err := e.blob(slowSize)
	if err != nil {
		return nil, err
	}
	slow, err := e.Script("slow", fmt.Sprintf(
		"i=0\nwhile [ $i -lt %d ]; do dd if=%s bs=%d skip=$i count=1 2>/dev/null; sleep 0.12; i=$((i+1)); done\n",
		slowPieces, blob, slowSize/slowPieces))
	if err != nil {
		return nil, err
	}
	nodes := e.Chain(2, func(i int, s *node.Spec) {
		s.Works = []node.Work{{Type: "slow", Command: slow}}
	})
	return nodes, e.join(ctx, nodes)
}

// begin submits the slow work and waits until some output has come back.
func begin(ctx context.Context, nodes []*node.Node) (string, error) {
	unit, err := ctl.Submit(ctx, nodes[0].Socket, nodes[1].ID, "slow", nil)
	if err != nil {
		return "", err
	}
	return unit, within(ctx, 20*time.Second, func(ctx context.Context) error {
		r, err := ctl.Results(ctx, nodes[0].Socket, unit)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.CopyN(io.Discard, r, slowSize/slowPieces*4)
		return err
	})
}

// finish checks the final state and the output of the slow work.
func (e *Env) finish(ctx context.Context, nodes []*node.Node, unit string) {
	restarted := time.Now()
	var u ctl.Unit
	err := within(ctx, 90*time.Second, func(ctx context.Context) (err error) {
		u, err = ended(ctx, nodes[0].Socket, unit, 50*time.Millisecond)
		return err
	})
	e.Check("unit succeeded", err == nil && u.State == ctl.Succeeded, "%s (%s) %v", u.StateName, u.Detail, err)
	e.Metric("restart to final state", "s", Lower, time.Since(restarted).Seconds())
	err = within(ctx, 100*time.Second, func(ctx context.Context) error {
		_, err := fetch(ctx, nodes[0].Socket, unit, slowSize)
		return err
	})
	e.CheckErr("result complete", err)
	e.Metric("restart to complete result", "s", Lower, time.Since(restarted).Seconds())
}

// killController ends the submitting daemon while a unit runs elsewhere.
func killController(ctx context.Context, e *Env) error {
	return e.killDaemon(ctx, 0)
}

// killExecutor ends the executing daemon, but not the command.
func killExecutor(ctx context.Context, e *Env) error {
	return e.killDaemon(ctx, 1)
}

func (e *Env) killDaemon(ctx context.Context, which int) error {
	nodes, err := e.slowPair(ctx)
	if err != nil {
		return err
	}
	unit, err := begin(ctx, nodes)
	if err != nil {
		return err
	}
	nodes[which].Kill()
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if err := e.Up(ctx, nodes[which]); err != nil {
		return err
	}
	e.finish(ctx, nodes, unit)
	return nil
}

// killEverything ends the executing daemon, its helpers and the command. The
// unit can not succeed any more, and somebody has to say so.
func killEverything(ctx context.Context, e *Env) error {
	nodes, err := e.slowPair(ctx)
	if err != nil {
		return err
	}
	unit, err := begin(ctx, nodes)
	if err != nil {
		return err
	}
	c, err := ctl.Dial(ctx, nodes[1].Socket)
	if err != nil {
		return err
	}
	units, err := c.List()
	c.Close()
	if err != nil || len(units) != 1 {
		return fmt.Errorf("units on the executor: %v, %v", units, err)
	}
	var remote string
	for remote = range units {
	}
	below := slices.Concat(proc.Descendants(nodes[1].Pid()), e.Procs.Orphans())
	nodes[1].Kill()
	proc.KillPids(below)
	e.Metric("helpers killed", "", Info, float64(len(below)))
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if err := e.Up(ctx, nodes[1]); err != nil {
		return err
	}
	restarted := time.Now()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	for _, at := range []struct {
		name, unit string
		n          *node.Node
	}{{"executor", remote, nodes[1]}, {"controller", unit, nodes[0]}} {
		group.Go(func() {
			u, err := ended(limited, at.n.Socket, at.unit, 50*time.Millisecond)
			took := time.Since(restarted).Seconds()
			mu.Lock()
			defer mu.Unlock()
			e.Check("failed within 30 s at the "+at.name, err == nil && u.State == ctl.Failed,
				"%s (%s) after %.1f s", u.StateName, u.Detail, took)
			e.Metric("restart to Failed at the "+at.name, "s", Lower, took)
		})
	}
	group.Wait()
	return nil
}

// lossy transfers over a UDP link that loses and reorders datagrams.
func lossy(ctx context.Context, e *Env) error {
	size := Pick[int64](e, 64<<20, 8<<20)
	blob, err := e.blob(size)
	if err != nil {
		return err
	}
	port := node.FreePort()
	link, err := relay.NewUDP(node.Loopback(node.FreePort()), node.Loopback(port))
	if err != nil {
		return err
	}
	e.OnClose(link.Close)
	nodes := []*node.Node{
		e.Node(node.Spec{ID: "n0", UDPListen: port}),
		e.Node(node.Spec{
			ID: "n1", UDPPeers: []string{link.Addr()},
			Works: []node.Work{{Type: "blob", Command: "cat", Params: blob}},
		}),
	}
	if err := e.join(ctx, nodes); err != nil {
		return err
	}
	link.Lossy(true)
	healing := time.AfterFunc(30*time.Second, func() { link.Lossy(false) })
	defer healing.Stop()
	began := time.Now()
	unit, err := ctl.Submit(ctx, nodes[0].Socket, nodes[1].ID, "blob", nil)
	if err != nil {
		return err
	}
	r, err := ctl.Results(ctx, nodes[0].Socket, unit)
	if err != nil {
		return err
	}
	defer r.Close()
	var v pattern.Verifier
	_, err = io.Copy(&v, r)
	took := time.Since(began)
	if err == nil {
		err = v.Err(size)
	}
	e.CheckErr("bytes identical over the lossy link", err)
	if err == nil {
		e.Metric("transfer", "s", Lower, took.Seconds())
		e.Metric("transfer rate", "MB/s", Higher, float64(size)/1e6/took.Seconds())
	}
	e.Metric("datagrams lost", "", Info, float64(link.Dropped.Load()))
	e.Metric("datagrams reordered", "", Info, float64(link.Delayed.Load()))
	return nil
}
