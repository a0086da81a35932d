package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// The exit codes (spec receptorctl 1.5).
const (
	exitOK          = 0
	exitFailure     = 1   // wrong usage, daemon not reached, refused, or the unit failed
	exitPing        = 2   // ping: at least one probe failed
	exitReload      = 3   // reload: refused, the change needs a restart
	exitReloadFile  = 4   // reload: the configuration cannot be used
	exitReloadOther = 5   // reload: anything else
	exitSubmit      = 101 // work submit: refused, or the connection was lost
	exitInterrupted = 130 // Ctrl-C
)

const exitCodesHelp = `Exit codes:
  0    done
  1    wrong usage; daemon not reached; request refused; or the unit failed
  2    ping: at least one probe failed
  3    reload: refused, the change needs a restart
  4    reload: the configuration cannot be used
  5    reload: anything else
  101  work submit: refused, a bad --param, or the connection was lost
  130  interrupted by Ctrl-C`

// failure is an error with all that is shown for it.
type failure struct {
	code    int
	message string
	hints   []string
	err     error    // what it came from; may be nil
	blank   bool     // an empty line follows the message
	silent  bool     // everything there is to say was said
	told    bool     // it was shown already
	unit    bool     // the daemon did all that it was asked; it is the unit that failed
	left    []string // hints about what a submission that broke off left behind
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.err }

// fail makes a failure. A hint tells what to do about it.
func fail(code int, message string, hints ...string) *failure {
	return &failure{code: code, message: message, hints: hints}
}

// interrupted makes the failure of a call that the user ended with Ctrl-C.
func interrupted(err error) error {
	was, ok := errors.AsType[*failure](err)
	if ok && was.told && was.code == exitInterrupted {
		return was
	}
	f := &failure{code: exitInterrupted, err: err, blank: true}
	if ok {
		f.left = was.left
	}
	return f
}

func noSuchCommand(name string) error {
	return fail(exitFailure, "No such command '"+name+"'.", "`receptorctl --help` lists the commands")
}

// withCode gives err another exit code, unless it has one of its own choice.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	f := *explain(err)
	if f.code == exitFailure && !f.silent && !f.unit {
		f.code = code
	}
	return &f
}

// report shows err, if it is one, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	f := explain(err)
	if f.silent || f.told {
		return f.code
	}
	if f.message != "" {
		a.errorLine(f.message)
	}
	if f.blank {
		fmt.Fprintln(a.stderr)
	}
	for _, hint := range append(f.hints[:len(f.hints):len(f.hints)], f.left...) {
		a.hint(hint)
	}
	return f.code
}

// tell shows err now, where something else is still to be done. What it returns
// is not shown again.
func (a *app) tell(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = interrupted(err)
	}
	f := *explain(err)
	a.report(&f)
	f.told = true
	return &f
}

// explain turns any error into a failure.
func explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*controlproto.Error](err); ok {
		f := fail(exitFailure, e.Message, hintsFor(e.Message)...)
		f.err = err
		return f
	}
	if f := usage(err); f != nil {
		return f
	}
	f := fail(exitFailure, err.Error())
	f.err = err
	switch {
	case errors.Is(err, errOutput) && errors.Is(err, syscall.EPIPE):
		f.silent = true // who closed it knows
	case errors.Is(err, context.Canceled):
		f.message = "interrupted"
	case lost(err):
		f.message = "the daemon closed the connection instead of answering"
		f.hints = []string{"its log may tell why"}
	}
	return f
}

// lost tells whether err is that the daemon, or what is on the way, closed the
// connection.
func lost(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// usage words the errors of options as ansible/receptor does; nil for others.
func usage(err error) *failure {
	var (
		missing *pflag.NotExistError
		value   *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &missing):
		name := "--" + missing.GetSpecifiedName()
		if missing.GetSpecifiedShortnames() != "" {
			name = "-" + missing.GetSpecifiedName()
		}
		return fail(exitFailure, "No such option: "+name, "--help lists the options; put -- before arguments that begin with a dash")
	case errors.As(err, &value):
		name := "--" + value.GetSpecifiedName()
		if len(value.GetSpecifiedName()) == 1 {
			name = "-" + value.GetSpecifiedName()
		}
		return fail(exitFailure, "Option '"+name+"' requires an argument.")
	case errors.As(err, &invalid):
		f := fail(exitFailure, fmt.Sprintf("'%s' is not a valid %s.", invalid.GetValue(), invalid.GetFlag().Value.Type()))
		f.hints = []string{"it was given for --" + invalid.GetFlag().Name}
		return f
	}
	return nil
}

// hintsFor finds advice on an error of the daemon. Version 1 has nothing but
// texts to go by, and a hint that is missing does no harm.
func hintsFor(message string) []string {
	for _, h := range hints {
		if strings.Contains(message, h.text) {
			return []string{h.hint}
		}
	}
	return nil
}

var hints = []struct{ text, hint string }{
	{"no route to node", "`receptorctl status` lists the nodes that can be reached"},
	{"no connection to next hop", "the link is down or not up yet; try again in a moment"},
	{"unknown work type", "`receptorctl status` lists the work types of each node"},
	{"unknown work unit", "`receptorctl work list -q` lists the units that this daemon holds"},
	{"extra params provided but not allowed", "the work type takes no parameters unless it is configured with allowruntimeparams: true"},
	{"insecure connection to secure service", "the service wants TLS: name a tls-client entry of the daemon with --tls-client behind the command"},
	{"unknown TLS config", "--tls-client behind the command names a tls-client entry of the daemon's configuration"},
	{"signature is empty", "the work type wants signed work: give --signwork"},
	{"did not expect a signature", "the work type takes no signed work: leave out --signwork"},
	{"signing key is empty", "the daemon needs a work-signing entry in its configuration"},
	{"invalid duration", "a duration is written like 30m, 1h20m30s or 90s"},
	{"cannot send secrets", "parameters named secret_... need --tls-client"},
	{"no recent network activity", "the other node did not answer: it may be gone, or a firewall rule is in the way"},
	{"the daemon is shutting down", "try again when it is back"},
	{"Must restart receptor", "restart the daemon for these changes"},
	{"error loading config file", "the running configuration stays in force"},
}

// remoteText takes the names of errors within errors out of a text that passed
// through several daemons.
func remoteText(text string) string {
	text = strings.TrimPrefix(text, remoteRefusal)
	return strings.TrimPrefix(text, "ERROR: ")
}

// remoteRefusal begins what a daemon says when the node that work is for refused it.
const remoteRefusal = "could not parse response: "
