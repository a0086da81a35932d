package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type connectOptions struct {
	node, service string
	tlsClient     string // an entry of the daemon
	raw           bool
}

func newConnectCmd(a *app) *cobra.Command {
	var o connectOptions
	cmd := &cobra.Command{
		Use:   "connect NODE SERVICE",
		Short: "Join the terminal, or pipes, to a service of a node",
		Long: `Join the terminal, or pipes, to a stream service of a node.

On a terminal it ends when the service closes or Ctrl-D is typed. In a pipe, the
end of stdin is passed on to the service, and it ends when the service does.`,
		Args: exactly("node", "service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.node, o.service = args[0], args[1]
			return runConnect(cmd.Context(), a, o)
		},
	}
	cmd.Flags().BoolVarP(&o.raw, "raw", "r", false, "raw terminal: each key goes to the service, Ctrl-C too")
	cmd.Flags().StringVar(&o.tlsClient, "tls-client", "", "name of a tls-client entry of the daemon, to reach the node with")
	return cmd
}

func runConnect(ctx context.Context, a *app, o connectOptions) error {
	stream, err := a.connect(ctx, o.node, o.service, o.tlsClient)
	if err != nil {
		return err
	}
	defer stream.Close()
	if !a.stdinTerminal {
		return a.joinPipes(ctx, stream)
	}
	return a.joinTerminal(ctx, stream, o.raw)
}

// connect makes a stream to a service of a node.
func (a *app) connect(ctx context.Context, node, service, tlsClient string) (*controlproto.Stream, error) {
	d, err := a.openV1(ctx)
	if err != nil {
		return nil, err
	}
	c, err := d.session(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := c.Connect(ctx, node, service, tlsClient)
	if err != nil {
		d.close()
		return nil, err
	}
	return stream, nil
}

// joinPipes copies both ways until the service ends its direction.
func (a *app) joinPipes(ctx context.Context, stream *controlproto.Stream) error {
	defer context.AfterFunc(ctx, func() { stream.Close() })()
	// It may wait in a Read of stdin, so it ends with the program.
	go func() {
		if _, err := io.Copy(stream, a.stdin); err == nil {
			stream.CloseWrite()
		}
	}()
	_, err := io.Copy(a, stream)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// joinTerminal is joinPipes for a terminal, which also ends when the user types
// the end of input.
func (a *app) joinTerminal(ctx context.Context, stream *controlproto.Stream, raw bool) error {
	if raw {
		restore, err := a.raw()
		if err != nil {
			return fail(exitFailure, "cannot put the terminal into raw mode: "+err.Error())
		}
		defer restore()
		var stop context.CancelFunc // so that the terminal is restored
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
	}
	defer context.AfterFunc(ctx, func() { stream.Close() })()
	ended := make(chan error, 2)
	go func() { // ends when the stream is closed, which the caller does
		_, err := io.Copy(a, stream)
		ended <- err
	}()
	go func() { // may wait in a Read of the terminal, so it ends with the program
		_, err := io.Copy(stream, a.stdin)
		ended <- err
	}()
	err := <-ended
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a.printf("\n")
	return err
}
