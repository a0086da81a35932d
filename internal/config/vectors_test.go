package config

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// vector is one case of testdata/valid.txtar or testdata/invalid.txtar.
type vector struct {
	name  string
	files []string // written to a directory of their own, in the order of Args
	Args  []string
	// of valid
	Node      string
	Services  []string
	Listening []string
	Sockets   map[string]string
	// of invalid
	Outcome, Stdout string
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
			v = &vector{name: name}
			byName[name] = v
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if base == "expect.json" {
			if err := json.Unmarshal(f.Data, v); err != nil {
				t.Fatal(f.Name, err)
			}
			continue
		}
		file := filepath.Join(dir, name, base)
		if err := os.WriteFile(file, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		v.files = append(v.files, file)
	}
	var vs []vector
	for _, v := range byName {
		vs = append(vs, *v)
	}
	slices.SortFunc(vs, func(a, b vector) int { return strings.Compare(a.name, b.name) })
	return vs
}

var testOptions = Options{Hostname: "host.example.com", TempDir: "/var/tmp"}

// notSupported are the valid cases with sections that this version has not:
// the problem that is expected names the section.
var notSupported = map[string]string{
	"19-work-kubernetes-minimal":       "work-kubernetes",
	"20-work-kubernetes-kubeconfig":    "work-kubernetes",
	"21-work-kubernetes-runtime":       "work-kubernetes",
	"24-udp-server-and-client":         "udp-server",
	"25-unix-socket-server-and-client": "unix-socket-server",
	"26-command-service":               "command-service",
	"27-ip-router":                     "ip-router",
	"30-cert-init":                     "cert-init",
	"31-cert-makereq":                  "cert-makereq",
	"32-cert-makereq-existing-key":     "cert-makereq",
	"33-cert-signreq":                  "cert-signreq",
	"54-version-in-file":               "version",
}

// TestValidVectors loads what ansible/receptor takes, and compares with what it
// was seen to do.
func TestValidVectors(t *testing.T) {
	vs := vectors(t, "valid.txtar")
	if len(vs) < 40 {
		t.Fatalf("only %d cases", len(vs))
	}
	for _, v := range vs {
		t.Run(v.name, func(t *testing.T) {
			f, err := Load(testOptions, v.files...)
			if section, ok := notSupported[v.name]; ok {
				ps, _ := errors.AsType[Problems](err)
				if len(ps) == 0 || ps[0].Section != section || ps[0].Text != "not supported by this version yet" {
					t.Errorf("got %v, want section %s not supported", err, section)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Warnings) > 0 {
				t.Errorf("warnings:\n%v", f.Warnings)
			}
			compareObserved(t, v, f)
		})
	}
}

// compareObserved compares a File with the observations of a vector.
func compareObserved(t *testing.T, v vector, f *File) {
	node := v.Node
	if node == "<HOSTNAME>" || v.name == "44-mixed-file-and-command-line" { // its ID is on the command line
		node = testOptions.Hostname
	}
	if f.Node.ID != node {
		t.Errorf("node %q, want %q", f.Node.ID, node)
	}
	var services []string
	sockets := make(map[string]string)
	for _, s := range f.ControlServices {
		services = append(services, s.Service)
		if s.Filename != "" {
			sockets[s.Filename] = "0" + strings.TrimLeft(jsonString(t, int(s.Permissions)), "0")
		}
	}
	for _, s := range f.TCPClients {
		services = append(services, s.Service)
	}
	slices.Sort(services)
	slices.Sort(v.Services)
	if !slices.Equal(services, v.Services) {
		t.Errorf("services %q, want %q", services, v.Services)
	}
	for file, mode := range v.Sockets {
		if sockets[file] != octal(mode) {
			t.Errorf("socket %s has mode %s, want %s", file, sockets[file], octal(mode))
		}
	}
	for _, address := range v.Listening {
		if v.name == "44-mixed-file-and-command-line" && strings.HasSuffix(address, ":2223") {
			continue
		}
		if !listens(f, address) {
			t.Errorf("nothing listens on %q", address)
		}
	}
	if !f.HasBackend() {
		t.Error("no backend")
	}
}

// octal turns an observed mode like 0600 into the decimal form used above.
func octal(mode string) string {
	n := 0
	for _, c := range mode {
		n = n*8 + int(c-'0')
	}
	b, _ := json.Marshal(n)
	return "0" + string(b)
}

func jsonString(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
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
	return false
}

// Reasons for taking a file that ansible/receptor refuses.
const (
	noBackend = "having no backend is a fact (HasBackend) that the daemon judges"
	files     = "files that are named are looked at by those who use them"
	machine   = "only the machine can tell: whoever binds finds out"

	unsupported = "the section is not supported yet"
)

// taken here though refused, or stopping, there.
var takenHere = map[string]string{
	"no-backend":                           noBackend,
	"no-backend-with-services":             noBackend,
	"file-empty":                           noBackend,
	"file-only-comment":                    noBackend,
	"file-only-document-marker":            noBackend,
	"control-service-socket-dir-missing":   files,
	"tcp-listener-bad-bindaddr":            machine,
	"tls-client-cert-for-other-node":       files,
	"tls-client-rootcas-missing":           files,
	"tls-server-cert-file-missing":         files,
	"tls-server-cert-for-other-node":       files,
	"tls-server-cert-is-key":               files,
	"tls-server-cert-without-node-id":      files,
	"tls-server-clientcas-missing":         files,
	"tls-server-key-file-missing":          files,
	"tls-server-key-mismatch":              files,
	"tls-server-without-node-section":      files,
	"work-signing-file-missing":            files,
	"work-verification-file-missing":       files,
	"work-signing-without-tokenexpiration": "the default of 5 minutes that was meant is honoured",
	"cli-node-twice-one-in-file-before":    "only its file is loaded here: the mistake is on the command line",
	"cli-config-equals-form":               "only its file is loaded here: the mistake is on the command line",
}

// refused here though taken there. Each is in differences.md.
var refusedHere = map[string]string{
	"ws-listener-bad-path":                      "no link could ever come up",
	"cli-two-configs-both-node":                 "which node is meant is not clear",
	"firewall-bad-regex-accepted-silently":      "the rule would match everything",
	"ws-peer-http-scheme":                       "such a link can never come up",
	"command-service-name-too-long-only-logged": unsupported,
	"unix-socket-client-file-missing-accepted":  unsupported,
	"work-kubernetes-pod-file-missing-accepted": unsupported,
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

// TestInvalidVectors loads what ansible/receptor refuses or should have: the
// outcome is the same but for the cases in the tables above.
func TestInvalidVectors(t *testing.T) {
	vs := vectors(t, "invalid.txtar")
	if len(vs) < 170 {
		t.Fatalf("only %d cases", len(vs))
	}
	seen := make(map[string]bool)
	for _, v := range vs {
		seen[v.name] = true
		t.Run(v.name, func(t *testing.T) {
			f, err := Load(testOptions, v.files...)
			runsThere := v.Outcome == "keeps running"
			wantRefused := !runsThere && takenHere[v.name] == "" || refusedHere[v.name] != ""
			if (err != nil) != wantRefused {
				t.Fatalf("refused: %v, want %v\nthere: %s\nhere: %v", err != nil, wantRefused, v.Stdout, err)
			}
			if err != nil {
				checkPlaces(t, err)
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
	for _, table := range []map[string]string{takenHere, refusedHere} {
		for name := range table {
			if !seen[name] {
				t.Errorf("there is no case %s", name)
			}
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
	names := slices.Clone(warnedHere)
	for name, reason := range refusedHere {
		if reason != unsupported {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if !strings.Contains(doc, "["+name+"]") {
			t.Errorf("differences.md does not name %s", name)
		}
	}
	cases, err := os.ReadFile("testdata/invalid.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\[([a-z0-9]+-[a-z0-9-]+)\]`).FindAllStringSubmatch(doc, -1) {
		if !strings.Contains(string(cases), "-- "+m[1]+"/") {
			t.Errorf("differences.md names %s, which is no case", m[1])
		}
	}
	for _, s := range sections {
		if s.build == nil && !strings.Contains(doc, "`"+s.name+"`") {
			t.Errorf("differences.md does not name section %s", s.name)
		}
	}
}

// checkPlaces checks that all problems have a place.
func checkPlaces(t *testing.T, err error) {
	t.Helper()
	ps, ok := errors.AsType[Problems](err)
	if !ok || len(ps) == 0 {
		t.Fatalf("error of type %T: %v", err, err)
	}
	for _, p := range ps {
		if p.File == "" || p.Line == 0 || p.Text == "" {
			t.Errorf("problem without a place: %+v", p)
		}
	}
}
