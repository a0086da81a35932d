package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type workCancelOptions struct {
	units []string
	json  bool
}

func newWorkCancelCmd(a *app) *cobra.Command {
	var o workCancelOptions
	cmd := &cobra.Command{
		Use:   "cancel [UNIT_ID...]",
		Short: "Stop units",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.units = args
			return runWorkCancel(cmd.Context(), a, o)
		},
	}
	jsonFlag(cmd, &o.json)
	return cmd
}

func runWorkCancel(ctx context.Context, a *app, o workCancelOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if len(o.units) == 0 {
		return a.noUnits(o.json)
	}
	return d.eachUnit(ctx, "cancel", "Cancelled:", o.units, o.json)
}

// noUnits tells that there is nothing to do.
func (a *app) noUnits(json bool) error {
	a.warning("No unit IDs supplied: Not doing anything")
	if json {
		return a.printJSON(struct{}{})
	}
	return nil
}

// eachUnit makes a request for one unit after the other, up to the first that
// fails, and shows what became of each: under the heading, or with json as an
// object of unit ids and outcomes.
func (d *daemon) eachUnit(ctx context.Context, subcommand, heading string, units []string, json bool) error {
	a := d.a
	if !json {
		a.printf("%s\n", heading)
	}
	outcomes := map[string]string{}
	var failed error
	for i, unit := range units {
		outcome, err := d.outcome(ctx, subcommand, unit)
		if err != nil {
			failed = unitFailure(unit, units[i+1:], err)
			break
		}
		if outcomes[unit] = outcome; !json {
			a.printf("(%s, %s)\n", unit, outcome)
		}
	}
	if json {
		a.printJSON(outcomes)
	}
	if failed == nil {
		failed = a.outErr()
	}
	return failed
}

// unitFailure words the failure of one unit of several.
func unitFailure(unit string, left []string, err error) error {
	f := *explain(err)
	if _, refused := f.err.(*controlproto.Error); refused {
		f.message = unit + ": ERROR: " + f.message
	}
	if n := len(left); n > 0 {
		f.hints = append(f.hints, plural(n, "unit")+" behind it not tried")
	}
	return &f
}
