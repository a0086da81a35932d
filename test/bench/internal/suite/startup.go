//go:build linux

package suite

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/proc"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

func startup(ctx context.Context, e *Env) error {
	var wall, cpu []float64
	var last *node.Node
	for i := range Pick(e, 20, 5) {
		n := e.Node(node.Spec{ID: fmt.Sprintf("s%d", i), TCPListen: node.FreePort()})
		if err := n.Start(); err != nil {
			return err
		}
		took, err := n.Ready(ctx)
		if err != nil {
			return err
		}
		wall = append(wall, stat.Millis(took))
		cpu = append(cpu, stat.Millis(proc.CPU(n.Pid())))
		if last != nil {
			last.Kill()
		}
		last = n
	}
	if err := sleep(ctx, 3*time.Second); err != nil {
		return err
	}
	m := last.Memory()
	info, err := os.Stat(e.Bin)
	if err != nil {
		return err
	}
	e.Metric("exec to status", "ms", Lower, stat.Median(wall))
	e.Metric("CPU until status", "ms", Lower, stat.Median(cpu))
	e.Metric("idle RSS", "MiB", Lower, mib(m.RSS))
	e.Metric("idle threads", "", Lower, float64(m.Threads))
	e.Metric("idle open files", "", Lower, float64(m.Files))
	e.Metric("binary size", "MiB", Lower, mib(info.Size()))
	return nil
}

func ping(ctx context.Context, e *Env) error {
	nodes := e.Chain(6, nil)
	if err := e.join(ctx, nodes); err != nil {
		return err
	}
	c, err := ctl.Dial(ctx, nodes[0].Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, hops := range []int{1, 2, 5} {
		var outside, inside []float64
		for range Pick(e, 400, 50) {
			began := time.Now()
			reported, err := c.Ping(nodes[hops].ID)
			if err != nil {
				return err
			}
			outside = append(outside, stat.Micros(time.Since(began)))
			inside = append(inside, stat.Micros(reported))
		}
		name := fmt.Sprintf("%d hops", hops)
		e.Metric(name+" p50", "us", Lower, stat.Quantile(outside, 0.50))
		e.Metric(name+" p99", "us", Lower, stat.Quantile(outside, 0.99))
		e.Metric(name+" p50 as reported", "us", Lower, stat.Quantile(inside, 0.50))
	}
	return nil
}
