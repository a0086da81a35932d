package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type pingOptions struct {
	node  string
	count integer
	delay float // seconds between probes
	json  bool
}

func newPingCmd(a *app) *cobra.Command {
	o := pingOptions{count: 4, delay: 1}
	cmd := &cobra.Command{
		Use:   "ping NODE",
		Short: "Ask a node whether it is there",
		Args:  exactly("node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.node = args[0]
			return runPing(cmd.Context(), a, o)
		},
	}
	cmd.Flags().Var(&o.count, "count", "number of probes")
	cmd.Flags().Var(&o.delay, "delay", "seconds between two of them")
	jsonFlag(cmd, &o.json)
	return cmd
}

// runPing makes all the probes, whatever becomes of them. With --json it prints
// the list of the replies at the end, else each as it comes.
func runPing(ctx context.Context, a *app, o pingOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	replies := make([]controlproto.Ping, 0, min(max(o.count, 0), 1000))
	failed := ""
	for i := range int(o.count) {
		if i > 0 {
			if err := a.pause(ctx, seconds(float64(o.delay))); err != nil {
				return err
			}
		}
		var p controlproto.Ping
		if err := d.call(ctx, map[string]any{"command": "ping", "target": o.node}, &p); err != nil {
			return err
		}
		switch {
		case o.json:
			replies = append(replies, p)
		case p.Success:
			a.printf("Reply from %s in %s\n", p.From, p.TimeStr)
		default:
			a.errorLine(p.Error)
		}
		if !p.Success {
			failed = p.Error
		}
	}
	if o.json {
		if err := a.printJSON(replies); err != nil {
			return err
		}
	}
	if failed != "" {
		return &failure{code: exitPing, hints: hintsFor(failed)}
	}
	return a.outErr()
}

// seconds is a duration, bounded to what the type holds.
func seconds(s float64) time.Duration {
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s, 1e9) * float64(time.Second))
}
