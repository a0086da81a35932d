package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// configCase is a case of the archives of package config: files, and what
// became of the program there.
type configCase struct {
	files map[string]string
	// of invalid.txtar
	Args     []string
	Outcome  string
	ExitCode *int `json:"exit_code"`
	Stdout   string
	// of valid.txtar
	Runs []struct {
		Args      []string
		Env       map[string]string
		Running   bool
		Node      string
		Services  []string
		Sockets   map[string]string
		Listening []string
	}
}

func configCases(t *testing.T, archive string, count int) map[string]*configCase {
	t.Helper()
	a, err := txtar.ParseFile("../../internal/config/testdata/" + archive)
	if err != nil {
		t.Fatal(err)
	}
	cases := make(map[string]*configCase)
	for _, f := range a.Files {
		name, base, _ := strings.Cut(f.Name, "/")
		c := cases[name]
		if c == nil {
			c = &configCase{files: make(map[string]string)}
			cases[name] = c
		}
		if base == "expect.json" {
			if err := json.Unmarshal(f.Data, c); err != nil {
				t.Fatal(f.Name, err)
			}
		} else {
			c.files[base] = string(f.Data)
		}
	}
	if len(cases) != count {
		t.Fatalf("%d cases", len(cases))
	}
	return cases
}

// configRun runs the program by the arguments and files of a case, with ports and
// a data directory of its own.
type configRun struct {
	t    *testing.T
	dir  string
	port map[string]string
}

var (
	vectorPort = regexp.MustCompile(`\b(222[0-9]|223[0-9]|7323)\b`)
	nodeID     = regexp.MustCompile(`(?m)^( +)id: .*$`)
	// The same elsewhere.
	nodeIDInline = regexp.MustCompile(`\{id: \w+`)
	nodeIDJSON   = regexp.MustCompile(`"id": ?"\w+"`)
	nodeIDTOML   = regexp.MustCompile(`(?m)^id *= *"\w+"`)
)

func (r *configRun) start(certs string, files map[string]string, env map[string]string, args []string) *process {
	t := r.t
	t.Helper()
	r.dir, r.port = shortDir(t), make(map[string]string)
	ours := func(s string) string {
		return vectorPort.ReplaceAllStringFunc(s, func(p string) string {
			if r.port[p] == "" {
				r.port[p] = freePort(t)
			}
			return r.port[p]
		})
	}
	if err := os.Symlink(certs, filepath.Join(r.dir, "certs")); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := ours(files[name])
		if !strings.Contains(text, "datadir") {
			text = nodeID.ReplaceAllString(text, "$0\n${1}datadir: data")
			text = nodeIDInline.ReplaceAllString(text, `$0, datadir: data`)
			text = nodeIDJSON.ReplaceAllString(text, `$0, "datadir": "data"`)
			text = nodeIDTOML.ReplaceAllString(text, "$0\ndatadir = \"data\"")
		}
		writeFile(t, r.dir, name, text)
	}
	var given []string
	for i, a := range args {
		given = append(given, ours(a))
		bare := i > 0 && strings.ToLower(args[i-1]) == "--node" && !strings.HasPrefix(a, "-") && !strings.Contains(a, "=")
		if (bare || strings.HasPrefix(strings.ToLower(a), "id=")) && !slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "datadir=") }) {
			given = append(given, "datadir=data")
		}
	}
	env = maps.Clone(env)
	if env == nil {
		env = make(map[string]string)
	}
	env["HOME"] = r.dir
	return startProcessWith(t, "receptor", r.dir, env, given...)
}

// begins waits until the program works, or has ended; true if it works.
func (r *configRun) begins(p *process, sockets map[string]string) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		ended := p.ended()
		if slices.Contains(p.lines(), "INFO Initialization complete") {
			return true
		}
		if len(sockets) > 0 && !ended && r.answer(sockets) { // at level error the log says nothing
			return true
		}
		if ended {
			return false
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("neither runs nor ends after %v:\n%s", patience, p.output())
		}
	}
}

// answer tells whether all sockets are there, and one is a control service.
func (r *configRun) answer(sockets map[string]string) bool {
	answers := false
	for s := range sockets {
		file := filepath.Join(r.dir, s)
		if _, err := os.Stat(file); err != nil {
			return false
		}
		_, err := ask(file, "ping localhost")
		answers = answers || err == nil
	}
	return answers
}

const unsupportedYet = "is not supported by this version yet"

// TestValidVectorsRun: what runs with ansible/receptor runs, is the same node, with
// the same services, sockets and ports, in each form.
func TestValidVectorsRun(t *testing.T) {
	certs := t.TempDir()
	unpack(t, "testdata/certs.txtar", certs)
	slots := make(chan struct{}, 4)
	for name, c := range configCases(t, "valid.txtar", 51) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, want := range c.Runs {
				if slices.ContainsFunc(want.Listening, func(s string) bool { return strings.Contains(s, "*") }) {
					continue // would be open to everybody; package config looks at the addresses
				}
				r := &configRun{t: t}
				p := r.start(certs, c.files, want.Env, want.Args)
				running := r.begins(p, want.Sockets)
				if strings.Contains(p.output(), unsupportedYet) {
					t.Skip(p.output())
				}
				if !running && strings.Contains(p.output(), "operation not permitted") {
					t.Skip(p.output())
				}
				if running != want.Running {
					t.Fatalf("%q: runs: %v, want %v\n%s", want.Args, running, want.Running, p.output())
				}
				if !running {
					if code := p.exitCode(); code != 0 {
						t.Errorf("%q: exit code %d\n%s", want.Args, code, p.output())
					}
					continue
				}
				for socket, mode := range want.Sockets {
					r.checkSocket(p, socket, mode, want.Node, want.Services)
				}
				p.stop()
			}
		})
	}
}

// checkSocket compares the mode of a socket, and what the node says there, if it
// is a control service.
func (r *configRun) checkSocket(p *process, socket, mode, node string, services []string) {
	t := r.t
	t.Helper()
	file := filepath.Join(r.dir, socket)
	info, err := os.Stat(file)
	if err != nil {
		t.Error(err)
		return
	}
	if got := info.Mode().Perm(); got != octal(t, mode) {
		t.Errorf("%s has mode %o, want %s", socket, got, mode)
	}
	slices.Sort(services)
	expect := fmt.Sprintf("%s %q", node, services)
	var got string
	for deadline := time.Now().Add(patience); got != expect; time.Sleep(5 * time.Millisecond) {
		answer, err := ask(file, "status")
		if err != nil {
			return // a proxy
		}
		if time.Now().After(deadline) {
			t.Errorf("the node is %s, want %s", got, expect)
			return
		}
		var status struct {
			NodeID         string
			Advertisements []struct{ NodeID, Service string }
		}
		if err := json.Unmarshal([]byte(answer), &status); err != nil {
			t.Fatal(err, answer)
		}
		if node == "<HOSTNAME>" {
			status.NodeID = node
		}
		var have []string
		for _, a := range status.Advertisements {
			have = append(have, a.Service)
		}
		slices.Sort(have)
		got = fmt.Sprintf("%s %q", status.NodeID, have)
	}
}

func octal(t *testing.T, mode string) os.FileMode {
	t.Helper()
	n, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	return os.FileMode(n)
}

// runsHere are mistakes that end ansible/receptor and that we can live with. They
// are in internal/config/differences.md.
var runsHere = []string{
	"cli-config-equals-form",
	"firewall-json-on-command-line",
	"v2-file-extension-not-known",
	"v2-short-c-option",
	"v2-work-signing-without-tokenexpiration",
	"v2-ws-listener-without-path",
	"work-python-always-fails",
	"work-signing-without-tokenexpiration",
}

// endsHere are those that it lives with and we refuse. They are there, too.
var endsHere = []string{
	"cli-config-without-file",
	"cli-node-twice-one-in-file-after",
	"cli-two-configs-both-node",
	"command-service-name-too-long-only-logged",
	"firewall-bad-regex-accepted-silently",
	"v2-cost-negative",
	"v2-duplicate-work-type",
	"v2-ip-routers-ignored",
	"v2-iprouters-bad-localnet",
	"v2-log-level-unknown",
	"v2-missing-required-port",
	"v2-port-in-use",
	"v2-tls-cert-missing",
	"v2-tls-unknown-name",
	"v2-unknown-key-ignored",
	"v2-unknown-section-ignored",
	"v2-work-verification-file-missing",
	"ws-listener-bad-path",
	"ws-peer-http-scheme",
}

// helps are those that print the help, which is no failure.
var helps = []string{"cli-help-before-error", "cli-no-arguments"}

// TestInvalidVectorsRun: the program ends, or runs, as ansible/receptor does with
// each mistake, and with the same exit code; where it crashes, ours is 1.
func TestInvalidVectorsRun(t *testing.T) {
	certs := t.TempDir()
	unpack(t, "testdata/certs.txtar", certs)
	slots := make(chan struct{}, 4)
	doc, err := os.ReadFile("../../internal/config/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	cases := configCases(t, "invalid.txtar", 258)
	for _, name := range slices.Concat(runsHere, endsHere) {
		if cases[name] == nil || !strings.Contains(string(doc), "["+name+"]") {
			t.Errorf("%s is no case, or not in differences.md", name)
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			r := &configRun{t: t}
			p := r.start(certs, c.files, nil, c.Args)
			runs := r.begins(p, nil)
			if strings.Contains(p.output(), unsupportedYet) {
				t.Skip(p.output())
			}
			want := c.Outcome == "keeps running" && !slices.Contains(endsHere, name) || slices.Contains(runsHere, name)
			if runs != want {
				t.Fatalf("runs: %v, want %v; there: %s\n%s", runs, want, c.Stdout, p.output())
			}
			if runs {
				p.stop()
				return
			}
			code := 1
			if slices.Contains(helps, name) {
				code = 0
			}
			if got := p.exitCode(); got != code {
				t.Errorf("exit code %d, want %d\n%s", got, code, p.output())
			}
			if code == 1 && !strings.Contains(p.output(), "Error: ") && !strings.Contains(p.output(), "Run receptor --help") {
				t.Errorf("nothing says why:\n%s", p.output())
			}
		})
	}
}
