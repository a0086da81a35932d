package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/control"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/work"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// daemon is a configuration at work. Its parts run in stages, which start in
// the order of the fields and stop in the reverse order, each waiting for all
// that it started.
type daemon struct {
	args    *config.Args
	cfg     *config.File // guarded by reloading once the stages run
	log     *slog.Logger
	level   *slog.LevelVar
	packets *slog.Logger // for lines about packets, whatever the level is

	node *mesh.Node
	work *work.Manager

	tls          atomic.Pointer[tlsEntries]
	certificates *pki.Watcher // of the files of tls

	audit  *audit.Log
	access map[string]*accessList // of the control services, by their identity; guarded by reloading

	records, mesh, units, links, proxies, control *stage

	reloading sync.Mutex // held for one reload; guards kinds
	kinds     []sections // that a reload can change, in the order of their start
	server    *control.Server

	ready atomic.Bool // all that is configured runs
}

// runDaemon runs a node until ctx ends, or does what else a command line says.
func runDaemon(ctx context.Context, args *config.Args, stdin io.Reader, stdout, stderr io.Writer) error {
	hup, ignore := hangups() // one that comes from here on reloads when all runs, and ends nothing
	defer ignore()
	cfg, err := load(func() (*config.Args, error) { return args, nil })
	if err != nil {
		return err
	}
	if cfg.PrintVersion {
		return printVersion(stdout)
	}
	if done, err := makeCertificates(ctx, cfg, stdin, stdout, stderr); done || err != nil {
		return err
	}
	d := &daemon{args: args, cfg: cfg, level: new(slog.LevelVar)}
	d.level.Set(cfg.Log.Level)
	log := newLog(stdout, cfg.Log.Format, d.level)
	defer log.close()
	d.log = log.Logger
	d.packets = slog.New(newLogHandler(log.queue, cfg.Log.Format, slog.LevelDebug))
	for _, w := range cfg.Warnings {
		d.log.Warn("configuration", "problem", w.String())
	}
	if !cfg.HasBackend() {
		d.log.Warn("nothing to do")
		fmt.Fprintf(log.queue, "Run %s --help for command line instructions.\n", os.Args[0])
		return errSaid
	}
	if err := d.build(); err != nil {
		return err
	}
	d.setTrace(cfg.Trace)
	return d.run(ctx, hup)
}

// build makes the parts; nothing runs yet.
func (d *daemon) build() error {
	entries, err := loadTLS(d.cfg, nil, d.log)
	if err != nil {
		return err
	}
	d.certificates = pki.NewWatcher(d.log)
	d.useTLS(entries)
	d.audit = audit.New(d.cfg.Node.ID, d.log)
	d.node, err = mesh.New(mesh.Config{
		ID:          wire.NodeID(d.cfg.Node.ID),
		IdleTimeout: d.cfg.Node.IdleTimeout,
		Logger:      d.log,
		Policy:      firewall(d.cfg.Node.Firewall),
		Reached:     d.reached,
	})
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program, which also runs the commands: %w", err)
	}
	dir := filepath.Join(d.cfg.Node.DataDir, d.cfg.Node.ID)
	d.node.SetWorkTypes(offeredTypes(d.cfg))
	keys, err := d.keys(d.cfg)
	if err != nil {
		return err
	}
	if len(d.cfg.ControlServices) == 0 {
		return nil // nobody can submit work: a relay needs no place to keep any
	}
	d.work, err = work.New(work.Config{
		Dir: dir, Node: d.cfg.Node.ID, Types: workTypes(d.cfg), Unsynced: d.cfg.Node.Unsynced,
		Dial:           d.dialControl,
		CheckTLSClient: func(name string) error { _, err := d.tlsClient(name); return err },
		Keys:           keys,
		Supervisor: supervise.Config{
			Dir:    filepath.Join(dir, ".supervisor"),
			Argv:   []string{exe, superviseCommand},
			Logger: d.log,
		},
		Refused: d.recordRefusal,
		Logger:  d.log,
	})
	if err != nil {
		return at(d.cfg.Node.Origin, fmt.Errorf("datadir: %w", err))
	}
	return nil
}

// run starts the stages, waits for ctx or a failure, and stops them.
func (d *daemon) run(ctx context.Context, hup <-chan os.Signal) (err error) {
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, s := range []**stage{&d.records, &d.mesh, &d.units, &d.links, &d.proxies, &d.control} {
		*s = newStage(fail)
		defer (*s).stop()
	}
	d.records.run(d.audit.Run)
	d.mesh.run(d.node.Run)
	d.mesh.run(d.certificates.Run)
	d.mesh.run(func(ctx context.Context) error { returnMemory(ctx); return nil })
	if d.work != nil {
		d.units.run(d.work.Run)
	}
	if err := d.startSections(); err != nil {
		return err
	}
	d.log.Info("initialization complete")
	d.ready.Store(true)
	d.control.run(func(ctx context.Context) error { return d.reloadOn(ctx, hup) })
	<-failed.Done()
	d.ready.Store(false)
	if ctx.Err() != nil {
		d.log.Info("stopping", "cause", context.Cause(ctx))
		return nil
	}
	return context.Cause(failed)
}

// startSections starts all that can be changed by a reload. All that fails is
// said.
func (d *daemon) startSections() error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.server = control.New(control.Config{
		Node: d.node, Work: d.work, Version: controlproto.Release, Certificates: d.certificateStatus,
		TLSClient: d.meshClientTLS, Reload: d.reload, Audit: d.audit, Logger: d.log, PayloadTrace: d.payloadTrace(),
	})
	record, err := openAudit(d.cfg)
	if err != nil {
		return err
	}
	d.audit.Use(record)
	d.kinds = d.allKinds()
	var errs []error
	for _, k := range d.kinds {
		errs = append(errs, k.startAll(d.cfg))
	}
	return errors.Join(errs...)
}

// dialControl opens the control service of another node, for work.
func (d *daemon) dialControl(ctx context.Context, node, tlsName string) (io.ReadWriteCloser, bool, error) {
	tlsc, err := d.meshClientTLS(tlsName, node)
	if err != nil {
		return nil, false, err
	}
	conn, err := d.node.Dial(ctx, wire.NodeID(node), "control", tlsc)
	if t, ok := errors.AsType[*mesh.TLSError](err); ok {
		err = t // the text of the original in the detail of units
	}
	if err != nil {
		return nil, false, err
	}
	return conn, mesh.Ours(conn), nil
}

// reached passes on which nodes have come into reach.
func (d *daemon) reached(nodes []wire.NodeID) {
	if d.work == nil {
		return
	}
	for _, id := range nodes {
		d.work.Reached(string(id))
	}
}

// payloadTraceVariable has the level of PayloadTrace, a number.
const payloadTraceVariable = "RECEPTOR_PAYLOAD_TRACE_LEVEL"

// payloadTrace is what the environment says about it.
func (d *daemon) payloadTrace() control.PayloadTrace {
	text := os.Getenv(payloadTraceVariable)
	if text == "" {
		return 0
	}
	level, err := strconv.Atoi(text)
	if err != nil || level < 0 {
		d.log.Warn("variable of the environment is ignored: it has to be a number from 0 to 3", "name", payloadTraceVariable, "value", text)
		return 0
	}
	return control.PayloadTrace(level)
}

// setTrace begins or ends the lines about packets.
func (d *daemon) setTrace(on bool) {
	if on {
		d.node.SetTrace(d.packets)
	} else {
		d.node.SetTrace(nil)
	}
}

// firewall turns the rules of the configuration into the node's policy.
func firewall(rules []config.FirewallRule) mesh.Policy {
	if len(rules) == 0 {
		return nil
	}
	return func(from, to wire.NodeID, fromService, toService wire.Service) mesh.Verdict {
		switch action, _ := config.Decide(rules, string(from), string(to), string(fromService), string(toService)); action {
		case config.Reject:
			return mesh.Reject
		case config.Drop:
			return mesh.Drop
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
