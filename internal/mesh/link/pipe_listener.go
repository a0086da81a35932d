package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var (
	errRefused     = errors.New("connection refused")
	errUnreachable = errors.New("host is unreachable")
)

// PipeListener accepts in-memory links. Make one with ListenPipe.
type PipeListener struct {
	opts   PipeOptions
	dialed chan Link
	done   chan struct{}
	once   sync.Once
}

// ListenPipe returns a listener and the dialer that reaches it; each Dial
// makes one Pipe with the given options. The name of the options is the
// address of both.
func ListenPipe(o PipeOptions) (*PipeListener, Dialer) {
	if o.Name == "" {
		o.Name = "pipe"
	}
	l := &PipeListener{opts: o, dialed: make(chan Link), done: make(chan struct{})}
	return l, pipeDialer{l}
}

// Accept implements Listener.
func (l *PipeListener) Accept() (Link, error) {
	select {
	case <-l.done:
		return nil, ErrClosed
	default:
	}
	select {
	case c := <-l.dialed:
		return c, nil
	case <-l.done:
		return nil, ErrClosed
	}
}

// Close implements Listener. Dials fail from now on.
func (l *PipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements Listener.
func (l *PipeListener) Addr() string { return l.opts.Name }

type pipeDialer struct{ to *PipeListener }

func (d pipeDialer) String() string { return "pipe " + d.to.opts.Name }

// Dial waits until the link is accepted. It fails at once while the cable is cut.
func (d pipeDialer) Dial(ctx context.Context) (Link, error) {
	if c := d.to.opts.Cable; c != nil && c.cut.Load() {
		return nil, fmt.Errorf("dial %s: %w", d, errUnreachable)
	}
	here, there := Pipe(d.to.opts)
	select {
	case d.to.dialed <- there:
		return here, nil
	case <-d.to.done:
		return nil, fmt.Errorf("dial %s: %w", d, errRefused)
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", d, context.Cause(ctx))
	}
}
