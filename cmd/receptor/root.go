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

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// run is the program: arguments in, exit code out. Errors of the configuration
// and of the start go to stdout, as operators of ansible/receptor know it
// (spec configuration 10, 15).
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == superviseCommand {
		return supervise.Main(args[1:], stderr) // before all else: that process stays small
	}
	root := newRoot(stdout)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ctx, stop := untilSignal(context.Background())
	defer stop()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(stdout, "Error: %s\n", strings.TrimRight(err.Error(), "\n"))
	}
	return 1
}

// errSaid ends the program with a failure that was already explained.
var errSaid = errors.New("failed")

// superviseCommand starts the process that owns this node's commands
// (package supervise). It is not for people.
const superviseCommand = "supervise"

func newRoot(stdout io.Writer) *cobra.Command {
	var files []string
	var showVersion bool
	root := &cobra.Command{
		Use:   "receptor --config FILE",
		Short: "A node of a mesh that runs work for other nodes",
		Long: `receptor is a daemon. Each node of the mesh runs one. What it does is said in a
configuration file, a YAML list of sections:

  - node: {id: executor01}
  - tcp-peer: {address: "relayer01:7323"}
  - control-service: {filename: /run/receptor/receptor.sock}
  - work-command: {worktype: hostname, command: cat, params: /etc/hostname}

receptorctl talks to it through the control service.`,
		Args:          noSections,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case showVersion:
				fmt.Fprintln(stdout, controlproto.Release)
				return nil
			case len(files) == 0:
				return cmd.Help()
			}
			return runDaemon(cmd.Context(), files, stdout)
		},
	}
	root.Flags().StringArrayVarP(&files, "config", "c", nil, "configuration `FILE`; may be repeated, all sections count together")
	root.Flags().BoolVar(&showVersion, "version", false, "print the version and exit")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.AddCommand(newCheck(stdout), newVersion(stdout))
	return root
}

// noSections refuses what is left of the command line.
func noSections(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unknown command %q; see %s --help", args[0], cmd.CommandPath())
}

// flagError explains the one mistake that users of ansible/receptor will make.
func flagError(err error) error {
	if name, found := strings.CutPrefix(err.Error(), "unknown flag: "); found {
		return fmt.Errorf("%s: sections on the command line are not supported by this version yet; write them to a file and name it with --config", name)
	}
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
