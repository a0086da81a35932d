package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type workResultsOptions struct {
	unit string
}

func newWorkResultsCmd(a *app) *cobra.Command {
	var o workResultsOptions
	return &cobra.Command{
		Use:   "results UNIT_ID",
		Short: "Print the output of a unit, until it ends",
		Args:  exactly("unit_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.unit = args[0]
			return runWorkResults(cmd.Context(), a, o)
		},
	}
}

func runWorkResults(ctx context.Context, a *app, o workResultsOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	return d.results(ctx, o.unit)
}

// results prints the output of a unit; it is an error if the unit failed.
func (d *daemon) results(ctx context.Context, unit string) error {
	last, err := d.follow(ctx, unit)
	if e, refused := errors.AsType[*controlproto.Error](err); refused {
		f := fail(exitFailure, "Failed to get results: "+e.Message, hintsFor(e.Message)...)
		f.err = err
		return f
	}
	if err != nil {
		return err
	}
	switch last.State {
	case controlproto.Failed:
		return &failure{code: exitFailure, message: "Remote unit failed: " + last.Detail, blank: true}
	case controlproto.StateCanceled:
		return &failure{code: exitFailure, message: "Remote unit was cancelled: " + last.Detail, blank: true}
	}
	return d.a.outErr()
}
