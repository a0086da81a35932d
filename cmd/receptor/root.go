package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// run is the program: arguments in, exit code out. Errors of the configuration
// and of the start go to stdout, as operators of ansible/receptor know it
// (spec configuration 10, 15).
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == superviseCommand {
		return supervise.Main(args[1:], stderr) // before all else: that process stays small
	}
	ctx, stop := untilSignal(context.Background())
	defer stop()
	var err error
	if tools := newTools(stdin, stdout); len(args) > 0 && isTool(tools, args[0]) {
		tools.SetArgs(args)
		tools.SetOut(stdout)
		tools.SetErr(stderr)
		err = tools.ExecuteContext(ctx)
	} else {
		err = runSections(ctx, args, stdin, stdout, stderr)
	}
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSaid) {
		q := newLogQueue(stdout, nil) // somebody may read it, or not: the program ends
		fmt.Fprintf(q, "Error: %s\n", strings.TrimRight(err.Error(), "\n"))
		q.close()
	}
	return 1
}

// errSaid ends the program with a failure that was already explained.
var errSaid = errors.New("failed")

// superviseCommand starts the process that owns this node's commands
// (package supervise). It is not for people.
const superviseCommand = "supervise"

// runSections does what a command line of sections says (spec configuration
// 3): most often it runs a node.
func runSections(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	switch {
	case len(args) == 0:
		return help(stdout)
	case !strings.HasPrefix(args[0], "-") && !strings.Contains(args[0], "="):
		return fmt.Errorf("unknown command %q; see receptor --help", args[0])
	}
	a, err := config.ParseArgs(args)
	switch {
	case err != nil:
		return err
	case a.Help:
		return help(stdout)
	case a.Completion:
		return printBashCompletion(stdout)
	}
	return runDaemon(ctx, a, stdin, stdout, stderr)
}

const usage = `A node of a mesh that runs work for other nodes.

Usage:
  receptor --config FILE              run a node; -c FILE; may be repeated, all sections count together
  receptor --SECTION KEY=VALUE...     run a node by sections on the command line; goes with --config
  receptor --config-v2 --config FILE  run a node; the file is of version 2: a map of sections in YAML, JSON or TOML

  receptor check FILE...              say everything that is wrong with a configuration, start nothing
  receptor config convert FILE...     write a configuration in another form
  receptor cert init|request|sign     make an authority, a request for a certificate, a certificate
  receptor cert show|check FILE...    show certificates, say everything that is wrong with them
  receptor completion SHELL           print a script that completes commands: bash, zsh, fish, powershell
  receptor version                    print the version and what it was built from
  receptor --version                  print the version of ansible/receptor that this is compatible with
  receptor --help                     print this
  receptor help SECTION|COMMAND...    explain sections, or one of the commands above

A file of version 1 is a YAML list of sections:

  - node: {id: executor01}
  - tcp-peer: {address: "relayer01:7323"}
  - control-service: {filename: /run/receptor/receptor.sock}
  - work-command: {worktype: hostname, command: cat, params: /etc/hostname}

receptorctl talks to the node through the control service.

Sections and their keys. Times have a unit, as in 90s or 1m30s. What is marked "once" may be there once,
what is marked "alone" is done in place of running a node.

`

func help(stdout io.Writer) error {
	if _, err := io.WriteString(stdout, usage); err != nil {
		return err
	}
	return config.WriteHelp(stdout)
}

// newHelp makes what explains some sections, or one of the other commands.
func newHelp(root *cobra.Command, stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "help [SECTION|COMMAND]...",
		Short: "Explain sections of a configuration, or a command",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return help(stdout)
			}
			if cmd, rest, err := root.Find(args); err == nil && cmd != root && len(rest) == 0 {
				return cmd.Help()
			}
			return config.WriteHelp(stdout, args...)
		},
		ValidArgsFunction: func(_ *cobra.Command, _ []string, last string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return config.SuggestSections(last), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// newTools makes the commands that are no sections.
func newTools(stdin io.Reader, stdout io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:                "receptor",
		Args:               cobra.ArbitraryArgs,
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableFlagParsing: true,
		Run:                func(*cobra.Command, []string) {}, // run does not get here
		ValidArgsFunction:  completeSections,
	}
	cfg := &cobra.Command{
		Use:   "config",
		Short: "Tools for configurations",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cfg.AddCommand(newConvert(stdout))
	root.AddCommand(newCheck(stdout), cfg, newCert(stdin, stdout), newVersion(stdout))
	root.SetHelpCommand(newHelp(root, stdout))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// isTool tells whether an argument is the name of one of the tools, or of the
// requests of completion scripts.
func isTool(tools *cobra.Command, name string) bool {
	if name == cobra.ShellCompRequestCmd || name == cobra.ShellCompNoDescRequestCmd {
		return true
	}
	for _, c := range tools.Commands() {
		if c.Name() == name {
			return true
		}
	}
	return false
}

// completeSections completes the command line of sections.
func completeSections(_ *cobra.Command, words []string, last string) ([]cobra.Completion, cobra.ShellCompDirective) {
	suggestions, files := config.Suggest(words, last)
	if files {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return suggestions, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// loadOptions are what a configuration needs to know of this machine.
func loadOptions() config.Options {
	hostname, _ := os.Hostname() // without one, a missing node id is a problem of its own
	home, _ := os.UserHomeDir()  // without one, no file is looked for there
	return config.Options{Hostname: hostname, TempDir: os.TempDir(), Home: home, LookupEnv: os.LookupEnv}
}

// printVersion prints what the section version asks for.
func printVersion(stdout io.Writer) error {
	_, err := fmt.Fprintln(stdout, controlproto.Release)
	return err
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM; the
// second one ends the process at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		s := <-signals
		cancel(fmt.Errorf("received signal: %v", s))
		<-signals
		os.Exit(1)
	}()
	return ctx, func() { cancel(context.Canceled) }
}
