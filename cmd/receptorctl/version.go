package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// release is set by the linker to the version that is built.
var release string

type versionOptions struct {
	json bool
}

func newVersionCmd(a *app) *cobra.Command {
	var o versionOptions
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show which release of ansible/receptor receptorctl and the daemon keep to",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runVersion(cmd.Context(), a, o) },
	}
	jsonFlag(cmd, &o.json)
	return cmd
}

func runVersion(ctx context.Context, a *app, o versionOptions) error {
	d, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if o.json {
		return a.printJSON(map[string]string{"receptorctl": a.version, "receptor": d.version})
	}
	a.printf("receptorctl  %s\nreceptor     %s\n", a.version, d.version)
	return a.outErr()
}

// build tells what program this is, for --version.
func build() string {
	return fmt.Sprintf("%s, compatible with ansible/receptor %s (%s, %s/%s)",
		buildName(), controlproto.Release, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// buildName is the release, else the commit it was made from.
func buildName() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 8 {
			return s.Value[:8]
		}
	}
	return "devel"
}
