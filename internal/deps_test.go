// Package internal holds the rules of who may import whom, as a test.
package internal

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/receptor-go/receptor/"

// mayImport lists, for each package of the programs, the packages of ours
// that it may import. What is not listed may import nothing of ours.
var mayImport = map[string][]string{
	"cmd/receptor": {
		"internal/access", "internal/audit", "internal/config", "internal/control", "internal/controlproto", "internal/mesh", "internal/mesh/link",
		"internal/mesh/wire", "internal/metrics", "internal/pki", "internal/proxy", "internal/unixsocket", "internal/work", "internal/work/sign", "internal/work/supervise",
	},
	"cmd/receptorctl":             {"internal/controlproto"},
	"internal/control":            {"internal/access", "internal/audit", "internal/controlproto", "internal/lend", "internal/mesh", "internal/mesh/wire", "internal/pki", "internal/work"},
	"internal/access":             nil,
	"internal/audit":              nil,
	"internal/metrics":            {"internal/controlproto", "internal/mesh", "internal/pki", "internal/work"},
	"internal/proxy":              {"internal/lend", "internal/mesh", "internal/mesh/wire", "internal/unixsocket"},
	"internal/work":               {"internal/controlproto", "internal/lend", "internal/work/sign", "internal/work/supervise"},
	"internal/work/sign":          nil,
	"internal/work/worktest":      {"internal/controlproto", "internal/work", "internal/work/supervise"},
	"internal/mesh":               {"internal/mesh/link", "internal/mesh/route", "internal/mesh/wire"},
	"internal/mesh/meshtest":      {"internal/mesh", "internal/mesh/link", "internal/mesh/route", "internal/mesh/wire"},
	"internal/mesh/route":         {"internal/mesh/wire"},
	"internal/mesh/link":          {"internal/lend"},
	"internal/mesh/link/linktest": {"internal/mesh/link"},
	"internal/mesh/wire":          nil,
	"internal/config":             nil,
	"internal/pki":                nil,
	"internal/pki/pkitest":        nil,
	"internal/controlproto":       nil,
	"internal/lend":               nil,
	"internal/unixsocket":         nil,
	"internal/work/supervise":     nil,
}

// onlyIn lists libraries that one place alone may import.
var onlyIn = map[string][]string{
	"github.com/spf13/cobra":              {"cmd/receptor", "cmd/receptorctl"},
	"github.com/spf13/viper":              {"cmd/receptorctl"},
	"gopkg.in/yaml.v3":                    {"internal/config", "cmd/receptorctl"},
	"github.com/quic-go/quic-go":          {"internal/mesh"},
	"github.com/gorilla/websocket":        {"internal/mesh/link"},
	"github.com/prometheus/client_golang": {"internal/metrics"},
	"github.com/creack/pty":               {"internal/proxy"},
	"github.com/vishvananda/netlink":      {"internal/proxy"},
	"github.com/fsnotify/fsnotify":        {"internal/pki", "internal/work"},
	"github.com/pelletier/go-toml":        {"internal/config"},
	"github.com/golang-jwt/jwt":           {"internal/work/sign"},
}

// pure packages know no sockets, no files and no locks, and never read a clock
// (the last is seen in review).
var pure = map[string][]string{
	"internal/mesh/wire":    {"net", "os", "sync"},
	"internal/mesh/route":   {"net", "os", "sync"},
	"internal/controlproto": {"net", "os"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "test/") || name == "internal" {
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.Contains(mayImport[name], ours) {
				t.Errorf("%s imports %s, against the direction of the house", name, ours)
			}
			for library, places := range onlyIn {
				if (i == library || strings.HasPrefix(i, library+"/")) && !slices.Contains(places, name) {
					t.Errorf("%s imports %s, which belongs to %v alone", name, i, places)
				}
			}
			if slices.Contains(pure[name], i) {
				t.Errorf("%s imports %s, but is to be pure", name, i)
			}
			if i == "testing" && !strings.HasSuffix(name, "test") {
				t.Errorf("%s imports testing", name)
			}
		}
	}
}

// TestClientIsSmall holds that the CLI carries no mesh.
func TestClientIsSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"cmd/receptorctl").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		for _, heavy := range []string{"quic-go", "gorilla/websocket", module + "internal/mesh", module + "internal/work"} {
			if strings.Contains(dep, heavy) {
				t.Errorf("receptorctl depends on %s", strings.TrimSpace(dep))
			}
		}
	}
}
