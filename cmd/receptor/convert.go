package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/config"
)

func newConvert(stdout io.Writer) *cobra.Command {
	var to string
	var v2 bool
	cmd := &cobra.Command{
		Use:   "convert FILE...",
		Short: "Write a configuration in another form",
		Long: `Reads a configuration in any form and writes it to stdout in another one:

  v1    a YAML list of sections, for --config
  v2    a YAML map of sections, for --config-v2 --config
  args  a command line of sections, quoted for a shell

All forms mean the same. Keys that are not given are not written, nor are comments.
Sections may follow after two dashes, with or without files:

  receptor config convert --to v2 receptor.yml
  receptor config convert --to v1 -- --node id=a --tcp-listener port=7323`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := config.ParseForm(to)
			if err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			a, err := filesAndSections(cmd, v2, args)()
			if err != nil {
				return err
			}
			text, warnings, err := a.Convert(loadOptions(), form)
			if err != nil {
				return err
			}
			for _, w := range warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "Warning: %s\n", w)
			}
			_, err = io.WriteString(stdout, text)
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", string(config.V1), "`FORM` to write: v1, v2 or args")
	cmd.Flags().BoolVar(&v2, "config-v2", false, "the file is of version 2, a map of sections")
	return cmd
}
