//go:build linux

package suite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// follow measures how long a user waits for small remote results.
func follow(ctx context.Context, e *Env) error {
	lines := Pick(e, 40, 10)
	tick, err := e.Script("tick", fmt.Sprintf(
		"i=0\nwhile [ $i -lt %d ]; do date +%%s%%N; sleep 0.2; i=$((i+1)); done\n", lines))
	if err != nil {
		return err
	}
	nodes := e.Chain(2, func(i int, s *node.Spec) {
		s.Works = []node.Work{
			{Type: "hi", Command: "echo", Params: "hi"},
			{Type: "tick", Command: tick},
		}
	})
	if err := e.join(ctx, nodes); err != nil {
		return err
	}
	for _, where := range []struct{ name, node string }{{"local", "localhost"}, {"remote", nodes[1].ID}} {
		var whole []float64
		for range Pick(e, 20, 5) {
			began := time.Now()
			unit, err := ctl.Submit(ctx, nodes[0].Socket, where.node, "hi", nil)
			if err != nil {
				return err
			}
			r, err := ctl.Results(ctx, nodes[0].Socket, unit)
			if err != nil {
				return err
			}
			text, err := io.ReadAll(r)
			r.Close()
			if err != nil || string(text) != "hi\n" {
				return fmt.Errorf("result %q, %v", text, err)
			}
			whole = append(whole, stat.Millis(time.Since(began)))
		}
		e.Metric(where.name+" echo p50", "ms", Lower, stat.Quantile(whole, 0.50))
		e.Metric(where.name+" echo p99", "ms", Lower, stat.Quantile(whole, 0.99))
	}

	unit, err := ctl.Submit(ctx, nodes[0].Socket, nodes[1].ID, "tick", nil)
	if err != nil {
		return err
	}
	r, err := ctl.Results(ctx, nodes[0].Socket, unit)
	if err != nil {
		return err
	}
	defer r.Close()
	var late []float64
	text := bufio.NewReader(r)
	for {
		line, err := text.ReadString('\n')
		if err != nil {
			break
		}
		written, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			return err
		}
		late = append(late, stat.Millis(time.Since(time.Unix(0, written))))
	}
	e.Check("all lines arrive", len(late) == lines, "%d of %d", len(late), lines)
	e.Metric("remote line delay p50", "ms", Lower, stat.Quantile(late, 0.50))
	e.Metric("remote line delay p99", "ms", Lower, stat.Quantile(late, 0.99))
	return nil
}
