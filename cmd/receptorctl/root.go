package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"
)

// app is one call of the program.
type app struct {
	env
	settings *viper.Viper // option, else environment
	written  error        // first failure to write to stdout
}

// variables are the settings that may come from the environment. An empty
// variable counts as not set.
var variables = map[string]string{
	"socket":     "RECEPTORCTL_SOCKET",
	"config":     "RECEPTORCTL_CONFIG",
	"tls-client": "RECEPTORCTL_TLSCLIENT",
}

// run does one call and returns its exit code. When ctx ends the call was
// interrupted by the user.
func run(ctx context.Context, e env, args []string) int {
	a := &app{env: e, settings: viper.New()}
	root := newRootCmd(a)
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = interrupted(err)
	}
	return a.report(err)
}

func newRootCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receptorctl",
		Short: "Control a receptor daemon",
		Long: `Receptorctl asks a receptor daemon about its mesh and gives it work to do.

Without --socket and RECEPTORCTL_SOCKET it uses the first of these that is there:
` + "  " + strings.Join(a.sockets, "\n  ") + `

` + exitCodesHelp,
		Version:          build(),
		TraverseChildren: true, // so that --tls-client before and after the command are two options
		SilenceErrors:    true,
		SilenceUsage:     true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noSuchCommand(args[0])
			}
			if cmd.Flags().NFlag() > 0 {
				return fail(1, "Missing command.", "`receptorctl --help` lists the commands")
			}
			return cmd.Help()
		},
	}
	cmd.SetVersionTemplate("receptorctl {{.Version}}\n")
	a.addGlobalFlags(cmd)
	cmd.AddCommand(newConnectCmd(a), newPingCmd(a), newReloadCmd(a), newStatusCmd(a),
		newTracerouteCmd(a), newVersionCmd(a), newWorkCmd(a))
	return cmd
}

func (a *app) addGlobalFlags(cmd *cobra.Command) {
	cmd.Flags().SetInterspersed(false)
	f := cmd.PersistentFlags()
	f.String("socket", "", "address of the daemon: PATH, unix:PATH, tcp://HOST:PORT or tls://HOST:PORT [RECEPTORCTL_SOCKET]")
	f.StringP("config", "c", "", "a daemon's configuration file, to look up --tls-client in [RECEPTORCTL_CONFIG]")
	f.String("rootcas", "", "file of CA certificates for a tls: address (default: the system's)")
	f.String("key", "", "file of the client's private key")
	f.String("cert", "", "file of the client's certificate")
	f.Var(new(boolean), "insecureskipverify", "do not check that the server's certificate is for its host name")
	// Not for the commands: theirs of that name means an entry of the daemon.
	cmd.Flags().String("tls-client", "", "name of a tls-client entry in the file of --config [RECEPTORCTL_TLSCLIENT]")

	fromEnvironment := map[string]any{}
	for name, variable := range variables {
		if value := a.getenv(variable); value != "" {
			fromEnvironment[name] = value
		}
	}
	a.settings.MergeConfigMap(fromEnvironment)
	a.settings.BindPFlags(f)
	a.settings.BindPFlag("tls-client", cmd.Flags().Lookup("tls-client"))
}

// setting is the value of a global option, from the command line, else the
// environment, else its default.
func (a *app) setting(name string) string { return a.settings.GetString(name) }

// jsonFlag adds the option --json.
func jsonFlag(cmd *cobra.Command, value *bool) {
	cmd.Flags().BoolVar(value, "json", false, "print JSON")
}

// exactly makes a check that there are just the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fail(1, "Missing parameter: "+names[len(args)])
		}
		switch extra := args[len(names):]; len(extra) {
		case 0:
			return nil
		case 1:
			return fail(1, "Got unexpected extra argument ("+extra[0]+")")
		default:
			return fail(1, "Got unexpected extra arguments ("+strings.Join(extra, " ")+")")
		}
	}
}
