package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// linkScenario is what became of some nodes of ansible/receptor, a few seconds
// after their start.
type linkScenario struct {
	Nodes   map[string]*linkNode // by name of the configuration file
	Control map[string]string    // `FOO> LINE` is said to node FOO: its reply
}

type linkNode struct {
	ID          string
	ExitCode    *int `json:"exit_code"` // of one that has ended
	Connections map[string]float64
	Routes      map[string]string
	Log         []string // warnings and errors, each once
}

// linkDifference is how a scenario ends here, where that is not as there. Each is
// in internal/config/differences.md.
type linkDifference struct {
	refused  map[string]string // by node: it does not start, and says so
	exitCode map[string]int
	routes   map[string]map[string]string // of these nodes
	noLink   bool                         // the nodes refuse each other
	control  map[string]string            // replies, as patterns
	logs     map[string][]string          // by node: patterns of what it logs in place of all that it logs there
}

// unsaid are lines of the original that tell nothing about what went wrong: its
// own closing of links and clients, dumps, and errors without a subject that were
// replied as well. In docs/differences.md.
var unsaid = regexp.MustCompile(`^(ERROR Backend (sending|receiving) error (read|write) tcp .*: use of closed network connection|` +
	`WARNING Could not read in control service: .*|WARNING Could not close connection: .*|ERROR : .*|` +
	`RootCAs: .*|ServerName: )$`)

// fromTheEnd are lines that the original wrote when the first node was killed.
var fromTheEnd = regexp.MustCompile(`^(WARNING Backend connection exited \(will retry\)|ERROR Backend receiving error (read tcp .*: read: connection reset by peer|` +
	`websocket: close 1006 \(abnormal closure\): unexpected EOF))$`)

// refusedCert is the reply to a client whose certificate the service refuses, which
// may be known a moment before or after the dial is over.
func refusedCert(code, alert string) map[string]string {
	return map[string]string{"foo> connect bar control cli": `(Connecting \| then: <connection closed>|ERROR: CRYPTO_ERROR ` + code + ` \(remote\): tls: ` + alert + `)`}
}

var linkDifferences = map[string]linkDifference{
	"allowedpeers-numeric": {
		refused: map[string]string{"foo": "must be a list of texts, but has the number 1 in it"},
		logs:    map[string][]string{"bar": {`^WARNING Backend connection failed \(will retry\): dial tcp 127\.0\.0\.1:\d+: connect: connection refused`}},
	},
	"same-id-through-mesh": {
		exitCode: map[string]int{"bar2": 1},
		routes:   map[string]map[string]string{"hub": {"foo": "foo", "bar": "foo"}},
	},
	"ws-path-mismatch": {logs: map[string][]string{
		"bar": {`^WARNING Backend connection failed \(will retry\): websocket: bad handshake: 404 Not Found`},
	}},
	"ws-scheme-with-tls-configured": {logs: map[string][]string{
		"foo": {`^WARNING http: TLS handshake error from 127\.0\.0\.1:\d+: client sent an HTTP request to an HTTPS server`},
		"bar": {`^WARNING Backend connection failed \(will retry\): websocket: bad handshake: 400 Bad Request`},
	}},
	"mtls-require-without-clientcas": {logs: map[string][]string{
		"foo": {`^ERROR Backend (receiving|sending) error tls: failed to verify certificate: x509: certificate signed by unknown authority \(.*trusts the authorities of the system`},
		"bar": {`^ERROR Backend (receiving|sending) error remote error: tls: bad certificate`, `^WARNING Backend connection exited \(will retry\)`},
	}},

	"mesh-mtls-client-cert-for-other-node": {control: refusedCert("0x12a", "bad certificate")},
	"mesh-mtls-no-client-cert":             {control: refusedCert("0x174", "certificate required")},

	// Stricter here.
	"mtls-cert-for-other-node-skipcheck": {noLink: true, logs: map[string][]string{
		"foo": {`^ERROR Backend error: foo: rejected connection with node bar because certificate "CN=baz test cert" .* is that of node baz`},
		"bar": {`^WARNING Received a rejection message from peer\.`, `^ERROR Backend error: remote node rejected the connection`},
	}},
	"insecureskipverify-wrong-pin-ignored": {noLink: true, logs: map[string][]string{
		"foo": {`^ERROR Backend (receiving|sending) error remote error: tls: bad certificate`},
		"bar": {`^WARNING Backend connection failed \(will retry\): RVF failed: presented certificate does not match any pinned fingerprint`},
	}},
	"pin-client-without-require": {noLink: true, logs: map[string][]string{
		"foo": {`^ERROR RVF failed: presented certificate does not match any pinned fingerprint`},
		"bar": {`^ERROR Backend (receiving|sending) error remote error: tls: bad certificate`},
	}},
	"mesh-pin-client-with-require-ignored": {
		control: refusedCert("0x12a", "bad certificate"),
		logs: map[string][]string{
			"foo": {`^ERROR Connection read error: CRYPTO_ERROR 0x12a \(remote\): tls: bad certificate`},
			"bar": {`^ERROR RVF failed: presented certificate does not match any pinned fingerprint`},
		},
	},

	"mesh-tls-server-cert-without-node-id": {logs: map[string][]string{
		"foo": {`^ERROR RVF ReceptorNameError: expected bar but found none`},
	}},
}

// linePattern matches a line of the original, whatever its ports, times and IDs
// are, what is said behind it in brackets, and however often it was repeated.
func linePattern(line string) *regexp.Regexp {
	s := regexp.QuoteMeta(line)
	for _, r := range [][2]string{
		{`127\\\.0\\\.0\\\.1:(\d+|<EPHEMERAL>)`, `127\.0\.0\.1:\d+`},
		{`current time \S+ is`, `current time \S+ is`},
		{`<EPOCH>`, `\d+`},
		{`<ID>`, `\S+`},
		{`^ERROR Backend (sending|receiving) error (remote error: )?(tls|RVF)`, `ERROR Backend (sending|receiving) error $2$3`},                // whoever was first
		{`^ERROR Backend error: (.* we disagree about the connection cost)$`, `ERROR Backend error: ($1|remote node rejected the connection)`}, // the same
		{`notification \w{8}\\\.`, `notification \w{8}\.`},
	} {
		s = regexp.MustCompile(r[0]).ReplaceAllString(s, r[1])
	}
	return regexp.MustCompile(`^` + s + `( \(.*\))?( repeated=\d+)?$`)
}

// TestLinkVectors runs the nodes of each scenario: their links, routes, replies
// and what they log are as with ansible/receptor, but for the differences.
func TestLinkVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/links.json")
	if err != nil {
		t.Fatal(err)
	}
	var scenarios map[string]*linkScenario
	if err := json.Unmarshal(data, &scenarios); err != nil || len(scenarios) != 61 {
		t.Fatalf("%d scenarios, %v", len(scenarios), err)
	}
	a, err := txtar.ParseFile("../../internal/config/testdata/links.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	certs := t.TempDir()
	unpack(t, "testdata/certs.txtar", certs)
	slots := make(chan struct{}, 4) // a scenario waits most of the time
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			r := &linkRun{t: t, scenario: scenarios[name], differs: linkDifferences[name], dir: shortDir(t), nodes: make(map[string]*process)}
			if err := os.Symlink(certs, filepath.Join(r.dir, "certs")); err != nil {
				t.Fatal(err)
			}
			ours := strings.NewReplacer("2222", freePort(t), "2223", freePort(t))
			for node := range r.scenario.Nodes {
				text := ours.Replace(files[name+"/"+node+".yml"])
				text = regexp.MustCompile(`(?m)^    id: .*$`).ReplaceAllString(text, "$0\n    datadir: data-"+node)
				if err := os.WriteFile(filepath.Join(r.dir, node+".yml"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r.run()
		})
	}
}

// linkRun is a scenario under way.
type linkRun struct {
	t        *testing.T
	scenario *linkScenario
	differs  linkDifference
	dir      string
	nodes    map[string]*process
}

func (r *linkRun) run() {
	names := slices.Sorted(maps.Keys(r.scenario.Nodes))
	if i := slices.Index(names, "foo"); i > 0 { // listens
		names = slices.Concat([]string{"foo"}, slices.Delete(names, i, i+1))
	}
	if i := slices.Index(names, "hub"); i > 0 { // joins two parts of the mesh, before the duplicate comes
		names = []string{"foo", "hub", "bar", "bar2"}
	}
	for i, name := range names {
		r.start(name)
		if i > 0 && i+1 < len(names) {
			r.nodes[name].until("link", func() bool { return strings.Contains(r.nodes[name].output(), "Connection established with ") })
		}
	}
	for _, name := range names {
		r.checkState(name)
	}
	for ask, want := range r.scenario.Control {
		r.checkControl(ask, want)
	}
	for _, name := range names {
		r.checkLog(name)
	}
	for _, name := range names {
		r.checkState(name) // nor after what was logged
	}
	if r.t.Failed() {
		for _, name := range names {
			r.t.Logf("%s:\n%s", name, r.nodes[name].output())
		}
		return
	}
	if bar := r.nodes["bar"]; bar != nil && len(r.links("foo")) > 0 && !bar.ended() {
		r.nodes["foo"].kill()
		if !strings.Contains(r.config("bar"), "udp-peer") { // there it takes 21 s
			bar.until("word of the lost link", func() bool { return slices.Contains(bar.lines(), "WARNING Backend connection exited (will retry)") })
		}
	}
	for _, name := range names {
		if p := r.nodes[name]; !p.ended() {
			p.stop()
		}
	}
}

func (r *linkRun) config(name string) string {
	data, err := os.ReadFile(filepath.Join(r.dir, name+".yml"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// start runs a node until it answers, or has refused to start.
func (r *linkRun) start(name string) {
	r.t.Helper()
	p := startProcess(r.t, name, r.dir, "--config", name+".yml")
	r.nodes[name] = p
	if want, ok := r.differs.refused[name]; ok {
		if code := p.exitCode(); code != 1 || !strings.Contains(p.output(), want) {
			r.t.Errorf("%s: exit code %d, want 1 and %q:\n%s", name, code, want, p.output())
		}
		return
	}
	p.until("end of the start", func() bool {
		ended := p.ended() // before the output is looked at: a duplicate ends soon
		if slices.Contains(p.lines(), "INFO Initialization complete") {
			return true
		}
		if ended && r.scenario.Nodes[name].ExitCode == nil {
			r.t.Fatalf("%s has ended\n%s", name, p.output())
		}
		return ended
	})
}

// socket is that of a node's control service.
func (r *linkRun) socket(name string) string {
	return filepath.Join(r.dir, regexp.MustCompile(`filename: (\S+)`).FindStringSubmatch(r.config(name))[1])
}

// links are those that a node is to have.
func (r *linkRun) links(name string) map[string]float64 {
	if r.differs.noLink {
		return nil
	}
	return r.scenario.Nodes[name].Connections
}

// checkLog waits for each line that the original wrote.
func (r *linkRun) checkLog(name string) {
	r.t.Helper()
	p, want := r.nodes[name], r.scenario.Nodes[name]
	if _, ok := r.differs.refused[name]; ok {
		return
	}
	if own, ok := r.differs.logs[name]; ok {
		for _, pattern := range own {
			r.await(p, regexp.MustCompile(pattern))
		}
		return
	}
	for _, line := range want.Log {
		if !unsaid.MatchString(line) && (len(want.Connections) == 0 || !fromTheEnd.MatchString(line)) {
			r.await(p, linePattern(line))
		}
	}
}

func (r *linkRun) await(p *process, pattern *regexp.Regexp) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !slices.ContainsFunc(p.lines(), pattern.MatchString); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Errorf("%s has not logged %s", p.name, pattern)
			return
		}
	}
}

// checkState waits until a node has the links and routes that it is to have, or
// has ended as it is to.
func (r *linkRun) checkState(name string) {
	r.t.Helper()
	p, want := r.nodes[name], r.scenario.Nodes[name]
	if _, ok := r.differs.refused[name]; ok {
		return
	}
	if want.ExitCode != nil {
		code := *want.ExitCode
		if own, ok := r.differs.exitCode[name]; ok {
			code = own
		}
		if got := p.exitCode(); got != code {
			r.t.Errorf("%s: exit code %d, want %d", name, got, code)
		}
		return
	}
	links, routes := r.links(name), want.Routes
	if own, ok := r.differs.routes[name]; ok {
		routes = own
	}
	if len(links) == 0 {
		routes = nil
	}
	var got string
	expect := fmt.Sprint(want.ID, links, routes)
	for deadline := time.Now().Add(patience); got != expect; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Errorf("%s is %s, want %s", name, got, expect)
			return
		}
		answer, err := ask(r.socket(name), `{"command":"status"}`)
		if err != nil {
			r.t.Errorf("%s: %v", name, err)
			return
		}
		var status struct {
			NodeID      string
			Connections []struct {
				NodeID string
				Cost   float64
			}
			RoutingTable map[string]string
		}
		if err := json.Unmarshal([]byte(answer), &status); err != nil {
			r.t.Fatal(err, answer)
		}
		have := make(map[string]float64)
		for _, c := range status.Connections {
			have[c.NodeID] = c.Cost
		}
		got = fmt.Sprint(status.NodeID, have, status.RoutingTable)
	}
}

// checkControl says a line to a node and compares what comes back, and what the
// other end of a connection says then.
func (r *linkRun) checkControl(asked, want string) {
	r.t.Helper()
	name, line, _ := strings.Cut(asked, "> ")
	pattern := regexp.QuoteMeta(want)
	if own, ok := r.differs.control[asked]; ok {
		pattern = own
	}
	conn, err := net.Dial("unix", r.socket(name))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintln(conn, line)
	got, err := in.ReadString('\n')
	if got = strings.TrimSuffix(got, "\n"); got == "Connecting" {
		then, err := in.ReadString('\n')
		if then = strings.TrimSuffix(then, "\n"); then == "" && err != nil {
			then = "<connection closed>"
		}
		got += " | then: " + then
	}
	if !regexp.MustCompile(`^` + pattern + `( \(.*\))?$`).MatchString(got) {
		r.t.Errorf("%s: %q, %v, want %s", asked, got, err, pattern)
	}
}

// TestLinkDifferencesAreWrittenDown: the table of differences and the list for
// people have the same scenarios.
func TestLinkDifferencesAreWrittenDown(t *testing.T) {
	doc, err := os.ReadFile("../../internal/config/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/links.json")
	if err != nil {
		t.Fatal(err)
	}
	var scenarios map[string]*linkScenario
	if err := json.Unmarshal(data, &scenarios); err != nil {
		t.Fatal(err)
	}
	for name := range scenarios {
		_, differs := linkDifferences[name]
		if written := strings.Contains(string(doc), "["+name+"]"); written != differs {
			t.Errorf("%s: ends otherwise here: %v; in differences.md: %v", name, differs, written)
		}
	}
	for name := range linkDifferences {
		if scenarios[name] == nil {
			t.Errorf("there is no scenario %s", name)
		}
	}
}
