package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type workSubmitOptions struct {
	workType       string
	args           []string // runtime parameters
	node           string
	payload        string
	payloadLiteral string
	noPayload      bool
	tlsClient      string // an entry of the daemon
	ttl            string
	signWork       bool
	follow         bool
	rm             bool
	params         []string
	json           bool
}

func newWorkSubmitCmd(a *app) *cobra.Command {
	var o workSubmitOptions
	cmd := &cobra.Command{
		Use:   "submit WORKTYPE [-- PARAMS...]",
		Short: "Give work to a node",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fail(exitFailure, "Missing parameter: worktype", "`receptorctl status` lists the work types of each node")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.workType, o.args = args[0], args[1:]
			return runWorkSubmit(cmd.Context(), a, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.node, "node", "", "the node that is to do it (default: the daemon's own)")
	f.StringVarP(&o.payload, "payload", "p", "", "file of the unit's input; - for stdin")
	f.StringVarP(&o.payloadLiteral, "payload-literal", "l", "", "the unit's input itself; a newline is added")
	f.BoolVarP(&o.noPayload, "no-payload", "n", false, "no input")
	f.StringVar(&o.tlsClient, "tls-client", "", "name of a tls-client entry of the daemon, to reach the node with")
	f.StringVar(&o.ttl, "ttl", "", "time within which work on another node must have started, like 1h20m30s")
	f.BoolVar(&o.signWork, "signwork", false, "have the daemon sign work for another node")
	f.BoolVarP(&o.follow, "follow", "f", false, "print the output until the end")
	f.BoolVar(&o.rm, "rm", false, "release the unit at the end")
	f.StringArrayVarP(&o.params, "param", "a", nil, "parameter of the worker, KEY=VALUE or KEY=@FILE; may be repeated")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runWorkSubmit(ctx context.Context, a *app, o workSubmitOptions) error {
	if o.json && o.follow {
		return fail(exitFailure, "Cannot use both --json and --follow", "--follow prints the unit's output as it is")
	}
	ctx, cancel := context.WithCancel(ctx) // ends reading the payload, too
	defer cancel()
	input, err := a.openPayload(ctx, o)
	if err != nil {
		return err
	}
	defer input.close()
	request, err := o.request()
	if err != nil {
		return err
	}
	if o.rm && !o.follow {
		a.warning("using --rm without --follow. Unit results will never be seen.")
	}
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	done, err := d.submit(ctx, request, input)
	if err != nil {
		return err
	}
	shown := a.afterSubmit(ctx, d, o, done)
	if o.rm {
		return a.releaseAfter(ctx, d, o, done, shown)
	}
	if o.json {
		return a.printJSON(done)
	}
	return shown
}

// afterSubmit tells of the unit, or follows it.
func (a *app) afterSubmit(ctx context.Context, d *daemon, o workSubmitOptions, done controlproto.Submitted) error {
	if o.follow {
		fmt.Fprintf(a.stderr, "Unit ID: %s\n", done.UnitID)
	} else if !o.json {
		a.printf("Result: %s\nUnit ID: %s\n", done.Result, done.UnitID)
	}
	if done.Result == controlproto.JobSubmitted {
		a.hint("node " + o.node + " cannot be reached now; the daemon goes on trying. `receptorctl status` lists the nodes that can be")
	}
	if !o.follow {
		return a.outErr()
	}
	err := d.results(ctx, done.UnitID)
	if f, ok := errors.AsType[*failure](err); ok && f.err == nil {
		return err // the unit failed
	}
	return withCode(exitSubmit, err)
}

// submit makes the unit and sends its payload.
func (d *daemon) submit(ctx context.Context, s controlproto.Submit, input *payload) (controlproto.Submitted, error) {
	c, err := d.session(ctx)
	if err != nil {
		return controlproto.Submitted{}, withCode(exitSubmit, err)
	}
	unit := ""
	done, err := c.Submit(ctx, s, input, controlproto.SubmitOptions{
		Created: func(u controlproto.UnitEvent) { unit = u.UnitID },
		Resume:  true, // stdin is not read for a unit that is refused
		Abandon: input.close,
	})
	if err != nil || d.v1 {
		d.drop()
	}
	if err == nil {
		return done, nil
	}
	if e, refused := errors.AsType[*controlproto.Error](err); refused {
		return done, refusal(e, unit)
	}
	switch {
	case unit == "":
	case input.complete:
		d.a.hint("the submission may have come through: it is unit " + unit)
	case d.v1:
		d.releaseBroken(ctx, unit)
	}
	return done, withCode(exitSubmit, err)
}

// refusal words that the daemon refused a submission; unit is empty if it did so
// at once.
func refusal(e *controlproto.Error, unit string) error {
	f := fail(exitSubmit, "Failed to start work unit: "+e.Message, hintsFor(e.Message)...)
	f.err = e
	if unit != "" {
		f.message = "Remote error: " + remoteText(e.Message)
	}
	if unit != "" && e.Code != controlproto.NotFound { // released meanwhile
		f.hints = append(f.hints, "what is left of it is unit "+unit+"; `receptorctl work release "+unit+"` deletes it")
	}
	return f
}

// releaseBroken deletes a unit whose payload broke off: version 1 takes that for
// its end, and would run the unit with a part of it.
func (d *daemon) releaseBroken(ctx context.Context, unit string) {
	outcome, err := d.outcome(context.WithoutCancel(ctx), "release", unit)
	switch {
	case err != nil:
		d.a.warning("unit " + unit + " may run with a part of its payload: " + explain(err).message)
	default:
		d.a.hint("unit " + unit + " had a part of its payload: " + outcome)
	}
}

// releaseAfter carries out --rm. What went wrong before it, in shown, comes first.
func (a *app) releaseAfter(ctx context.Context, d *daemon, o workSubmitOptions, done controlproto.Submitted, shown error) error {
	if ctx.Err() != nil {
		d.drop() // it may be in the middle of the results
	}
	outcome, err := d.outcome(context.WithoutCancel(ctx), "release", done.UnitID)
	switch {
	case err != nil && shown != nil:
		a.warning("unit " + done.UnitID + " was not released: " + explain(err).message)
		return shown
	case err != nil:
		return unitFailure(done.UnitID, nil, err)
	case o.json:
		return a.printJSON(map[string]string{"result": done.Result, "unitid": done.UnitID, "release": outcome})
	}
	a.printf("(%s, %s)\n", done.UnitID, outcome)
	if shown == nil {
		shown = a.outErr()
	}
	return shown
}
