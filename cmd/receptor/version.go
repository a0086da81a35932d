package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// release is set by the linker to the version that is built.
var release string

func newVersion(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and what it was built from",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(stdout, "receptor %s, compatible with ansible/receptor %s (%s, %s/%s)\n",
				build(), controlproto.Release, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// build names the build: the release, else the commit it was made from.
func build() string {
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
