package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
)

type statusOptions struct {
	json bool
}

func newStatusCmd(a *app) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the mesh as the daemon knows it",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a, o) },
	}
	jsonFlag(cmd, &o.json)
	return cmd
}

func runStatus(ctx context.Context, a *app, o statusOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	var reply json.RawMessage
	if err := d.call(ctx, map[string]any{"command": "status"}, &reply); err != nil {
		return err
	}
	if o.json {
		return a.printJSON(reply)
	}
	s, err := parseStatus(reply)
	if err != nil {
		return err
	}
	return s.print(a)
}
