package control

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/internal/unixsocket"
)

type expr struct{ *regexp.Regexp }

func (e expr) Match(s string) bool { return e.MatchString(s) }

func pattern(s string) access.Pattern { return expr{regexp.MustCompile("^(?:" + s + ")$")} }

// guarded is a server of a place with rules and a record.
type guarded struct {
	t      *testing.T
	rules  atomic.Pointer[access.Rules]
	record string
	socket string
	stop   func() // ends the record, too
}

// guard serves a place on a Unix socket of its own, and on further listeners.
func guard(t *testing.T, p *place, lns ...net.Listener) *guarded {
	t.Helper()
	dir, err := os.MkdirTemp("", "rg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &guarded{t: t, record: filepath.Join(dir, "audit"), socket: filepath.Join(dir, "s")}
	g.allow()
	f, err := audit.Open(audit.Config{Filename: g.record, Mode: 0o600, Reads: true})
	if err != nil {
		t.Fatal(err)
	}
	log := audit.New(string(p.node.ID), slog.New(slog.DiscardHandler))
	log.Use(f)
	unix, err := unixsocket.Listen(g.socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Node: p.node, Work: p.work, Version: "1.5.0", TLSClient: noTLS, Audit: log})
	ctx, cancel := context.WithCancel(context.Background())
	var serving, recording sync.WaitGroup
	for _, ln := range append(lns, unix) {
		serving.Go(func() {
			terms := Terms{UnixSocket: ln == unix, Access: func() access.Rules { return *g.rules.Load() }}
			if err := s.ServeOn(ctx, ln, terms); err != nil {
				t.Error(err)
			}
		})
	}
	late, end := context.WithCancel(context.Background())
	recording.Go(func() { _ = log.Run(late) })
	g.stop = sync.OnceFunc(func() { cancel(); serving.Wait(); end(); recording.Wait() })
	t.Cleanup(g.stop)
	return g
}

// allow sets the rules.
func (g *guarded) allow(rules ...access.Rule) {
	if rules == nil {
		rules = []access.Rule{}
	}
	rs := access.Rules(rules)
	g.rules.Store(&rs)
}

// entries are what was recorded; nothing more is.
func (g *guarded) entries() []audit.Entry {
	g.t.Helper()
	g.stop()
	data, err := os.ReadFile(g.record)
	if err != nil {
		g.t.Fatal(err)
	}
	var es []audit.Entry
	for line := range strings.Lines(string(data)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			g.t.Fatalf("%v in %s", err, line)
		}
		es = append(es, e)
	}
	return es
}

func (g *guarded) dial() session {
	g.t.Helper()
	c, err := net.Dial("unix", g.socket)
	return greeted(g.t, c, err)
}

// answer is the first line that a request is answered with.
func (s session) answer(request string) string {
	s.t.Helper()
	if _, err := io.WriteString(s, request+"\n"); err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(s.want(""))
}

// requests are of all commands, in all forms of version 1, about a unit.
func requests(unit string) map[string]string {
	of := map[string]string{}
	for _, r := range []struct{ text, json, command string }{
		{"status", `{"command":"status"}`, access.Status},
		{"status", `{"command":"status","requested_fields":["NodeID"]}`, access.Status},
		{"ping relayer01", `{"command":"ping","target":"relayer01"}`, access.Ping},
		{"traceroute relayer01", `{"command":"traceroute","target":"relayer01"}`, access.Traceroute},
		{"connect relayer01 x", `{"command":"connect","node":"relayer01","service":"x"}`, access.Connect},
		{"connect localhost control", `{"command":"connect","node":"localhost","service":"control"}`, access.Connect},
		{"reload", `{"command":"reload"}`, access.Reload},
		{"work submit localhost cat", `{"command":"work","subcommand":"submit","node":"localhost","worktype":"cat"}`, access.WorkSubmit},
		{"work submit relayer01 cat", `{"command":"work","subcommand":"Submit","node":"relayer01","worktype":"cat"}`, access.WorkSubmit},
		{"work list", `{"command":"work","subcommand":"list"}`, access.WorkList},
		{"work list " + unit, `{"command":"work","subcommand":"list","unitid":"` + unit + `"}`, access.WorkList},
		{"WORK status " + unit, `{"command":"work","subcommand":"status","unitid":"` + unit + `"}`, access.WorkList},
		{"work results " + unit, `{"command":"work","subcommand":"results","unitid":"` + unit + `","startpos":0}`, access.WorkResults},
		{"work cancel " + unit, `{"command":"work","subcommand":"cancel","unitid":"` + unit + `"}`, access.WorkCancel},
		{"work release " + unit, `{"command":"work","subcommand":"release","unitid":"` + unit + `"}`, access.WorkRelease},
		{"work force-release " + unit, `{"command":"work","subcommand":"force-release","unitid":"` + unit + `"}`, access.WorkRelease},
		{"work adopt relayer01 Abcdefgh", `{"command":"work","subcommand":"adopt","node":"relayer01","unitid":"Abcdefgh"}`, access.WorkAdopt},
	} {
		of[r.text], of[r.json] = r.command, r.command
	}
	return of
}

// TestNobodyMayDoAnything: every command of both versions is refused to who is
// on no rule, and does nothing; saying hello helps nobody.
func TestNobodyMayDoAnything(t *testing.T) {
	places := scene(t)
	p := places["executor01"]
	free := dialPlace(t, p)
	unit := greeted(t, free, nil).submit()
	free.(*net.UnixConn).CloseWrite()
	g := guard(t, p)
	before := len(p.work.List())
	c := g.dial()
	asked := 0
	for request := range requests(unit) {
		if got := c.answer(request); !strings.HasPrefix(got, "ERROR: permission denied: ") || !strings.HasSuffix(got, fmt.Sprintf(" is not allowed for user %d", os.Getuid())) {
			t.Errorf("%s: %s", request, got)
		}
		asked++
	}
	c2 := &peer2{t: t, conn: g.dial()}
	c2.lines = c2.conn.(session).lines
	c2.say(`{"command":"hello","versions":[2]}`)
	c2.line()
	id := uint64(0)
	all := []string{`{"command":"work","subcommand":"follow","unitid":"` + unit + `"}`, `{"command":"work","subcommand":"submit","node":"localhost","worktype":"cat","stream":true,"unitid":"Chosen01"}`}
	for request := range requests(unit) {
		if strings.HasPrefix(request, "{") {
			all = append(all, request)
		}
	}
	for _, request := range all {
		id++
		c2.say(fmt.Sprintf(`{"id":%d,`, id) + request[1:])
		if f, output := c2.end(id); f.Error == nil || f.Error.Code != controlproto.Denied || output != "" || !strings.HasPrefix(f.Error.Message, "permission denied: ") {
			t.Errorf("%s: %+v", request, f)
		}
		asked++
	}
	if after := len(p.work.List()); after != before {
		t.Errorf("%d units, want %d", after, before)
	}
	es := g.entries()
	for _, e := range es {
		if e.Result != audit.Denied || e.Code != "denied" || e.From.UID == nil || *e.From.UID != uint32(os.Getuid()) || e.From.PID != os.Getpid() || e.Rule != nil {
			t.Errorf("entry %+v", e)
		}
	}
	if len(es) != asked {
		t.Errorf("%d entries about %d requests", len(es), asked)
	}
}

// TestEachCommandAlone: a rule for a command allows that one, and none besides.
func TestEachCommandAlone(t *testing.T) {
	p := scene(t)["executor01"]
	unit := greeted(t, dialPlace(t, p), nil).submit()
	g := guard(t, p)
	uid := uint32(os.Getuid())
	for _, command := range access.Commands() {
		g.allow(access.Rule{Allow: true, UID: &uid, Commands: []string{command}})
		for request, of := range requests(unit) {
			if of == command && (of == access.WorkRelease || of == access.WorkCancel || of == access.Traceroute) { // used up or slow
				continue
			}
			allowed := of == command || command == access.Work && strings.HasPrefix(of, "work-")
			if allowed && (command == access.Work || strings.Contains(request, "control")) {
				continue // by its own name; see TestConnectLendsNoName
			}
			got := g.dial().answer(request)
			if denied := strings.HasPrefix(got, "ERROR: permission denied: "); denied == allowed {
				t.Errorf("with a rule for %s, %s: %s", command, request, got)
			}
		}
	}
}

// TestWorkTypes: limits by work type hold for new units, for those that are
// there, and for lists, and a changed list holds for sessions that are open.
func TestWorkTypes(t *testing.T) {
	places := scene(t)
	p := places["executor01"]
	guardedService := listenMesh(t, p.node, "guarded")
	g := guard(t, p, guardedService)
	mine := greeted(t, dialPlace(t, p), nil).submit() // cat
	other := greeted(t, dialPlace(t, p), nil)
	other.answer("work submit localhost echo-args x")
	other.Conn.(*net.UnixConn).CloseWrite()
	var done controlproto.Submitted
	if err := json.Unmarshal([]byte(other.want("")), &done); err != nil {
		t.Fatal(err)
	}
	theirs := done.UnitID
	g.allow(access.Rule{
		Allow: true, Node: pattern("controller.*"), Commands: []string{access.WorkSubmit, access.WorkList, access.WorkResults, access.WorkCancel, access.WorkRelease},
		WorkTypes: []access.Pattern{pattern("c.t")},
	})
	dial := func(from string) session {
		c, err := places[from].node.Dial(t.Context(), "executor01", "guarded", nil)
		return greeted(t, c, err)
	}
	c := dial("controller01")
	for request, want := range map[string]string{
		"work submit localhost echo-args":  "ERROR: permission denied: work-submit of work type echo-args on executor01 is not allowed for node controller01",
		"work submit relayer01 sleep-loop": "ERROR: permission denied: work-submit of work type sleep-loop on relayer01",
		"work results " + theirs:           "ERROR: permission denied: work-results of work type echo-args",
		"work status " + theirs:            "ERROR: permission denied: work-list",
		"work cancel " + theirs:            "ERROR: permission denied: work-cancel",
		"work release " + theirs:           "ERROR: permission denied: work-release",
		"work force-release " + theirs:     "ERROR: permission denied: work-release",
		"work list " + theirs:              "ERROR: permission denied: work-list",
		"work adopt relayer01 Abcdefgh":    "ERROR: permission denied: work-adopt on relayer01",
		"work results Unknown1":            "ERROR: unknown work unit Unknown1",
		"work status " + mine:              `{"Detail":`,
		"work cancel Unknown1":             "ERROR: unknown work unit Unknown1",
		"status":                           "ERROR: permission denied: status",
		"reload":                           "ERROR: permission denied: reload",
		"connect executor01 control":       "ERROR: permission denied: connect to executor01:control",
	} {
		if got := c.answer(request); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	var list map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.answer("work list")), &list); err != nil || len(list) != 1 || list[mine] == nil {
		t.Errorf("list %v, %v", list, err)
	}
	if got := dial("relayer01").answer("work submit localhost cat"); !strings.Contains(got, "is not allowed for node relayer01") {
		t.Errorf("another node: %s", got)
	}
	unit := dial("controller01").submit()
	g.allow(access.Rule{Node: pattern("controller01"), Commands: []string{access.WorkCancel}}, access.Rule{Allow: true})
	if got := c.answer("work cancel " + unit); !strings.Contains(got, "permission denied") {
		t.Errorf("after a change of the rules: %s", got)
	}
	if got := c.answer("work status " + theirs); !strings.HasPrefix(got, "{") {
		t.Errorf("after a change of the rules: %s", got)
	}
	ruled := 0
	for _, e := range g.entries() {
		if e.From.Node != "controller01" && e.From.Node != "relayer01" || e.From.UID != nil {
			t.Errorf("entry %+v", e)
		}
		if e.Rule != nil && *e.Rule == 0 && e.Command == access.WorkCancel && e.Unit == unit && e.WorkType == "cat" && e.ToNode == "executor01" {
			ruled++
		}
	}
	if ruled != 1 {
		t.Errorf("%d entries say that rule 0 denied", ruled)
	}
}

// TestAdoptAsksForTheWorkType: what may not be submitted may not be adopted either.
func TestAdoptAsksForTheWorkType(t *testing.T) {
	places := scene(t)
	p := places["relayer01"]
	unit := greeted(t, dialPlace(t, places["executor01"]), nil).submit()
	g := guard(t, p)
	g.allow(access.Rule{Allow: true, WorkTypes: []access.Pattern{pattern("echo-args")}})
	before := len(p.work.List())
	if got := g.dial().answer("work adopt executor01 " + unit); !strings.HasPrefix(got, "ERROR: permission denied: work-adopt of work type cat on executor01") {
		t.Errorf("another work type: %s", got)
	}
	if after := len(p.work.List()); after != before {
		t.Error("a unit was made")
	}
	g.allow(access.Rule{Allow: true, WorkTypes: []access.Pattern{pattern("cat")}, ToNode: pattern("executor01")})
	got := g.dial().answer("work adopt executor01 " + unit)
	var done controlproto.Adopted
	if err := json.Unmarshal([]byte(got), &done); err != nil {
		t.Fatal(got)
	}
	if got := g.dial().answer("work status " + done.UnitID); !strings.HasPrefix(got, "{") {
		t.Errorf("the unit that stands for it: %s", got)
	}
	g.allow(access.Rule{Allow: true, WorkTypes: []access.Pattern{pattern("echo-args")}})
	if got := g.dial().answer("work adopt executor01 " + unit); !strings.HasPrefix(got, "ERROR: permission denied: work-adopt of work type cat") {
		t.Errorf("one that is adopted already: %s", got)
	}
	if got := g.dial().answer("work release " + done.UnitID); !strings.HasPrefix(got, "ERROR: permission denied: work-release of work type cat") {
		t.Errorf("release: %s", got)
	}
}

// TestConnectLendsNoName: who may connect does not become this node for control
// services.
func TestConnectLendsNoName(t *testing.T) {
	places := scene(t)
	p := places["executor01"]
	g := guard(t, p, listenMesh(t, p.node, "guarded"))
	uid := uint32(os.Getuid())
	connect := access.Rule{Allow: true, UID: &uid, Commands: []string{access.Connect}}
	g.allow(connect)
	for _, target := range []string{"executor01 control", "LocalHost control", "relayer01 control", "relayer01 control\x00"} {
		if got := g.dial().answer("connect " + target); !strings.HasPrefix(got, "ERROR: permission denied: connect to ") {
			t.Errorf("%s: %s", target, got)
		}
	}
	// By a name that nobody has as a control service the node itself is a caller like others.
	c := g.dial()
	c.connect("localhost", "guarded")
	c.want("Receptor Control, node executor01")
	if got := c.answer("status"); got != "ERROR: permission denied: status is not allowed for node executor01" {
		t.Errorf("through itself: %s", got)
	}
	connect.ToService = pattern("control")
	g.allow(connect)
	c = g.dial()
	c.connect("relayer01", "control")
	c.want("Receptor Control, node relayer01")
}

// TestUsers: rules by user and group hold for the process at the other end of a
// Unix socket, and for nobody else.
func TestUsers(t *testing.T) {
	if !KnowsUsers {
		t.Skip("users are not known on this system")
	}
	p := scene(t)["executor01"]
	ln := listenTCP(t)
	g := guard(t, p, ln)
	uid, gid, nobody := uint32(os.Getuid()), uint32(os.Getgid()), uint32(4294967294)
	for _, c := range []struct {
		rule access.Rule
		want bool
	}{
		{access.Rule{Allow: true, UID: &uid}, true},
		{access.Rule{Allow: true, GID: &gid}, true},
		{access.Rule{Allow: true, UID: &uid, GID: &gid}, true},
		{access.Rule{Allow: true, UID: &nobody}, false},
		{access.Rule{Allow: true, GID: &nobody}, false},
		{access.Rule{Allow: true, UID: &uid, Node: pattern(".*")}, false},
		{access.Rule{Allow: true, CertName: pattern(".*")}, false},
	} {
		g.allow(c.rule)
		if got := g.dial().answer("status"); strings.HasPrefix(got, "{") != c.want {
			t.Errorf("%+v: %s", c.rule, got)
		}
		if got := dialTCP(t, ln).answer("status"); !strings.HasPrefix(got, "ERROR: permission denied: status is not allowed for address 127.0.0.1:") {
			t.Errorf("over TCP: %s", got)
		}
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		id := uint32(group)
		g.allow(access.Rule{Allow: true, GID: &id})
		if got := g.dial().answer("status"); !strings.HasPrefix(got, "{") {
			t.Errorf("group %d: %s", group, got)
		}
	}
}

// TestCertificates: rules by certificate hold for all of its names, over TCP.
func TestCertificates(t *testing.T) {
	places := scene(t)
	p := places["executor01"]
	dir := t.TempDir()
	ca := pkitest.NewCA(t, "ca")
	cas := pkitest.File(t, dir+"/ca.crt", ca.PEM)
	cert, key := ca.Write(dir, "executor01", pkitest.Template{Nodes: []string{"executor01"}})
	server, err := pki.NewServer(pki.ServerConfig{Name: "s", Node: "executor01", Cert: cert, Key: key, RequireClientCert: true, ClientCAs: cas})
	if err != nil {
		t.Fatal(err)
	}
	ln := pki.Listen(listenTCP(t), server.Link(), nil)
	g := guard(t, p, ln)
	crt, private := ca.Sign("jane", pkitest.Template{Nodes: []string{"controller01", "second"}, DNS: []string{"jane.example"}})
	pair, err := tls.X509KeyPair(crt, private)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() session {
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
		return greeted(t, c, err)
	}
	for name, want := range map[string]bool{
		"jane": true, "controller01": true, "second": true, "jane.example": true, "j.*": true, "": false, "jan": false, "executor01": false,
	} {
		g.allow(access.Rule{Allow: true, CertName: pattern(name)})
		if got := dial().answer("status"); strings.HasPrefix(got, "{") != want {
			t.Errorf("rule for %q: %s", name, got)
		}
	}
	g.allow()
	if got := dial().answer("status"); got != "ERROR: permission denied: status is not allowed for certificate controller01, second, jane.example, jane" {
		t.Errorf("denied: %s", got)
	}
	es := g.entries()
	if c := es[len(es)-1].From.Certificate; strings.Join(c, " ") != "controller01 second jane.example jane" {
		t.Errorf("certificate on record: %v", c)
	}
}

// TestCertificatesOverTheMesh: the names of a certificate that the service has asked a
// node for hold for all of its requests, together with the name of the node; a certificate
// that the service does not accept, and none, is no caller at all.
func TestCertificatesOverTheMesh(t *testing.T) {
	places := scene(t)
	executor, controller := places["executor01"], places["controller01"]
	dir := t.TempDir()
	ca, other := pkitest.NewCA(t, "ca"), pkitest.NewCA(t, "other")
	cas := pkitest.File(t, dir+"/ca.crt", ca.PEM)
	cert, key := ca.Write(dir, "executor01", pkitest.Template{Nodes: []string{"executor01"}})
	listen := func(name string, c pki.ServerConfig) net.Listener {
		t.Helper()
		c.Name, c.Node, c.Cert, c.Key = "s", "executor01", cert, key
		server, err := pki.NewServer(c)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := executor.node.Listen(mesh.Service{
			Name: wire.Service(name),
			TLS:  server.Mesh(func(h *tls.ClientHelloInfo) string { return string(mesh.HelloNode(h)) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	g := guard(t, executor, listen("asks", pki.ServerConfig{RequireClientCert: true, ClientCAs: cas}), listen("asksnot", pki.ServerConfig{}))
	client := func(name string, by *pkitest.CA, names pkitest.Template) *tls.Config {
		t.Helper()
		c := pki.ClientConfig{Name: "c", Node: "controller01", RootCAs: cas, SkipNames: true}
		if by != nil {
			c.Cert, c.Key = by.Write(dir, name, names)
		}
		live, err := pki.NewClient(c)
		if err != nil {
			t.Fatal(err)
		}
		return live.Node("executor01")
	}
	jane := client("jane", ca, pkitest.Template{Nodes: []string{"controller01", "second"}, DNS: []string{"jane.example"}})
	bob := client("bob", ca, pkitest.Template{Nodes: []string{"controller01"}})
	dial := func(service string, c *tls.Config) session {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := controller.node.Dial(ctx, "executor01", wire.Service(service), c)
		return greeted(t, conn, err)
	}
	for name, want := range map[string]bool{
		"jane": true, "controller01": true, "second": true, "jane.example": true, "j.*": true, "": false, "jan": false, "executor01": false, "bob": false,
	} {
		g.allow(access.Rule{Allow: true, CertName: pattern(name)})
		if got := dial("asks", jane).answer("status"); strings.HasPrefix(got, "{") != want {
			t.Errorf("rule for %q: %s", name, got)
		}
	}

	// Two certificates of one node are two callers, though its sessions are shared; the node is the same.
	g.allow(access.Rule{Allow: true, CertName: pattern("jane"), Node: pattern("controller01")})
	withJane, withBob := dial("asks", jane), dial("asks", bob)
	if got := withJane.answer("status"); !strings.HasPrefix(got, "{") {
		t.Errorf("jane: %s", got)
	}
	if got := withBob.answer("status"); got != "ERROR: permission denied: status is not allowed for node controller01, certificate controller01, localhost, bob" {
		t.Errorf("bob: %s", got)
	}
	g.allow(access.Rule{Allow: true, CertName: pattern("jane"), Node: pattern("second")})
	if got := dial("asks", jane).answer("status"); !strings.HasPrefix(got, "ERROR: permission denied: status is not allowed for node controller01, ") {
		t.Errorf("a node that the certificate names beside: %s", got)
	}

	// A certificate that is not asked for has no names.
	g.allow(access.Rule{Allow: true, CertName: pattern(".*")})
	if got := dial("asksnot", jane).answer("status"); got != "ERROR: permission denied: status is not allowed for node controller01" {
		t.Errorf("not asked: %s", got)
	}

	// None, one of another authority, and one that does not name its node, do not get there.
	for name, c := range map[string]*tls.Config{
		"none": client("none", nil, pkitest.Template{}), "of another": client("stranger", other, pkitest.Template{Nodes: []string{"controller01"}}),
		"of another node": client("relayer01", ca, pkitest.Template{Nodes: []string{"relayer01"}}),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		conn, err := controller.node.Dial(ctx, "executor01", "asks", c)
		if err == nil { // the refusal may come behind the handshake
			conn.SetDeadline(time.Now().Add(patience))
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("certificate %s: %d bytes were read", name, n)
			}
			conn.Close()
		}
		cancel()
	}
	es := g.entries()
	if from := es[0].From; from.Node != "controller01" || strings.Join(from.Certificate, " ") != "controller01 second jane.example jane" {
		t.Errorf("on record: %+v", from)
	}
	for _, e := range es {
		if len(e.From.Certificate) == 0 && e.Result != audit.Denied || strings.Contains(strings.Join(e.From.Certificate, " "), "stranger") {
			t.Errorf("on record: %+v", e)
		}
	}
}

// TestRecord: what is on record of requests that are carried out, and what is not.
func TestRecord(t *testing.T) {
	places := scene(t)
	p := places["controller01"]
	g := guard(t, p)
	g.allow(access.Rule{Allow: true})
	submit := func(line, payload string) string {
		c := g.dial()
		c.answer(line)
		io.WriteString(c, payload)
		c.Conn.(*net.UnixConn).CloseWrite()
		var done controlproto.Submitted
		if err := json.Unmarshal([]byte(c.want("")), &done); err != nil {
			t.Fatal(err)
		}
		return done.UnitID
	}
	const secret = "hidden-thing"
	far := submit(`{"command":"work","subcommand":"submit","node":"executor01","worktype":"echo-args","params":"`+secret+`"}`, secret)
	near := submit("work submit localhost cat", secret)
	c := g.dial()
	for _, request := range []string{
		"work cancel " + near, "work cancel nosuch01", "work release " + near, "work force-release " + far, "reload", "ping executor01", "status",
		"work submit localhost nosuch " + secret, `{"command":"nonsense","params":"` + secret + `"}`, "work nonsense " + secret, "work cancel",
		"connect executor01 nosuch",
	} {
		c.answer(request)
	}
	bridge := g.dial()
	bridge.connect("executor01", "control")
	bridge.Close()
	var got []string
	for _, e := range g.entries() {
		text := fmt.Sprintf("%s %s %s %s %s", e.Command, e.WorkType, e.ToNode, e.Service, e.Result)
		got = append(got, strings.Join(strings.Fields(strings.NewReplacer(far, "FAR", near, "NEAR").Replace(text+" "+e.Unit+" "+e.Error)), " "))
		if e.Node != "controller01" || e.From.Address != "unix:"+g.socket || e.Time.IsZero() {
			t.Errorf("entry %+v", e)
		}
	}
	want := []string{
		"work-submit echo-args executor01 ok FAR",
		"work-submit cat controller01 ok NEAR",
		"work-cancel cat controller01 ok NEAR",
		"work-cancel controller01 error nosuch01 unknown work unit nosuch01",
		"work-release cat controller01 ok NEAR",
		"work-release echo-args executor01 ok FAR",
		"reload controller01 error reload is not supported by this version yet ERRORCODE 5",
		"ping executor01 ok",
		"status controller01 ok",
		"work-submit nosuch controller01 error unknown work type nosuch",
		"connect executor01 nosuch error dial executor01:nosuch: service unknown",
		"connect executor01 control ok",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	data, _ := os.ReadFile(g.record)
	if strings.Contains(string(data), secret) {
		t.Errorf("a parameter or payload is on record:\n%s", data)
	}
}
