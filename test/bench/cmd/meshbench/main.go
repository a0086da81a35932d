//go:build linux

// Meshbench runs benchmark and fault cases on one or two receptor binaries
// and prints their figures side by side.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/proc"
	"github.com/receptor-go/receptor/test/bench/internal/suite"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "meshbench:", err)
		os.Exit(1)
	}
}

func run() error {
	list := flag.Bool("list", false, "list the cases and exit")
	only := flag.String("only", "", "comma-separated cases or groups of cases to run")
	short := flag.Bool("short", false, "smaller sizes, for a quick look")
	out := flag.String("json", "", "also write every single value to this file")
	repeat := flag.Int("repeat", 3, "rounds per case")
	temp := flag.String("tmp", os.TempDir(), "directory for data and sockets; keep the path short")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: meshbench [flags] a=BINARY [b=BINARY]")
		flag.PrintDefaults()
	}
	flag.Parse()

	cases, err := suite.Select(suite.Cases(), *only)
	if err != nil {
		return err
	}
	if *list {
		for _, c := range cases {
			fmt.Printf("%-20s %s\n", c.Name, c.Title)
		}
		return nil
	}
	targets, err := parseTargets(flag.Args())
	if err != nil {
		flag.Usage()
		return err
	}
	table, err := proc.NewTable()
	if err != nil {
		return err
	}
	defer table.KillAll()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	began := time.Now()
	runs := suite.Execute(ctx, table, cases, suite.Options{
		Targets: targets, Repeat: *repeat, Short: *short, TempDir: *temp, Log: os.Stderr,
	})
	suite.Report(os.Stdout, cases, targets, runs)
	if *out == "" {
		return ctx.Err()
	}
	data, err := json.MarshalIndent(map[string]any{
		"began": began.UTC().Format(time.RFC3339), "seconds": time.Since(began).Seconds(),
		"cpus": runtime.NumCPU(), "short": *short, "runs": runs,
	}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(data, '\n'), 0o644)
}

func parseTargets(args []string) ([]suite.Target, error) {
	var targets []suite.Target
	for _, arg := range args {
		label, path, found := strings.Cut(arg, "=")
		if !found || label == "" {
			return nil, fmt.Errorf("%q is not of the form NAME=BINARY", arg)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		targets = append(targets, suite.Target{Label: label, Bin: path})
	}
	if len(targets) < 1 || len(targets) > 2 {
		return nil, fmt.Errorf("give one or two binaries")
	}
	return targets, nil
}
