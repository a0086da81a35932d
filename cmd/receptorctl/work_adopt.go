package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type workAdoptOptions struct {
	controlproto.Adopt
	json bool
}

func newWorkAdoptCmd(a *app) *cobra.Command {
	var o workAdoptOptions
	cmd := &cobra.Command{
		Use:   "adopt --node NODE UNIT_ID",
		Short: "Take over a unit that another controller has submitted",
		Long: `Take over a unit that another controller has submitted to a node.

UNIT_ID is the unit's id on that node; ` + "`receptorctl work list --node NODE`" + ` lists them.
The daemon makes a unit of its own that stands for it, with output and state, and
that results, cancel and release work on. Its id is printed.`,
		Args: exactly("unit_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.UnitID = args[0]
			return runWorkAdopt(cmd.Context(), a, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Node, "node", "", "the node that has the unit")
	f.StringVar(&o.TLSClient, "tls-client", "", "name of a tls-client entry of the daemon, to reach the node with")
	f.BoolVar(&o.SignWork, "signwork", false, "have the daemon sign its requests about the unit")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runWorkAdopt(ctx context.Context, a *app, o workAdoptOptions) error {
	if o.Node == "" {
		return fail(exitFailure, "Missing parameter: node", "--node NODE names the node that has the unit")
	}
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	c, err := d.session(ctx)
	if err != nil {
		return err
	}
	done, err := c.Adopt(ctx, o.Adopt)
	if err != nil {
		return err
	}
	if o.json {
		return a.printJSON(done)
	}
	a.printf("Result: %s\nUnit ID: %s\n", done.Result, done.UnitID)
	return a.outErr()
}
