package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra/doc"
	"github.com/spf13/viper"
)

var manDir = flag.String("man", "", "directory for the manual pages; by default they are thrown away")

// TestManPages writes the manual pages. `make man` keeps them.
func TestManPages(t *testing.T) {
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRootCmd(&app{env: env{sockets: defaultSockets[:], getenv: func(string) string { return "" }}, settings: viper.New()})
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "receptor", Manual: "receptor"}, dir); err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{"receptorctl.1": "socket", "receptorctl-work-submit.1": "payload", "receptorctl-status.1": "json"} {
		if data, err := os.ReadFile(filepath.Join(dir, page)); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s does not say %q (%v)", page, want, err)
		}
	}
}
