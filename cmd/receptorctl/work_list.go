package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type workListOptions struct {
	quiet     bool
	node      string // list what that node holds
	unit      string
	tlsClient string // an entry of the daemon
}

func newWorkListCmd(a *app) *cobra.Command {
	var o workListOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the units that the daemon holds, as JSON",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runWorkList(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.quiet, "quiet", "q", false, "only the ids, one a line")
	f.StringVar(&o.node, "node", "", "list the units of that node instead")
	f.StringVar(&o.unit, "unit_id", "", "only that unit")
	f.StringVar(&o.tlsClient, "tls-client", "", "name of a tls-client entry of the daemon, to reach the node with")
	var json bool
	f.BoolVar(&json, "json", true, "there is no other form")
	f.MarkHidden("json")
	return cmd
}

func runWorkList(ctx context.Context, a *app, o workListOptions) error {
	var reply json.RawMessage
	var err error
	if o.node == "" {
		err = listLocal(ctx, a, o.unit, &reply)
	} else {
		err = listNode(ctx, a, o, &reply)
	}
	if err != nil {
		return err
	}
	if !o.quiet {
		return a.printJSON(reply)
	}
	var units map[string]json.RawMessage
	if err := json.Unmarshal(reply, &units); err != nil {
		return fmt.Errorf("unexpected answer to work list: %w", err)
	}
	for _, id := range sortedKeys(units) {
		a.printf("%s\n", id)
	}
	return a.outErr()
}

func listLocal(ctx context.Context, a *app, unit string, reply *json.RawMessage) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	return d.work(ctx, "list", unit, reply)
}

// listNode asks another node, over a stream to its control service.
func listNode(ctx context.Context, a *app, o workListOptions, reply *json.RawMessage) error {
	stream, err := a.connect(ctx, o.node, "control", o.tlsClient)
	if err != nil {
		return err
	}
	defer stream.Close()
	c, err := controlproto.Open(ctx, stream) // version 2 tells more of a unit
	if err != nil {
		return fmt.Errorf("node %s: %w", o.node, err)
	}
	c.AllowLongAnswers(maxAnswer)
	members := map[string]any{"command": "work", "subcommand": "list"}
	if o.unit != "" {
		members["unitid"] = o.unit
	}
	return c.Call(ctx, members, reply)
}
