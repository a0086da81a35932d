package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type tracerouteOptions struct {
	node string
	json bool
}

func newTracerouteCmd(a *app) *cobra.Command {
	var o tracerouteOptions
	cmd := &cobra.Command{
		Use:   "traceroute NODE",
		Short: "Show the nodes on the way to a node",
		Args:  exactly("node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.node = args[0]
			return runTraceroute(cmd.Context(), a, o)
		},
	}
	jsonFlag(cmd, &o.json)
	return cmd
}

// runTraceroute shows the hops. One that failed does not change the exit code.
func runTraceroute(ctx context.Context, a *app, o tracerouteOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	var trace controlproto.Trace
	if err := d.call(ctx, map[string]any{"command": "traceroute", "target": o.node}, &trace); err != nil {
		return err
	}
	hops := trace.Hops()
	if o.json {
		if hops == nil {
			hops = []controlproto.Hop{}
		}
		return a.printJSON(hops)
	}
	for i, h := range hops {
		if h.Error == "" {
			a.printf("%d: %s in %s\n", i, h.From, h.TimeStr)
			continue
		}
		a.errorLine(fmt.Sprintf("%d: Error %s from %s in %s", i, h.Error, h.From, h.TimeStr))
		for _, hint := range hintsFor(h.Error) {
			a.hint(hint)
		}
	}
	return a.outErr()
}
