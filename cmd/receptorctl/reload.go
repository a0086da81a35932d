package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

type reloadOptions struct {
	json bool
}

func newReloadCmd(a *app) *cobra.Command {
	var o reloadOptions
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its configuration again",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runReload(cmd.Context(), a, o) },
	}
	jsonFlag(cmd, &o.json)
	return cmd
}

func runReload(ctx context.Context, a *app, o reloadOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	var reply controlproto.Reload
	err = d.call(ctx, map[string]any{"command": "reload"}, &reply)
	if errors.As(err, new(*controlproto.Error)) {
		return withCode(exitReloadOther, err)
	}
	if err != nil {
		return err
	}
	if o.json {
		if err := a.printJSON(reply); err != nil {
			return err
		}
	}
	if reply.Success {
		if !o.json {
			a.printf("Reload successful\n")
		}
		return a.outErr()
	}
	return fail(reloadCode(reply.Error), reply.Error, hintsFor(reply.Error)...)
}

// reloadCode is the exit code for a refused reload; its text ends with the code
// of the daemon (spec control-protocol 5.2).
func reloadCode(text string) int {
	switch {
	case strings.Contains(text, "ERRORCODE 3"):
		return exitReload
	case strings.Contains(text, "ERRORCODE 4"):
		return exitReloadFile
	}
	return exitReloadOther
}
