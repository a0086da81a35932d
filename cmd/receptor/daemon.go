package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/control"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/work"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// daemon is a configuration at work. Its parts run in stages, which start in
// the order of the fields and stop in the reverse order, each waiting for all
// that it started.
type daemon struct {
	cfg *config.File
	log *slog.Logger

	node *mesh.Node
	work *work.Manager

	mesh, units, links, proxies, control *stage
}

// runDaemon runs a node until ctx ends.
func runDaemon(ctx context.Context, files []string, stdout io.Writer) error {
	cfg, err := load(files)
	if err != nil {
		return err
	}
	d := &daemon{cfg: cfg, log: newLogger(stdout, cfg.Log)}
	for _, w := range cfg.Warnings {
		d.log.Warn("configuration", "problem", w.String())
	}
	if !cfg.HasBackend() {
		d.log.Warn("nothing to do")
		fmt.Fprintf(stdout, "Run %s --help for command line instructions.\n", os.Args[0])
		return errSaid
	}
	if err := d.build(); err != nil {
		return err
	}
	return d.run(ctx)
}

// build makes the parts; nothing runs yet.
func (d *daemon) build() error {
	var err error
	d.node, err = mesh.New(mesh.Config{
		ID:          wire.NodeID(d.cfg.Node.ID),
		IdleTimeout: d.cfg.Node.IdleTimeout,
		Logger:      d.log,
		Policy:      firewall(d.cfg.Node.Firewall),
	})
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program, which also runs the commands: %w", err)
	}
	dir := filepath.Join(d.cfg.Node.DataDir, d.cfg.Node.ID)
	var types []work.Command
	var offered []wire.WorkCommand
	for _, w := range d.cfg.WorkCommands {
		types = append(types, work.Command{
			WorkType: w.WorkType, Command: w.Command, Params: w.Params,
			AllowRuntimeParams: w.AllowRuntimeParams, VerifySignature: w.VerifySignature,
		})
		offered = append(offered, wire.WorkCommand{WorkType: w.WorkType, Secure: w.VerifySignature})
	}
	d.node.SetWorkTypes(offered)
	if len(d.cfg.ControlServices) == 0 {
		return nil // nobody can submit work: a relay needs no place to keep any
	}
	d.work, err = work.New(work.Config{
		Dir: dir, Node: d.cfg.Node.ID, Types: types,
		Dial:           d.dialControl,
		CheckTLSClient: func(name string) error { _, err := tlsClient(name); return err },
		Supervisor: supervise.Config{
			Dir:    filepath.Join(dir, ".supervisor"),
			Argv:   []string{exe, superviseCommand},
			Logger: d.log,
		},
		Logger: d.log,
	})
	if err != nil {
		return at(d.cfg.Node.Origin, fmt.Errorf("datadir: %w", err))
	}
	return nil
}

// run starts the stages, waits for ctx or a failure, and stops them.
func (d *daemon) run(ctx context.Context) (err error) {
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, s := range []**stage{&d.mesh, &d.units, &d.links, &d.proxies, &d.control} {
		*s = newStage(fail)
		defer (*s).stop()
	}
	d.mesh.run(d.node.Run)
	if d.work != nil {
		d.units.run(d.work.Run)
	}
	if err := errors.Join(d.startLinks(), d.startProxies(), d.startControl()); err != nil {
		return err
	}
	d.log.Info("initialization complete")
	<-failed.Done()
	if ctx.Err() != nil {
		d.log.Info("stopping", "cause", context.Cause(ctx))
		return nil
	}
	return context.Cause(failed)
}

// startControl opens the control services.
func (d *daemon) startControl() error {
	server := control.New(control.Config{
		Node: d.node, Work: d.work, Version: controlproto.Release, TLSClient: tlsClient, Logger: d.log,
	})
	serve := func(ln net.Listener, unix bool) {
		d.control.run(func(ctx context.Context) error { return server.Serve(ctx, ln, unix) })
	}
	for _, c := range d.cfg.ControlServices {
		if c.Filename != "" {
			ln, err := control.ListenUnix(c.Filename, c.Permissions)
			if err != nil {
				return at(c.Origin, err)
			}
			serve(ln, true)
		}
		if c.TCPListen != "" {
			ln, err := net.Listen("tcp", c.TCPListen)
			if err != nil {
				return at(c.Origin, fmt.Errorf("error listening on TCP socket: %w", err))
			}
			serve(ln, false)
		}
		if c.Service != "" {
			ln, err := d.node.Listen(mesh.Service{
				Name: wire.Service(c.Service), Advertise: true,
				Tags: map[string]string{"type": "Control Service"},
			})
			if err != nil {
				return at(c.Origin, err)
			}
			serve(ln, false)
		}
		d.log.Info("control service running", "service", c.Service)
	}
	return nil
}

// dialControl opens the control service of another node, for work.
func (d *daemon) dialControl(ctx context.Context, node, tlsName string) (io.ReadWriteCloser, bool, error) {
	tlsc, err := tlsClient(tlsName)
	if err != nil {
		return nil, false, err
	}
	conn, err := d.node.Dial(ctx, wire.NodeID(node), "control", tlsc)
	if err != nil {
		return nil, false, err
	}
	return conn, mesh.Ours(conn), nil
}

// firewall turns the rules of the configuration into the node's policy.
func firewall(rules []config.FirewallRule) mesh.Policy {
	if len(rules) == 0 {
		return nil
	}
	return func(from, to wire.NodeID, fromService, toService wire.Service) mesh.Verdict {
		for i := range rules {
			if !rules[i].Match(string(from), string(to), string(fromService), string(toService)) {
				continue
			}
			switch rules[i].Action {
			case config.Reject:
				return mesh.Reject
			case config.Drop:
				return mesh.Drop
			default:
				return mesh.Accept
			}
		}
		return mesh.Accept
	}
}

// at says which section an error is about.
func at(o config.Origin, err error) error {
	if o.File == "" {
		return err
	}
	return fmt.Errorf("%s: %s: %w", o, o.Section, err)
}

// stage is a group of goroutines that stop together. The first that ends with an
// error fails the daemon.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	fail   context.CancelCauseFunc
	wg     sync.WaitGroup
}

func newStage(fail context.CancelCauseFunc) *stage {
	s := &stage{fail: fail}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// run starts f; it must end when its context does.
func (s *stage) run(f func(context.Context) error) {
	s.wg.Go(func() { // ended and waited for by stop
		if err := f(s.ctx); err != nil && s.ctx.Err() == nil {
			s.fail(err)
		}
	})
}

// stop ends the stage and waits for it.
func (s *stage) stop() {
	s.cancel()
	s.wg.Wait()
}
