package main

import (
	"github.com/spf13/cobra"
)

func newWorkCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:              "work",
		Short:            "Submit units of work, and see to them",
		TraverseChildren: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f := fail(exitFailure, "No such command '"+args[0]+"'.", "`receptorctl work --help` lists the commands")
				if args[0] == "status" {
					f.hints = append(f.hints, "`receptorctl work list --unit_id ID` shows the status of a unit")
				}
				return f
			}
			return cmd.Help()
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.AddCommand(newWorkAdoptCmd(a), newWorkCancelCmd(a), newWorkListCmd(a), newWorkReleaseCmd(a),
		newWorkResultsCmd(a), newWorkSubmitCmd(a))
	return cmd
}
