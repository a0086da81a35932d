package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/control"
)

// reload reads the configuration again and applies what is different: links,
// services, work types, keys, firewall and log level. What is the same is not
// touched, nor is work that runs. If anything is wrong, or needs a restart,
// nothing changes. (spec configuration 9)
func (d *daemon) reload(context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.log.Debug("reload begins")
	d.audit.Reopen()
	lines, err := d.reloadLocked()
	if err != nil {
		d.log.Warn("reload failed", "err", err)
		return err
	}
	d.log.Debug("reloaded", "changes", strings.Join(lines, "; "))
	return nil
}

func (d *daemon) reloadLocked() ([]string, error) {
	if len(d.args.Files()) == 0 && !d.args.V2 {
		return nil, errors.New("no configuration file was provided, reload function not set")
	}
	cfg, err := load(func() (*config.Args, error) { return d.args, nil })
	if err != nil {
		return nil, err
	}
	diff := config.Diff(d.cfg, cfg)
	keepControls(diff)
	wrong := []error{d.needsRestart(cfg, diff)}
	keys, err := d.keys(cfg)
	wrong = append(wrong, err)
	old := d.tls.Load()
	entries, err := loadTLS(cfg, old, d.log)
	wrong = append(wrong, err)
	var c changes
	var ready []opened
	if err == nil {
		d.tls.Store(entries) // for what is opened now
		for _, k := range d.kinds {
			k.plan(&c, diff)
		}
		ready, err = c.prepare()
		wrong = append(wrong, err)
	}
	record, err := openAudit(cfg)
	wrong = append(wrong, err)
	undo := func() {
		c.giveBack(ready)
		d.tls.Store(old)
		if record != nil {
			record.Close()
		}
	}
	if err := errors.Join(wrong...); err != nil {
		undo()
		return nil, err
	}
	if d.work != nil && workTypesChange(diff) {
		if err := d.work.SetTypes(workTypes(cfg)); err != nil {
			undo()
			return nil, err
		}
	}
	// From here on the new configuration counts.
	d.useTLS(entries)
	if d.work != nil && (diff.WorkSigning || diff.WorkVerification) {
		d.work.SetKeys(keys)
	}
	d.useAccess(cfg)
	d.audit.Use(record)
	d.level.Set(cfg.Log.Level)
	d.setTrace(cfg.Trace)
	if diff.Node.Firewall {
		d.node.SetPolicy(firewall(cfg.Node.Firewall))
	}
	if workTypesChange(diff) {
		d.node.SetWorkTypes(offeredTypes(cfg))
	}
	err = c.apply(ready)
	actual := *cfg // what could not be started is tried again by the next reload
	for _, k := range d.kinds {
		k.putDown(&actual)
	}
	d.cfg = &actual
	return diff.Lines(), err
}

// keepControls takes control services for unchanged of which only the TLS
// sections that they name have changed, which they look up at each handshake,
// and the access rules, which are replaced.
func keepControls(diff *config.Difference) {
	c := &diff.ControlServices
	c.Changed = slices.DeleteFunc(c.Changed, func(p config.Pair[config.ControlService]) bool {
		now := p.New
		now.Access = p.Old.Access
		same := equalSections(p.Old, now)
		if same {
			c.Kept = append(c.Kept, p)
		}
		return same
	})
}

// needsRestart says all that a reload cannot change, with the texts of
// ansible/receptor.
func (d *daemon) needsRestart(cfg *config.File, diff *config.Difference) error {
	var errs []error
	changed := func(section string) {
		errs = append(errs, restartError("a non-reloadable config action '"+section+
			"' was modified or added. Must restart receptor for these changes to take effect"))
	}
	n := diff.Node
	if n.Firewall = false; n != (config.NodeDifference{}) {
		changed("node")
	}
	if d.cfg.Log.Format != cfg.Log.Format {
		changed("log-level")
	}
	// A session that asks for a reload could not be told what became of it by a
	// control service that the reload ends.
	switch c := diff.ControlServices; {
	case len(c.Changed) > 0, d.work == nil && len(c.Added) > 0:
		changed("control-service")
	case len(c.Removed) > 0:
		errs = append(errs, restartError("a non-reloadable config action 'control-service' was removed. Must restart receptor for changes to take effect"))
	}
	return errors.Join(errs...)
}

// restartError is the text of ansible/receptor for a change that needs a restart.
type restartError string

func (e restartError) Error() string { return string(e) }

// Is makes it a control.ErrRestart.
func (e restartError) Is(target error) bool { return target == control.ErrRestart }

// hangups are the signals that ask for a reload. Those that come during one
// count as one.
func hangups() (hup chan os.Signal, stop func()) {
	hup = make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup, func() { signal.Stop(hup) }
}

// reloadOn reloads at every signal, until ctx ends.
func (d *daemon) reloadOn(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-hup:
			d.recordSignal("SIGHUP", d.reload(ctx))
		case <-ctx.Done():
			return nil
		}
	}
}
