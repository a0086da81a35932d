package config

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// vector is one case of an archive in testdata.
type vector struct {
	name string
	dir  string // has its files
	// of valid
	Runs []vectorRun // one for each form
	// of invalid
	Args            []string
	Outcome, Stdout string
}

// vectorRun is one form of a valid configuration, and what was observed.
type vectorRun struct {
	Args      []string
	Env       map[string]string
	Running   bool
	Node      string
	Services  []string
	Listening []string
	Sockets   map[string]string
}

// vectors reads an archive and writes its files below a temporary directory.
func vectors(t *testing.T, archive string) []vector {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", archive))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	byName := make(map[string]*vector)
	for _, f := range a.Files {
		name, base := path.Split(f.Name)
		name = path.Clean(name)
		v := byName[name]
		if v == nil {
			v = &vector{name: name, dir: filepath.Join(dir, name)}
			byName[name] = v
			if err := os.Mkdir(v.dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if base == "expect.json" {
			if err := json.Unmarshal(f.Data, v); err != nil {
				t.Fatal(f.Name, err)
			}
			continue
		}
		if err := os.WriteFile(filepath.Join(v.dir, base), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var vs []vector
	for _, v := range byName {
		vs = append(vs, *v)
	}
	slices.SortFunc(vs, func(a, b vector) int { return strings.Compare(a.name, b.name) })
	return vs
}

var testOptions = Options{Hostname: "host.example.com", TempDir: "/var/tmp"}

// loadArgs loads what a command line names.
func loadArgs(args []string, env map[string]string) (*File, error) {
	a, err := ParseArgs(args)
	if err != nil {
		return nil, err
	}
	o := testOptions
	o.LookupEnv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	return a.Load(o)
}

// TestValidVectors loads what ansible/receptor takes, in each form, compares
// with what it was seen to do, and the forms with each other.
func TestValidVectors(t *testing.T) {
	vs := vectors(t, "valid.txtar")
	if len(vs) != 51 {
		t.Fatalf("%d cases", len(vs))
	}
	for _, v := range vs {
		t.Run(v.name, func(t *testing.T) {
			t.Chdir(v.dir)
			var first *File
			for _, r := range v.Runs {
				f, err := loadArgs(r.Args, r.Env)
				if err != nil {
					t.Fatalf("%q: %v", r.Args, err)
				}
				if len(f.Warnings) > 0 {
					t.Errorf("%q: warnings:\n%v", r.Args, f.Warnings)
				}
				if v.name == "24-udp-server-and-client" && r.Args[0] == "--config-v2" {
					r = v.Runs[0] // there both are taken for TCP
				}
				if r.Running {
					compareObserved(t, r, f)
				} else if !f.ToolsOnly {
					t.Errorf("%q: a node is to run", r.Args)
				}
				if first == nil {
					first = f
				} else if a, b := plainly(first), plainly(f); !reflect.DeepEqual(a, b) {
					t.Errorf("%q:\n%+v\nis not as in %q:\n%+v", r.Args, b, v.Runs[0].Args, a)
				}
			}
		})
	}
}

// compareObserved compares a File with the observations of a vector.
func compareObserved(t *testing.T, v vectorRun, f *File) {
	t.Helper()
	node := v.Node
	if node == "<HOSTNAME>" {
		node = testOptions.Hostname
	}
	if f.Node.ID != node {
		t.Errorf("node %q, want %q", f.Node.ID, node)
	}
	services := offered(f)
	slices.Sort(services)
	slices.Sort(v.Services)
	if !slices.Equal(services, v.Services) {
		t.Errorf("services %q, want %q", services, v.Services)
	}
	sockets := make(map[string]os.FileMode)
	for _, s := range f.ControlServices {
		sockets[s.Filename] = s.Permissions
	}
	for _, s := range f.UnixServers {
		sockets[s.Filename] = s.Permissions
	}
	for file, mode := range v.Sockets {
		if want, err := strconv.ParseUint(mode, 8, 32); err != nil || sockets[file] != os.FileMode(want) {
			t.Errorf("socket %s has mode %o, want %s", file, sockets[file], mode)
		}
	}
	for _, address := range v.Listening {
		if !listens(f, address) {
			t.Errorf("nothing listens on %q", address)
		}
	}
	if !f.HasBackend() {
		t.Error("no backend")
	}
}

// offered are the mesh services that f announces.
func offered(f *File) []string {
	var names []string
	for _, s := range f.ControlServices {
		names = append(names, s.Service)
	}
	for _, s := range f.TCPClients {
		names = append(names, s.Service)
	}
	for _, s := range f.UDPClients {
		names = append(names, s.Service)
	}
	for _, s := range f.UnixClients {
		names = append(names, s.Service)
	}
	for _, s := range f.CommandServices {
		names = append(names, s.Service)
	}
	for _, s := range f.IPRouters {
		names = append(names, s.NetworkName)
	}
	return names
}

// listens tells whether f has something to listen on an observed address.
func listens(f *File, observed string) bool {
	network, address, _ := strings.Cut(observed, " ")
	address = strings.Replace(address, "*:", "0.0.0.0:", 1)
	for _, l := range f.Listeners {
		if l.Address == address && (network == "udp") == (l.Transport == UDP) {
			return true
		}
	}
	for _, s := range f.ControlServices {
		if s.TCPListen == address && network == "tcp" {
			return true
		}
	}
	for _, s := range f.TCPServers {
		if s.Address == address && network == "tcp" {
			return true
		}
	}
	for _, s := range f.UDPServers {
		if s.Address == address && network == "udp" {
			return true
		}
	}
	return false
}

// Reasons for taking a configuration that ansible/receptor refuses.
const (
	noBackend = "having no backend is a fact (HasBackend) that the daemon judges"
	files     = "files that are named are looked at by those who use them"
	machine   = "only the machine can tell: whoever binds finds out"
	asks      = "what the tool reads and is answered is its own matter"
	better    = "better here"
)

// taken here though refused, or stopping, there. Those that are better here are
// in differences.md.
var takenHere = map[string]string{
	"no-backend":                              noBackend,
	"no-backend-with-services":                noBackend,
	"cli-only-log-level":                      noBackend,
	"cli-only-node":                           noBackend,
	"file-empty":                              noBackend,
	"file-only-comment":                       noBackend,
	"file-only-document-marker":               noBackend,
	"v2-file-empty":                           noBackend,
	"v2-local-only-empty":                     noBackend,
	"v2-local-only-false":                     noBackend,
	"v2-no-backend":                           noBackend,
	"control-service-socket-dir-missing":      files,
	"unix-socket-server-dir-missing":          files,
	"tcp-listener-bad-bindaddr":               machine,
	"tls-client-cert-for-other-node":          files,
	"tls-client-rootcas-missing":              files,
	"tls-server-cert-file-missing":            files,
	"tls-server-cert-for-other-node":          files,
	"tls-server-cert-is-key":                  files,
	"tls-server-cert-without-node-id":         files,
	"tls-server-clientcas-missing":            files,
	"tls-server-key-file-missing":             files,
	"tls-server-key-mismatch":                 files,
	"tls-server-without-node-section":         files,
	"work-kubernetes-kubeconfig-missing":      files,
	"work-signing-file-missing":               files,
	"work-verification-file-missing":          files,
	"v2-cert-init-fails-with-exit-zero":       files,
	"cert-init-directory-missing":             files,
	"cert-makereq-inkey-ec":                   files,
	"cert-makereq-inkey-not-a-key":            files,
	"cert-signreq-no-names":                   files,
	"cert-signreq-req-is-a-cert":              files,
	"cert-signreq-wrong-ca-key":               files,
	"cert-signreq-prompt-end-of-input":        asks,
	"cli-command-runner-direct":               asks,
	"cli-help-before-error":                   asks,
	"cli-no-arguments":                        "the program prints its help",
	"cli-config-equals-form":                  better,
	"firewall-json-on-command-line":           better,
	"work-python-always-fails":                better,
	"work-signing-without-tokenexpiration":    better,
	"v2-work-signing-without-tokenexpiration": better,
	"v2-file-extension-not-known":             better,
	"v2-short-c-option":                       better,
	"v2-ws-listener-without-path":             better,
}

// refusedHere though taken there. Each is in differences.md.
var refusedHere = []string{
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
	"v2-tls-unknown-name",
	"v2-unknown-key-ignored",
	"v2-unknown-section-ignored",
	"ws-listener-bad-path",
	"ws-peer-http-scheme",
}

// warnedHere are taken in both, with a warning here. Each is in differences.md.
var warnedHere = []string{
	"control-service-permissions-decimal-accepted",
	"control-service-tcptls-without-tcplisten",
	"control-service-tls-but-plain-tcp",
	"file-duplicate-key-in-map",
	"file-two-documents",
	"tcp-listener-port-fraction-accepted",
	"tls-server-same-name-twice-accepted",
	"work-command-empty-type-accepted",
}

// silentThere are refused here, and end there without saying so: with exit code
// 0. Each is in differences.md.
var silentThere = []string{"v2-file-missing", "v2-file-not-yaml", "v2-given-a-v1-list"}

// TestInvalidVectors loads what ansible/receptor refuses or should have: the
// outcome is the same but for the cases in the tables above.
func TestInvalidVectors(t *testing.T) {
	vs := vectors(t, "invalid.txtar")
	if len(vs) != 258 {
		t.Fatalf("%d cases", len(vs))
	}
	seen := make(map[string]bool)
	for _, v := range vs {
		seen[v.name] = true
		t.Run(v.name, func(t *testing.T) {
			t.Chdir(v.dir)
			f, err := loadArgs(v.Args, nil)
			runsThere := v.Outcome == "keeps running"
			wantRefused := !runsThere && takenHere[v.name] == "" || slices.Contains(refusedHere, v.name)
			if (err != nil) != wantRefused {
				t.Fatalf("refused: %v, want %v\nthere: %s\nhere: %v", err != nil, wantRefused, v.Stdout, err)
			}
			if err != nil {
				checkPlaces(t, v, err)
				return
			}
			if warned := len(f.Warnings) > 0; warned != slices.Contains(warnedHere, v.name) {
				t.Errorf("warnings: %v", f.Warnings)
			}
			if noBackend == takenHere[v.name] && f.HasBackend() {
				t.Error("has a backend")
			}
		})
	}
	for _, name := range slices.Concat(refusedHere, warnedHere, silentThere) {
		if !seen[name] {
			t.Errorf("there is no case %s", name)
		}
	}
	for name := range takenHere {
		if !seen[name] {
			t.Errorf("there is no case %s", name)
		}
	}
}

// TestDifferencesAreWrittenDown: every case in the tables is explained to
// people, and every case named there exists.
func TestDifferencesAreWrittenDown(t *testing.T) {
	data, err := os.ReadFile("differences.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	names := slices.Concat(warnedHere, refusedHere, silentThere)
	for name, reason := range takenHere {
		if reason == better {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if !strings.Contains(doc, "["+name+"]") {
			t.Errorf("differences.md does not name %s", name)
		}
	}
	cases := ""
	for _, archive := range []string{"invalid", "links"} {
		text, err := os.ReadFile("testdata/" + archive + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		cases += string(text)
	}
	for _, m := range regexp.MustCompile(`\[([a-z0-9]+-[a-z0-9-]+)\]`).FindAllStringSubmatch(doc, -1) {
		if !strings.Contains(cases, "-- "+m[1]+"/") {
			t.Errorf("differences.md names %s, which is no case", m[1])
		}
	}
}

// checkPlaces checks that all problems have a place. Some cases have none: what
// is wrong is no line of a file.
func checkPlaces(t *testing.T, v vector, err error) {
	t.Helper()
	ps, ok := errors.AsType[Problems](err)
	if !ok || len(ps) == 0 {
		t.Fatalf("error of type %T: %v", err, err)
	}
	whole := []string{"file-missing", "file-is-directory", "v2-file-missing", "v2-no-config-option", "cli-config-eats-next-parameter"}
	for _, p := range ps {
		if p.Text == "" || (p.File == "" || p.Line == 0) && !slices.Contains(whole, v.name) {
			t.Errorf("problem without a place: %+v", p)
		}
	}
}

// TestLinkVectors loads the configurations of scenarios with several nodes:
// all but one are good.
func TestLinkVectors(t *testing.T) {
	vs := vectors(t, "links.txtar")
	if len(vs) != 61 {
		t.Fatalf("%d cases", len(vs))
	}
	for _, v := range vs {
		entries, err := os.ReadDir(v.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			f, err := Load(testOptions, filepath.Join(v.dir, e.Name()))
			if v.name == "allowedpeers-numeric" && e.Name() == "foo.yml" { // in differences.md
				if err == nil || !strings.Contains(err.Error(), "must be a list of texts, but has the number 1 in it") {
					t.Errorf("%s/%s: %v", v.name, e.Name(), err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s/%s: %v", v.name, e.Name(), err)
			}
			if err == nil && !f.HasBackend() {
				t.Errorf("%s/%s: no backend", v.name, e.Name())
			}
		}
	}
}
