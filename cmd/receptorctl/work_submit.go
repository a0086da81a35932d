package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

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
	stream         bool
	stderr         string // mixed, separate, or empty
	params         []string
	json           bool
}

func newWorkSubmitCmd(a *app) *cobra.Command {
	var o workSubmitOptions
	cmd := &cobra.Command{
		Use:   "submit WORKTYPE [-- PARAMS...]",
		Short: "Give work to a node",
		Long: `Give work to a node.

The unit starts when all of its input is there. With --stream it starts at once and
reads the input while that comes, for as long as that takes:

  tail -f log | receptorctl work submit --payload - --stream --follow cat

A stream that breaks off stops the unit; one that goes on when the unit has ended is
not read any more.

With --stderr separate the error output of the unit is kept apart from its output:
--follow prints it on stderr, ` + "`receptorctl work results --stderr ID`" + ` later.`,
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
	f.BoolVar(&o.stream, "stream", false, "start at once, and read the payload while it comes")
	f.StringVar(&o.stderr, "stderr", "", "keep error output apart (separate), or with the output (mixed) (default: as the work type is configured)")
	cmd.RegisterFlagCompletionFunc("stderr", cobra.FixedCompletions(
		[]string{controlproto.StderrMixed, controlproto.StderrSeparate}, cobra.ShellCompDirectiveNoFileComp))
	f.StringArrayVarP(&o.params, "param", "a", nil, "parameter of the worker, KEY=VALUE or KEY=@FILE; may be repeated")
	jsonFlag(cmd, &o.json)
	return cmd
}

func runWorkSubmit(ctx context.Context, a *app, o workSubmitOptions) error {
	if err := o.check(); err != nil {
		return err
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
	if d.v1 && request.Stderr == controlproto.StderrMixed {
		request.Stderr = "" // an ansible/receptor daemon does nothing else
	}
	s := &submission{d: d, o: o, request: request, input: input}
	if o.stream && o.follow {
		err = s.runFollowed(ctx)
	} else {
		err = s.run(ctx)
	}
	if s.done.UnitID == "" {
		return err // there is nothing to release, or it is told
	}
	if o.rm {
		return a.releaseAfter(ctx, d, o, s.done, err)
	}
	if err == nil && o.json {
		return a.printJSON(s.done)
	}
	return err
}

// check checks what options may stand together.
func (o workSubmitOptions) check() error {
	switch {
	case o.json && o.follow:
		return fail(exitFailure, "Cannot use both --json and --follow", "--follow prints the unit's output as it is")
	case o.stream && o.noPayload:
		return fail(exitFailure, "Cannot use both --stream and --no-payload", "--stream is for the input of --payload or --payload-literal")
	case o.stderr != "" && o.stderr != controlproto.StderrMixed && o.stderr != controlproto.StderrSeparate:
		return fail(exitFailure, "'"+o.stderr+"' is not a valid value of --stderr.", "it is separate or mixed")
	}
	return nil
}

// submission is one call of work submit.
type submission struct {
	d       *daemon
	o       workSubmitOptions
	request controlproto.Submit
	input   *payload

	unit string                 // its id, once it is known
	sent atomic.Bool            // the payload was sent to its end
	done controlproto.Submitted // what came of it; zero if it failed
}

// run submits, then tells of the unit or follows it.
func (s *submission) run(ctx context.Context) (err error) {
	created := func() {}
	if s.o.stream { // the result may be hours away
		created = func() { fmt.Fprintf(s.d.a.stderr, "Unit ID: %s\n", s.unit) }
	}
	if s.done, err = s.submit(ctx, created); err != nil {
		s.done = controlproto.Submitted{}
		return err
	}
	return s.after(ctx)
}

// after tells of the unit, or follows it.
func (s *submission) after(ctx context.Context) error {
	a, o := s.d.a, s.o
	if o.follow {
		fmt.Fprintf(a.stderr, "Unit ID: %s\n", s.done.UnitID)
	} else if !o.json {
		a.printf("Result: %s\nUnit ID: %s\n", s.done.Result, s.done.UnitID)
	}
	if s.done.Result == controlproto.JobSubmitted {
		s.tellPending(ctx)
	}
	if !o.follow {
		return a.outErr()
	}
	return withCode(exitSubmit, s.d.results(ctx, s.following()))
}

// following is the unit with all of its output.
func (s *submission) following() *following {
	return &following{unit: s.unit, stdout: &progress{w: s.d.a}, stderr: &progress{w: s.d.a.stderr}}
}

// statusPatience bounds a question about a unit that only a hint needs.
const statusPatience = 5 * time.Second

// tellPending tells why the unit was not handed on: its time may be over.
func (s *submission) tellPending(ctx context.Context) {
	a, node := s.d.a, s.request.Node
	switch {
	case s.request.TTL == "":
		a.hint("node " + node + " cannot be reached now; the daemon goes on trying. `receptorctl status` lists the nodes that can be")
		return
	case !s.o.follow: // else what becomes of it is told
		ctx, cancel := context.WithTimeout(ctx, statusPatience)
		defer cancel()
		if u, err := s.d.status(ctx, s.unit); err == nil && u.State == controlproto.Failed {
			a.hint("node " + node + " did not get the unit in time: " + u.Detail)
			return
		}
	}
	a.hint("node " + node + " was not reached yet; the daemon tries until the ttl is over. `receptorctl status` lists the nodes that can be reached")
}

// endPatience is how long a streamed submission may take to end after its unit has.
const endPatience = 5 * time.Second

// runFollowed submits a streamed unit and prints its output meanwhile.
func (s *submission) runFollowed(ctx context.Context) error {
	created := make(chan struct{})
	var submitErr error
	submitted := make(chan struct{})
	go func() { // runFollowed waits for it, once there is a unit
		defer close(submitted)
		s.done, submitErr = s.submit(ctx, func() { close(created) })
	}()
	select {
	case <-created:
	case <-submitted:
		select {
		case <-created:
		default:
			return submitErr
		}
	}
	fmt.Fprintf(s.d.a.stderr, "Unit ID: %s\n", s.unit)
	own := s.d.another()
	shown := own.results(ctx, s.following())
	own.close()
	f, failed := errors.AsType[*failure](shown)
	ended := shown == nil || failed && f.unit
	abandoned := s.endInput(submitted, ended)
	e, refused := errors.AsType[*controlproto.Error](submitErr)
	switch {
	case refused && ended && failed && strings.HasSuffix(f.message, e.Message):
		// The unit was never started: told as without --follow.
		if s.o.rm {
			s.done.UnitID = s.unit
			if f, ok := errors.AsType[*failure](submitErr); ok {
				f.left = nil
			}
		} else {
			s.done = controlproto.Submitted{}
		}
		return submitErr
	case ctx.Err() != nil && submitErr != nil:
		s.done = controlproto.Submitted{} // submit has seen to it
		return submitErr
	case !ended || submitErr == nil || refused || abandoned || shown == nil:
		s.done.UnitID = s.unit
		return withCode(exitSubmit, shown)
	}
	s.done = controlproto.Submitted{UnitID: s.unit}
	return submitErr // why the unit failed
}

// endInput waits until a submission has ended whose unit has ended, or whose
// output cannot be printed any more; it tells whether it had to break it off.
func (s *submission) endInput(submitted <-chan struct{}, ended bool) (abandoned bool) {
	if ended {
		timer := time.NewTimer(endPatience)
		defer timer.Stop()
		select {
		case <-submitted:
			return false
		case <-timer.C:
		}
	}
	select {
	case <-submitted:
		return false
	default:
	}
	s.input.close()
	<-submitted
	return true
}

// submit makes the unit, calls created, and sends its payload.
func (s *submission) submit(ctx context.Context, created func()) (controlproto.Submitted, error) {
	d := s.d
	c, err := d.session(ctx)
	if err != nil {
		return controlproto.Submitted{}, withCode(exitSubmit, err)
	}
	done, err := c.Submit(ctx, s.request, s.input, controlproto.SubmitOptions{
		Created: func(u controlproto.UnitEvent) { s.unit = u.UnitID; created() },
		Resume:  true, // stdin is not read for a unit that is refused
		Sent:    func() { s.sent.Store(true) },
		Abandon: s.input.close,
	})
	if err != nil || d.v1 {
		d.drop()
	}
	if err == nil {
		if s.unit == "" { // else others read it already
			s.unit = done.UnitID
		}
		return done, nil
	}
	if e, refused := errors.AsType[*controlproto.Error](err); refused {
		return done, s.refusal(e)
	}
	f := *explain(withCode(exitSubmit, err))
	f.err = err
	if s.unit != "" && !s.sent.Load() && lost(err) {
		f.message = "the connection to the daemon broke while the payload was being sent"
		f.hints = []string{"what was sent cannot be taken up again: submit the whole payload anew"}
	}
	if s.unit != "" {
		f.left = append(f.left, s.leftBehind(ctx))
	}
	return done, &f
}

// leftBehind sees to the unit of a submission that broke off, and tells of it.
func (s *submission) leftBehind(ctx context.Context) string {
	switch {
	case s.o.rm || s.d.v1 && !s.sent.Load():
		return s.d.releaseBroken(ctx, s.unit, s.sent.Load())
	case s.sent.Load():
		return "the submission may have come through: it is unit " + s.unit
	}
	return "the payload of unit " + s.unit + " broke off, so it fails; `receptorctl work release " + s.unit + "` deletes what is left of it"
}

// refusal words that the daemon, or the node that the work is for, refused a
// submission; there is no unit if the daemon did so at once.
func (s *submission) refusal(e *controlproto.Error) error {
	f := fail(exitSubmit, "Failed to start work unit: "+e.Message, hintsFor(e.Message)...)
	f.err = e
	if s.unit == "" {
		return f
	}
	f.message = "Remote error: " + remoteText(e.Message)
	if strings.HasPrefix(e.Message, remoteRefusal) {
		f.hints = append([]string{"node " + s.request.Node + " refused work of type " + s.request.WorkType}, f.hints...)
	}
	if !strings.Contains(e.Message, "unknown work unit") { // released meanwhile
		f.left = append(f.left, "what is left of it is unit "+s.unit+"; `receptorctl work release "+s.unit+"` deletes it")
	}
	return f
}

// releasePatience bounds the release of a unit behind a submission that broke off.
const releasePatience = 30 * time.Second

// releaseBroken deletes a unit whose submission broke off, and tells what became
// of it. Version 1 takes a part of a payload for the whole, and would run the unit.
func (d *daemon) releaseBroken(ctx context.Context, unit string, whole bool) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	outcome, err := d.outcome(ctx, "release", unit)
	switch {
	case err == nil && whole:
		return "unit " + unit + ": " + outcome
	case err == nil:
		return "unit " + unit + " had a part of its payload: " + outcome
	case d.v1 && !whole:
		return "unit " + unit + " was not released, and may run with a part of its payload: " + explain(err).message
	}
	return "unit " + unit + " was not released: " + explain(err).message
}

// releaseAfter carries out --rm. What went wrong before it, in shown, comes first.
func (a *app) releaseAfter(ctx context.Context, d *daemon, o workSubmitOptions, done controlproto.Submitted, shown error) error {
	if ctx.Err() != nil {
		d.drop() // it may be in the middle of the results
	}
	shown = a.tell(ctx, shown)
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
