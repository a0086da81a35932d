//go:build linux

package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// many measures a node with a long history of finished units.
func many(ctx context.Context, e *Env) error {
	total := Pick(e, 2000, 200)
	n := e.Node(node.Spec{
		ID: "m", TCPListen: node.FreePort(),
		Works: []node.Work{{Type: "hi", Command: "echo", Params: "hi"}},
	})
	if err := e.Up(ctx, n); err != nil {
		return err
	}
	unit, err := ctl.Submit(ctx, n.Socket, "localhost", "hi", nil)
	if err != nil {
		return err
	}
	if _, err := ended(ctx, n.Socket, unit, 10*time.Millisecond); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	empty := n.Memory()
	n.Kill()

	// The history is made of copies of the directory the daemon left behind.
	for i := range total - 1 {
		to := filepath.Join(n.DataDir(), fmt.Sprintf("U%07d", i))
		if err := os.CopyFS(to, os.DirFS(filepath.Join(n.DataDir(), unit))); err != nil {
			return err
		}
	}
	if err := n.Start(); err != nil {
		return err
	}
	ready, err := n.Ready(ctx)
	if err != nil {
		return err
	}
	c, err := ctl.Dial(ctx, n.Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	known := 0
	err = within(ctx, time.Minute, func(ctx context.Context) error {
		for known < total {
			units, err := c.List()
			if err != nil {
				return err
			}
			if known = len(units); known < total {
				if err := sleep(ctx, 5*time.Millisecond); err != nil {
					return err
				}
			}
		}
		return nil
	})
	e.Check("all units known after a restart", known == total, "%d of %d, %v", known, total, err)
	e.Metric("restart to status", "ms", Lower, stat.Millis(ready))
	e.Metric("restart to full list", "ms", Lower, stat.Millis(time.Since(n.Began())))

	var list, one []float64
	var size int
	for range Pick(e, 20, 5) {
		began := time.Now()
		line, err := c.Raw("work list")
		if err != nil {
			return err
		}
		list = append(list, stat.Millis(time.Since(began)))
		size = len(line)
		began = time.Now()
		if _, err := c.Status(unit); err != nil {
			return err
		}
		one = append(one, stat.Micros(time.Since(began)))
	}
	e.Metric("work list p50", "ms", Lower, stat.Quantile(list, 0.50))
	e.Metric("work list size", "KiB", Info, float64(size)/1024)
	e.Metric("work status p50", "us", Lower, stat.Quantile(one, 0.50))
	full := n.Memory()
	e.Metric("RSS", "MiB", Lower, mib(full.RSS))
	e.Metric("RSS growth", "KiB/unit", Lower, float64(full.RSS-empty.RSS)/1024/float64(total))
	e.Metric("open files", "", Lower, float64(full.Files))
	e.Metric("threads", "", Lower, float64(full.Threads))
	return nil
}
