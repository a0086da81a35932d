package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type workResultsOptions struct {
	unit   string
	stderr bool // the error output instead
}

func newWorkResultsCmd(a *app) *cobra.Command {
	var o workResultsOptions
	cmd := &cobra.Command{
		Use:   "results UNIT_ID",
		Short: "Print the output of a unit, until it ends",
		Long: `Print the output of a unit, until it ends.

If the daemon is restarted meanwhile, this waits for it for a minute and goes on
where it was. A unit that was submitted with --stderr separate, or whose work type
is configured so, has its error output apart: --stderr prints that.`,
		Args: exactly("unit_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.unit = args[0]
			return runWorkResults(cmd.Context(), a, o)
		},
	}
	cmd.Flags().BoolVar(&o.stderr, "stderr", false, "print the error output, of a unit that keeps it apart, instead of the output")
	return cmd
}

func runWorkResults(ctx context.Context, a *app, o workResultsOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	f := &following{unit: o.unit, apart: o.stderr}
	if o.stderr {
		f.stderr = &progress{w: a}
	} else {
		f.stdout = &progress{w: a}
	}
	return d.results(ctx, f)
}

// results prints the output of a unit; it is an error if the unit failed.
func (d *daemon) results(ctx context.Context, f *following) error {
	last, err := d.follow(ctx, f)
	if errors.As(err, new(*failure)) {
		return err
	}
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
		return &failure{code: exitFailure, unit: true, message: "Remote unit failed: " + last.Detail, blank: true}
	case controlproto.StateCanceled:
		return &failure{code: exitFailure, unit: true, message: "Remote unit was cancelled: " + last.Detail, blank: true}
	}
	return d.a.outErr()
}
