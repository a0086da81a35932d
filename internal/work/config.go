package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// MaxUnits is how many units a node keeps; further submissions are refused.
const MaxUnits = 100_000

// DefaultGrace is how long a cancelled command may go on before it is killed.
const DefaultGrace = 10 * time.Second

// Config is what a Manager needs. Zero means the default where there is one.
type Config struct {
	Dir   string    // {datadir}/{node id}: the directory of units, made when needed. Required
	Node  string    // our node id. Required
	Types []Command // work types, in the order of the configuration
	Dial  Dialer    // to other nodes' control service; nil: no node can be reached
	// CheckTLSClient returns nil if there is a tls-client entry of that name, or
	// the text for the submitter. It is called with names that are not empty.
	// nil: there is none.
	CheckTLSClient func(name string) error
	Supervisor     supervise.Config // how to find or start the process that runs commands
	// OpenSupervisor replaces the supervisor that Supervisor describes. Tests.
	OpenSupervisor func(ctx context.Context) (Supervisor, error)
	Keys           Keys          // to begin with
	Grace          time.Duration // from the interrupt of a cancelled command to its kill; default DefaultGrace
	// Unsynced answers submissions without waiting for the disk: faster, and what
	// was accepted in the last seconds before a power cut may be lost.
	Unsynced bool
	// Refused is told of a unit for another node that was accepted here, and ended
	// without having been started: its submitter has not heard of that, or not as
	// the answer to its submission alone. It must not wait. nil: nobody is told.
	Refused func(Refusal)
	Logger  *slog.Logger // nil: nothing is logged
}

// Refusal is why a unit was never started.
type Refusal struct {
	Unit, WorkType, Node string
	Err                  *controlproto.Error
}

// Command is a work type that runs a program (spec work 5.1).
type Command struct {
	WorkType           string // name, unique
	Command            string // program, looked up in PATH if it has no slash
	Params             string // that go before those of a submission
	AllowRuntimeParams bool   // a submission may bring params
	VerifySignature    bool   // submissions must be signed, but for those on a Unix socket
	// Python is what runs in place of Command, which then must be empty, as must Params be.
	Python *Python

	SeparateStderr bool // keep the error output apart, unless the submission says otherwise

	// Limits; zero: none.
	MaxUnits   int           // commands that run at a time; further units wait as Pending, in the order of their acceptance
	MaxRuntime time.Duration // of one command
	MaxOutput  int64         // bytes of one unit, error output included
	KeepFor    time.Duration // a unit that has ended is released after so long
	KeepCount  int           // of the units that have ended the newest so many are kept
}

// Dialer opens the control service of a node over the mesh, with the named
// tls-client entry or with "" none. ours tells that the node is one of ours, so
// that version 2 is spoken at once. The connection must be able to end one
// direction alone (CloseWrite), and a Close must end what waits on it.
type Dialer func(ctx context.Context, node, tlsClient string) (conn io.ReadWriteCloser, ours bool, err error)

// Supervisor runs commands; *supervise.Client documents what is expected.
type Supervisor interface {
	Run(ctx context.Context, events func(supervise.Event)) error
	Start(ctx context.Context, j supervise.Job) (supervise.Process, error)
	Stop(ctx context.Context, unit string, grace time.Duration) error
	Adopt(unit, unitDir string) error
	Forget(unit string) error
}

func (c *Config) complete() error {
	if c.Dir == "" || c.Node == "" {
		return errors.New("work: Config needs Dir and Node")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Refused == nil {
		c.Refused = func(Refusal) {}
	}
	if c.Dial == nil {
		c.Dial = func(_ context.Context, node, _ string) (io.ReadWriteCloser, bool, error) {
			return nil, false, fmt.Errorf("no way to node %s", node)
		}
	}
	if c.CheckTLSClient == nil {
		c.CheckTLSClient = func(name string) error { return fmt.Errorf("unknown TLS config %s", name) }
	}
	if c.OpenSupervisor == nil {
		s := c.Supervisor
		c.OpenSupervisor = func(ctx context.Context) (Supervisor, error) { return supervise.Open(ctx, s) }
	}
	_, err := newTypes(c.Types)
	return err
}

// types is the table of work types; immutable.
type types struct {
	list   []controlproto.WorkCommand
	byName map[string]*Command
}

func newTypes(list []Command) (*types, error) {
	t := &types{byName: make(map[string]*Command, len(list))}
	for _, c := range list {
		if c.Python != nil && c.Command == "" && c.Params == "" {
			c.Command = interpreter
		}
		if c.WorkType == "" || c.Command == "" {
			return nil, errors.New("a work-command needs worktype and command")
		}
		if _, taken := t.byName[c.WorkType]; taken || c.WorkType == remoteType {
			return nil, fmt.Errorf("work type %s already registered", c.WorkType)
		}
		t.byName[c.WorkType] = &c
		t.list = append(t.list, controlproto.WorkCommand{WorkType: c.WorkType, Secure: c.VerifySignature})
	}
	return t, nil
}
