//go:build linux

// Package suite holds the benchmark cases and the loop that runs them on one
// or two implementations alternately.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/proc"
)

// Better says which direction of a metric is an improvement.
type Better int

// Directions of improvement.
const (
	Info Better = iota
	Lower
	Higher
)

// Case is one experiment. Run starts what it needs through the Env and
// records metrics and checks there; an error means it could not be completed.
type Case struct {
	Name  string
	Title string
	Limit time.Duration
	Run   func(ctx context.Context, e *Env) error
}

// Target is one implementation under test.
type Target struct{ Label, Bin string }

// Metric is a measured number of one run.
type Metric struct {
	Name, Unit string
	Better     Better
	Value      float64
}

// Check is a pass or fail statement of one run.
type Check struct {
	Name   string
	Pass   bool
	Detail string
}

// Run is what one execution of one case on one target gave.
type Run struct {
	Case    string
	Target  string
	Round   int
	Seconds float64
	Others  float64 // processors that other work on the machine kept busy
	Steal   float64 // processors that the hypervisor withheld
	Metrics []Metric
	Checks  []Check
	Err     string `json:",omitempty"`
}

// Options of a whole session.
type Options struct {
	Targets []Target
	Repeat  int
	Short   bool
	TempDir string
	Log     io.Writer
}

// Env is what a case works with: one target, a scratch directory, a recorder.
type Env struct {
	Target
	Short bool
	Dir   string
	Procs *proc.Table

	run    *Run
	log    io.Writer
	nodes  []*node.Node
	closes []func()
}

// Execute runs the cases in order, alternating between targets, and returns
// one record per run. It stops early when ctx ends.
func Execute(ctx context.Context, table *proc.Table, cases []Case, opt Options) []Run {
	var runs []Run
	for _, c := range cases {
		for round := range opt.Repeat {
			for _, target := range opt.Targets {
				if ctx.Err() != nil {
					return runs
				}
				fmt.Fprintf(opt.Log, "%s  %s round %d ... ", c.Name, target.Label, round+1)
				run := execute(ctx, table, c, target, round, opt)
				fmt.Fprintf(opt.Log, "%.1f s, others %.2f CPU%s\n", run.Seconds, run.Others+run.Steal, note(run))
				runs = append(runs, run)
			}
		}
	}
	return runs
}

func note(r Run) string {
	failed := 0
	for _, c := range r.Checks {
		if !c.Pass {
			failed++
		}
	}
	switch {
	case r.Err != "":
		return "  ERROR: " + r.Err
	case failed > 0:
		return fmt.Sprintf("  %d of %d checks failed", failed, len(r.Checks))
	}
	return ""
}

func execute(parent context.Context, table *proc.Table, c Case, target Target, round int, opt Options) Run {
	run := Run{Case: c.Name, Target: target.Label, Round: round}
	dir, err := os.MkdirTemp(opt.TempDir, "mb")
	if err != nil {
		run.Err = err.Error()
		return run
	}
	defer os.RemoveAll(dir)
	e := &Env{Target: target, Short: opt.Short, Dir: dir, Procs: table, run: &run, log: opt.Log}
	ctx, cancel := context.WithTimeout(parent, c.Limit)
	defer cancel()

	noise := proc.StartNoise()
	began := time.Now()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- fmt.Errorf("harness panic: %v", r)
			}
		}()
		result <- c.Run(ctx, e)
	}()
	select {
	case err = <-result:
	case <-ctx.Done():
		// Ending the daemons unblocks whatever the case waits for.
		table.KillAll()
		select {
		case err = <-result:
		case <-time.After(10 * time.Second):
			err = errors.New("case does not return")
		}
		reason := fmt.Errorf("time limit of %s reached", c.Limit)
		if parent.Err() != nil {
			reason = errors.New("interrupted")
		}
		err = errors.Join(reason, err)
	}
	run.Seconds = time.Since(began).Seconds()
	if err != nil {
		run.Err = strings.ReplaceAll(err.Error(), "\n", "; ")
		for _, n := range e.nodes {
			if tail := n.LogTail(); tail != "" {
				fmt.Fprintf(opt.Log, "\n--- log of %s ---\n%s\n", n.ID, tail)
			}
		}
	}
	table.KillAll()
	run.Others, run.Steal = noise.Shares()
	for _, f := range e.closes {
		f()
	}
	return run
}

// Metric records a number.
func (e *Env) Metric(name, unit string, better Better, value float64) {
	e.run.Metrics = append(e.run.Metrics, Metric{name, unit, better, value})
}

// Check records a verdict.
func (e *Env) Check(name string, pass bool, format string, args ...any) {
	e.run.Checks = append(e.run.Checks, Check{name, pass, fmt.Sprintf(format, args...)})
}

// CheckErr records a verdict that passes when there is no error.
func (e *Env) CheckErr(name string, err error) {
	if err != nil {
		e.Check(name, false, "%v", err)
		return
	}
	e.Check(name, true, "")
}

// OnClose has f called when the run is over.
func (e *Env) OnClose(f func()) { e.closes = append(e.closes, f) }

// Pick returns the small value in a short session, else the full one.
func Pick[T any](e *Env, full, short T) T {
	if e.Short {
		return short
	}
	return full
}

// Node prepares a node of the target.
func (e *Env) Node(spec node.Spec) *node.Node {
	n := node.New(e.Procs, e.Bin, e.Dir, spec)
	e.nodes = append(e.nodes, n)
	return n
}

// Up starts a node and waits until it answers.
func (e *Env) Up(ctx context.Context, nodes ...*node.Node) error {
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			return err
		}
		if _, err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Chain prepares n nodes n0 - n1 - ... joined by TCP links; edit may change a
// node's settings before it is built.
func (e *Env) Chain(n int, edit func(i int, s *node.Spec)) []*node.Node {
	ports := make([]int, n)
	for i := range ports {
		ports[i] = node.FreePort()
	}
	var nodes []*node.Node
	for i := range n {
		s := node.Spec{ID: fmt.Sprintf("n%d", i), TCPListen: ports[i]}
		if i > 0 {
			s.TCPPeers = []string{node.Loopback(ports[i-1])}
		}
		if edit != nil {
			edit(i, &s)
		}
		nodes = append(nodes, e.Node(s))
	}
	return nodes
}

// Script writes an executable shell script and returns its path.
func (e *Env) Script(name, body string) (string, error) {
	path := filepath.Join(e.Dir, name)
	return path, os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700)
}

// CPU is the processor time used so far by all nodes of this run and by
// everything they started.
func (e *Env) CPU() time.Duration {
	total := e.Procs.OrphanCPU()
	for _, pid := range e.Procs.Orphans() {
		total += proc.CPU(pid) + proc.ChildCPU(pid)
	}
	for _, n := range e.nodes {
		if n.Alive() {
			total += proc.TreeCPU(n.Pid())
		}
	}
	return total
}

// DaemonCPU is the processor time of the daemons alone.
func (e *Env) DaemonCPU() time.Duration {
	var total time.Duration
	for _, n := range e.nodes {
		if n.Alive() {
			total += proc.CPU(n.Pid())
		}
	}
	return total
}

// PeakRSS is the largest peak of any node, in MiB.
func (e *Env) PeakRSS() float64 {
	var peak int64
	for _, n := range e.nodes {
		if n.Alive() {
			peak = max(peak, n.Memory().Peak)
		}
	}
	return mib(peak)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// sleep waits, or returns the context's error if that comes first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
