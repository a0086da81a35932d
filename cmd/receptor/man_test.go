package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra/doc"
)

var manDir = flag.String("man", "", "directory for the manual pages; by default they are thrown away")

// TestManPages writes the manual pages: of the program, with its sections, and of
// its tools. `make man` keeps them.
func TestManPages(t *testing.T) {
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	var text bytes.Buffer
	if err := help(&text); err != nil {
		t.Fatal(err)
	}
	root := newTools(nil, io.Discard)
	root.Short = "a node of a mesh that runs work for other nodes"
	root.Long = "    " + strings.ReplaceAll(strings.TrimSpace(text.String()), "\n", "\n    ") // verbatim
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "receptor", Manual: "receptor"}, dir); err != nil {
		t.Fatal(err)
	}
	for page, wants := range map[string][]string{
		"receptor.1":                {"work for other nodes", `\-\-tcp\-listener`, "allowedpeers", "receptor\\-config(1)"},
		"receptor-check.1":          {`\-\-json`},
		"receptor-config-convert.1": {`\-\-to`},
	} {
		data, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Error(err)
		}
		for _, want := range wants {
			if !strings.Contains(strings.ReplaceAll(string(data), "-", `\-`), want) && !strings.Contains(string(data), want) {
				t.Errorf("%s does not say %s", page, want)
			}
		}
	}
}
