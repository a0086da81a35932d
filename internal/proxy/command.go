package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/shlex"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// CommandService runs a command on a terminal of its own for each stream to a
// service, advertised as `Command Service` (section command-service). What
// comes from the stream is typed; what the terminal shows goes back, so lines
// end in CR LF. The terminal has no size.
//
// A command and all processes of its session end with their connection:
//
//	the command exits        all output is delivered, then the connection ends
//	the connection breaks    SIGHUP at once, SIGKILL after killGrace
//	the other end reads no   the same
//	  more
//	the other end only ends  the end-of-file character is typed; the command
//	  its direction          goes on, and is hung up when it shows nothing for
//	                         quietTime
//
// The last row is for clients that send a request, end their direction and
// read the answer. Nodes of ansible/receptor do the same when their client has
// gone, and hang up at once when they run the command.
type CommandService struct {
	Service wire.Service
	Command string      // split by shell quoting, nothing is expanded
	TLS     *tls.Config // for the streams; nil is the anonymous certificate
}

// Values of the command service.
const (
	maxCommands = 256              // at a time; further connections wait
	quietTime   = 10 * time.Second // of silence, once the other end has ended its direction
	killGrace   = 2 * time.Second  // between SIGHUP and SIGKILL
	endOfFile   = 0x04             // the character that terminals take for the end of input
	endAgain    = time.Second      // of silence before it is typed again
)

// Open listens on the mesh; the command is looked for when a connection needs
// it. A nil log discards. It is an error on systems without Unix terminals.
func (c CommandService) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	argv, err := shlex.Split(c.Command)
	switch {
	case err != nil:
		return nil, fmt.Errorf("command %q: %w", c.Command, err)
	case len(argv) == 0:
		return nil, errors.New("command is empty")
	case !haveTerminals:
		return nil, errors.New("a command service needs pseudo terminals, which this system does not have")
	}
	ln, err := n.Listen(mesh.Service{
		Name: c.Service, Advertise: true, TLS: c.TLS, Tags: map[string]string{"type": "Command Service"},
	})
	if err != nil {
		return nil, err
	}
	log = named(log).With("service", string(c.Service))
	s := &commandService{
		argv: argv, quiet: quietTime, log: log,
		starts: &reporter{log: log, bad: "command does not start", good: "command starts again"},
	}
	return &Service{
		run:   func(ctx context.Context) error { return accept(ctx, ln, s.handle, maxCommands, log) },
		close: func() { ln.Close() },
		addr:  ln.Addr(),
	}, nil
}

type commandService struct {
	argv   []string
	quiet  time.Duration
	log    *slog.Logger
	starts *reporter
}

// handle runs the command for one connection, which it owns.
func (s *commandService) handle(ctx context.Context, c net.Conn) {
	t, err := startTerminal(s.argv)
	s.starts.report(err)
	if err != nil {
		abort(c)
		return
	}
	defer t.wait()
	stop := context.AfterFunc(ctx, func() {
		t.hangup()
		abort(c)
	})
	defer stop()
	if w, ok := c.(interface{ WriteContext() context.Context }); ok {
		defer context.AfterFunc(w.WriteContext(), t.hangup)()
	}

	r := &run{conn: c, term: t, quiet: s.quiet}
	var input sync.WaitGroup
	defer input.Wait()
	input.Go(r.input) // ends with the connection, which is closed below
	err = r.output()
	t.hangup() // whoever still types ends
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.Debug("command ended", "peer", c.RemoteAddr().String(), "err", err)
	}
}

// run is a command with its connection.
type run struct {
	conn    net.Conn
	term    *terminal
	quiet   time.Duration
	half    atomic.Bool  // the other end has ended its direction; who never reads then is gone
	writing atomic.Bool  // output waits for the other end
	written atomic.Int64 // when output was last delivered, in Unix nanoseconds
}

// Write delivers output.
func (r *run) Write(b []byte) (int, error) {
	r.writing.Store(true)
	if r.half.Load() {
		r.conn.SetWriteDeadline(time.Now().Add(stallTime))
	}
	n, err := r.conn.Write(b)
	r.written.Store(time.Now().UnixNano())
	r.writing.Store(false)
	return n, err
}

// output delivers what the terminal shows until the command has ended or the
// other end takes no more; then it ends both.
func (r *run) output() error {
	_, source, err := pump(r, r.term)
	if err != nil && !source {
		r.term.hangup()
		abort(r.conn)
		return err
	}
	if r.term.hungUp() {
		abort(r.conn) // this is not all that the command had to say
		return err
	}
	r.conn.Close() // what was written arrives
	return err
}

// input types what comes from the other end.
func (r *run) input() {
	last := &lastByte{Writer: r.term, b: '\n'}
	_, source, err := pump(last, r.conn)
	if source {
		r.term.hangup()
		return
	}
	if err != nil { // the terminal is closed, or takes no input any more
		io.Copy(io.Discard, r.conn)
		return
	}
	r.written.Store(time.Now().UnixNano())
	r.half.Store(true)
	r.conn.SetWriteDeadline(time.Now().Add(stallTime)) // of a Write that waits
	if last.b != '\n' {
		r.term.typeEnd() // this one only ends the line
	}
	r.term.typeEnd()
	r.hangupWhenQuiet()
}

// hangupWhenQuiet ends a command that shows nothing for long. Before that the
// end of the input is typed again: it counts once, for who reads the terminal at
// that time, and shells that edit lines do so only at their prompt.
func (r *run) hangupWhenQuiet() {
	t := time.NewTimer(min(endAgain, r.quiet))
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.term.exited:
			return
		}
		left := r.quiet - time.Since(time.Unix(0, r.written.Load()))
		switch {
		case r.writing.Load():
			left = endAgain // the command is not to blame
		case left <= 0:
			r.term.hangup()
			return
		case left <= r.quiet-endAgain:
			r.term.typeEnd()
		}
		t.Reset(min(endAgain, left))
	}
}

// lastByte notes what was written last.
type lastByte struct {
	io.Writer
	b byte
}

func (w *lastByte) Write(b []byte) (int, error) {
	if len(b) > 0 {
		w.b = b[len(b)-1]
	}
	return w.Writer.Write(b)
}
