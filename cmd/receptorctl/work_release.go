package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

type workReleaseOptions struct {
	units []string
	force bool
	all   bool
	json  bool
}

func newWorkReleaseCmd(a *app) *cobra.Command {
	var o workReleaseOptions
	cmd := &cobra.Command{
		Use:   "release [UNIT_ID...]",
		Short: "Stop units and delete all that is kept of them",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.units = args
			return runWorkRelease(cmd.Context(), a, o)
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "delete what is here even if the other node cannot be told")
	cmd.Flags().BoolVar(&o.all, "all", false, "every unit that the daemon holds")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runWorkRelease(ctx context.Context, a *app, o workReleaseOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	units := o.units
	if o.all {
		if units, err = d.allUnits(ctx); err != nil {
			return err
		}
	} else if len(units) == 0 {
		return a.noUnits(o.json)
	}
	subcommand := "release"
	if o.force {
		subcommand = "force-release"
	}
	return d.eachUnit(ctx, subcommand, "Released:", units, o.json)
}

// allUnits are the ids of the units that the daemon holds.
func (d *daemon) allUnits(ctx context.Context) ([]string, error) {
	var units map[string]json.RawMessage
	if err := d.work(ctx, "list", "", &units); err != nil {
		return nil, fmt.Errorf("list the units: %w", err)
	}
	return sortedKeys(units), nil
}

// plural is "1 unit" or "2 units".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
