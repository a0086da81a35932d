package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/config"
)

func newCheck(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Say everything that is wrong with a configuration, without starting anything",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			f, err := load(files)
			if err != nil {
				return err
			}
			for _, w := range f.Warnings {
				fmt.Fprintf(stdout, "Warning: %s\n", w)
			}
			fmt.Fprintln(stdout, "The configuration is good.")
			return nil
		},
	}
}

// load reads and checks configuration files, and refuses what they ask for
// that this version cannot do: running without it would be worse than not running.
func load(files []string) (*config.File, error) {
	hostname, _ := os.Hostname() // without one, a missing node id is a problem of its own
	f, err := config.Load(config.Options{Hostname: hostname, TempDir: os.TempDir()}, files...)
	if err != nil {
		return nil, err
	}
	if problems := unsupported(f); len(problems) > 0 {
		return nil, problems
	}
	return f, nil
}

// unsupported lists what a valid configuration asks for and does not get yet.
func unsupported(f *config.File) config.Problems {
	var problems config.Problems
	add := func(o config.Origin, key, what string) {
		problems = append(problems, config.Problem{
			File: o.File, Line: o.Line, Section: o.Section, Key: key,
			Text: what + " is not supported by this version yet",
		})
	}
	const tls = "TLS"
	for _, l := range f.Listeners {
		if l.TLS != "" {
			add(l.Origin, "tls", tls)
		}
	}
	for _, p := range f.Peers {
		if p.TLS != "" {
			add(p.Origin, "tls", tls)
		}
	}
	for _, c := range f.ControlServices {
		if c.TLS != "" || c.TCPTLS != "" {
			add(c.Origin, "tls", tls)
		}
	}
	for _, s := range f.TCPServers {
		if s.TLSServer != "" || s.TLSClient != "" {
			add(s.Origin, "tlsserver", tls)
		}
	}
	for _, c := range f.TCPClients {
		if c.TLSServer != "" || c.TLSClient != "" {
			add(c.Origin, "tlsserver", tls)
		}
	}
	for _, w := range f.WorkCommands {
		if w.VerifySignature {
			add(w.Origin, "verifysignature", "signed work")
		}
	}
	return problems
}
