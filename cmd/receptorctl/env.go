package main

import (
	"context"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// env is everything that the program takes from the system, so that tests can
// give it something else.
type env struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	stdinTerminal  bool
	stderrTerminal bool
	// raw puts the terminal of stdin into raw mode; restore undoes that.
	raw func() (restore func(), err error)

	getenv  func(name string) string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	pause   func(ctx context.Context, d time.Duration) error
	sockets []string // where a daemon is looked for if no address is given
	version string   // that is compared with the daemon's
}

// defaultSockets are tried in this order when no address is given; only one that
// exists as a socket, and belongs to root or the user, is taken.
var defaultSockets = [...]string{
	"/run/receptor/receptor.sock",
	"/var/run/receptor/receptor.sock",
	"/tmp/receptor.sock",
}

func systemEnv() env {
	stdin := int(os.Stdin.Fd())
	return env{
		stdin:          os.Stdin,
		stdout:         os.Stdout,
		stderr:         os.Stderr,
		stdinTerminal:  term.IsTerminal(stdin),
		stderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		raw: func() (func(), error) {
			state, err := term.MakeRaw(stdin)
			if err != nil {
				return nil, err
			}
			return func() { term.Restore(stdin, state) }, nil
		},
		getenv:  os.Getenv,
		dial:    new(net.Dialer).DialContext,
		pause:   pause,
		sockets: defaultSockets[:],
		version: controlproto.Release,
	}
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
