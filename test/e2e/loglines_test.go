//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/test/harness"
)

// stockLine is a line that operators search logs for, by the node that has it.
type stockLine struct{ node, pattern string }

// stockLines are those of ansible/receptor, in its order: exact where nothing
// stands for a name, a time or a cause.
var stockLines = []stockLine{
	{"a", `INFO Running control service control`},
	{"a", `INFO Initialization complete`},
	{"a", `INFO Connection established with b`},
	{"a", `INFO Known Connections:`},
	{"a", `INFO    a: b\(1\.00\) .*`},
	{"a", `INFO Routing Table:`},
	{"a", `INFO    b via b`},
	{"b", `WARNING Backend connection failed \(will retry\): dial tcp 127\.0\.0\.1:\d+: connect: connection refused`},
	{"b", `WARNING Backend connection exited \(will retry\)`},
	{"b", `ERROR Backend connection failed: dial tcp 127\.0\.0\.1:\d+: connect: connection refused`},
	{"c", `ERROR Backend connection exited`},
	{"a", `ERROR Backend (receiving|sending) error (read|write) tcp .*: (connection reset by peer|broken pipe)`},
	{"a", `WARNING Timing out connection silent, idle for the past 2\ds`},
	{"d", `WARNING Received a rejection message from peer\.`},
	{"d", `ERROR Backend error: remote node rejected the connection.*`},
	{"a", `ERROR Backend error: a: rejected connection with node d because it is not in the allowed peers list`},
	{"a", `ERROR Backend error: a: rejected connection with node e because we disagree about the connection cost`},
	{"a", `ERROR Backend error: a: rejected connection with node a because it tried to connect using our own node ID`},
	{"a", `ERROR Backend error: a: rejected connection with node twin because it connected using a node ID we are already connected to`},
	{"a", `ERROR Backend error: a: rejected connection with node renamed because remote node ID changed unexpectedly from renamed to other`},
	{"a", `ERROR Backend error: a: rejected connection with node unlisted because remote node no longer lists us as a connection`},
	{"a", `WARNING Giving up on connection initialization`},
	{"b", `ERROR Duplicate node ID b detected via a`},
	{"b2", `ERROR We are a duplicate node with ID b and epoch \d+\.  Shutting down\.`},
	{"b", `WARNING Received unreachable message from a .*blocked by firewall`},
	{"b", `WARNING Received unreachable message from a .*service unknown`},
	{"b", `ERROR RVF failed verify: x509: .*`},
	{"b", `ERROR RVF ReceptorNameError: expected a but found other .*`},
	{"a", `ERROR TLS handshake error: .*\. Closing socket\.`},
	{"busy", `ERROR Error creating listener 127\.0\.0\.1:\d+: listen udp 127\.0\.0\.1:\d+: bind: address already in use`},
	{"a", `WARNING Reload not successful: .*`},
	{"nothing", `WARNING Nothing to do - no backends are running\.`},
	{"a", `WARNING Failed to restart worker .*/damaged1: .*`},
	{"a", `INFO Running command service .*`},
	{"a", `DEBUG Listening on TCP 127\.0\.0\.1:\d+`},
	{"a", `DEBUG Listening on UDP 127\.0\.0\.1:\d+`},
	{"a", `DEBUG Listening on Websocket 127\.0\.0\.1:\d+ path /mesh`},
	{"b", `DEBUG Running TCP peer connection 127\.0\.0\.1:\d+`},
	{"b", `DEBUG Running UDP peer connection 127\.0\.0\.1:\d+`},
	{"b", `DEBUG Running Websocket peer connection ws://127\.0\.0\.1:\d+/mesh`},
	{"b", `DEBUG Sending initial connection message`},
	{"b", `DEBUG Stopping initial updates`},
	{"b", `DEBUG Sending routing update \w{8}\. Connections: a\(1\.00\)`},
	{"b", `DEBUG Received routing update \w{8} from a via a`},
	{"b", `DEBUG Re-calculating routing table`},
	{"a", `DEBUG Sending service advertisement: &{a control .*}`},
	{"b", `DEBUG Received service advertisement from a`},
	{"a", `DEBUG Client connected to control service .*`},
	{"a", `DEBUG Client disconnected from control service .*`},
	{"a", `DEBUG Control service closed`},
	{"a", `DEBUG Reloading`},
}

// hello is a routing update of a node as it goes over TCP.
func hello(node, forwarder wire.NodeID, sequence uint64, links map[wire.NodeID]float64) []byte {
	f := wire.AppendUpdate(nil, wire.Update{
		NodeID: node, UpdateID: fmt.Sprintf("id%06d", sequence), UpdateEpoch: 1 << 24, UpdateSequence: sequence,
		Connections: links, ForwardingNode: forwarder,
	})
	return append(binary.LittleEndian.AppendUint16(nil, uint16(len(f))), f...)
}

// TestStockLines makes happen what each line tells, and waits for the line.
func TestStockLines(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	certs := t.TempDir()
	ca, other := pkitest.NewCA(t, "ca"), pkitest.NewCA(t, "other ca")
	pkitest.File(t, certs+"/ca.crt", ca.PEM)
	ca.Write(certs, "a", pkitest.Template{})
	ca.Write(certs, "other", pkitest.Template{})
	other.Write(certs, "foreign", pkitest.Template{Nodes: []string{"a"}})

	port := make(map[string]int)
	for _, name := range []string{"TCP", "CLOSED", "UDP", "WS", "CTL", "MEMBERS", "COST", "PC", "PUDP"} {
		port[name] = harness.FreePort(t)
	}
	fill := func(s string) string {
		for name, p := range port {
			s = strings.ReplaceAll(s, "<"+name+">", fmt.Sprint(p))
		}
		return strings.ReplaceAll(s, "CERTS", certs)
	}
	node := func(name, config string) *harness.Node { return harness.New(t, programs, dir, name, fill(config)) }
	a := node("a", `
- tls-server: {name: srv, cert: CERTS/a.crt, key: CERTS/a.key}
- tls-server: {name: other, cert: CERTS/other.crt, key: CERTS/other.key, skipreceptornamescheck: true}
- tls-server: {name: foreign, cert: CERTS/foreign.crt, key: CERTS/foreign.key}
- control-service: {service: "", tcplisten: "127.0.0.1:<CTL>", tcptls: srv}
- control-service: {service: named, tls: other}
- control-service: {service: foreign, tls: foreign}
- tcp-listener: {bindaddr: 127.0.0.1, port: <TCP>}
- tcp-listener: {bindaddr: 127.0.0.1, port: <MEMBERS>, allowedpeers: [b]}
- tcp-listener: {bindaddr: 127.0.0.1, port: <COST>, cost: 2}
- udp-listener: {bindaddr: 127.0.0.1, port: <UDP>}
- ws-listener: {bindaddr: 127.0.0.1, port: <WS>, path: /mesh}
- command-service: {service: shell, command: cat}
`)
	nodes := map[string]*harness.Node{
		"a": a,
		"b": node("b", `
- tls-client: {name: cli, cert: "", key: "", rootcas: CERTS/ca.crt}
- tcp-peer: {address: "127.0.0.1:<TCP>"}
- tcp-peer: {address: "127.0.0.1:<CLOSED>"}
- tcp-peer: {address: "127.0.0.1:<CLOSED>", redial: false, cost: 3}
- udp-peer: {address: "127.0.0.1:<PUDP>"}
- ws-peer: {address: "ws://127.0.0.1:<WS>/mesh"}
`),
		"c": node("c", "- tcp-listener: {bindaddr: 127.0.0.1, port: <PC>}\n- tcp-peer: {address: '127.0.0.1:<TCP>', redial: false}\n"),
		"d": node("d", "- tcp-peer: {address: '127.0.0.1:<MEMBERS>'}\n"),
		"e": node("e", "- tcp-peer: {address: '127.0.0.1:<COST>'}\n"),
	}
	lines := func(name string) []string {
		var file string
		if n := nodes[name]; n != nil {
			file = n.LogFile()
		} else {
			file = filepath.Join(dir, name+".log")
		}
		data, _ := os.ReadFile(file)
		return strings.Split(string(data), "\n")
	}
	stamp := regexp.MustCompile(`^(\w+) \d{4}/\d\d/\d\d \d\d:\d\d:\d\d `)
	has := func(l stockLine) bool {
		want := regexp.MustCompile(`^` + l.pattern + `( repeated=\d+)?$`)
		for _, line := range lines(l.node) {
			if stamp.MatchString(line) && want.MatchString(stamp.ReplaceAllString(line, "$1 ")) {
				return true
			}
		}
		return false
	}

	// A unit whose records no one can read.
	damaged := filepath.Join(a.DataDir(), "damaged1")
	if err := os.MkdirAll(damaged, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "status"), []byte(`{"State":`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Start()

	// Neighbours that do not behave.
	raw := func(send ...[]byte) *net.TCPConn {
		conn, err := net.Dial("tcp", fill("127.0.0.1:<TCP>"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go io.Copy(io.Discard, conn) // ends with the connection
		for _, b := range send {
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		return conn.(*net.TCPConn)
	}
	toA := map[wire.NodeID]float64{"a": 1}
	raw() // says nothing
	raw(hello("silent", "silent", 1, nil), hello("silent", "silent", 2, toA))
	raw(hello("renamed", "renamed", 3, nil), hello("other", "other", 4, toA))
	raw(hello("unlisted", "unlisted", 5, nil), hello("unlisted", "unlisted", 6, toA), hello("unlisted", "unlisted", 7, nil))
	raw(hello("a", "a", 8, nil))
	raw(hello("twin", "twin", 11, nil), hello("twin", "twin", 12, toA))
	a.Eventually("link with a twin", func() bool { return has(stockLine{"a", "INFO Connection established with twin"}) })
	raw(hello("twin", "twin", 13, nil))
	reset := raw(hello("rude", "rude", 9, nil), hello("rude", "rude", 10, toA))
	a.Eventually("link with one that is rude", func() bool { return has(stockLine{"a", "INFO Connection established with rude"}) })
	reset.SetLinger(0)
	reset.Close()

	for _, name := range []string{"b", "c", "d", "e"} {
		nodes[name].Start()
	}
	b := nodes["b"]
	b.Reach(a, nodes["c"])
	b2 := harness.New(t, programs, filepath.Join(dir, "2"), "b", fill("- tcp-peer: {address: '127.0.0.1:<PC>'}\n"))
	nodes["b2"] = b2
	b2.Exec()
	if code := b2.Wait(); code != 1 {
		t.Errorf("the duplicate ends with exit code %d", code)
	}

	// The firewall of a, changed by a reload; and a reload that is refused.
	file := filepath.Join(a.Dir, "receptor.yml")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	walled := strings.Replace(string(good), `- node: {id: "a"`, `- node: {firewallrules: [{action: reject, tonode: a, toservice: secret}], id: "a"`, 1)
	if err := os.WriteFile(file, []byte(walled), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Run("reload")
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Try("reload")
	for service, why := range map[string]string{"secret": "blocked by firewall", "nosuch": "service unknown"} {
		b.Eventually("hear "+why, func() bool { // there is at most one line in a second
			b.Ask("connect a " + service)
			return has(stockLine{"b", "WARNING Received unreachable message from a .*" + why})
		})
	}
	b.Ask("connect a named cli")
	b.Ask("connect a foreign cli")
	if conn, err := net.Dial("tcp", fill("127.0.0.1:<CTL>")); err != nil {
		t.Error(err)
	} else {
		io.WriteString(conn, "status\n")
		conn.Close()
	}

	// Daemons that do not start.
	for name, config := range map[string]string{
		"busy":    "- node: {id: busy}\n- udp-listener: {bindaddr: 127.0.0.1, port: <UDP>}\n",
		"nothing": "- node: {id: nothing}\n",
	} {
		file := filepath.Join(dir, name+".yml")
		if err := os.WriteFile(file, []byte(fill(config)), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(programs.Receptor, "--config", file)
		out, err := cmd.Output()
		if err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v, want exit code 1", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".log"), out, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// All that tells of a's end comes last.
	last := map[string]bool{"ERROR Backend connection exited": true, `WARNING Backend connection exited \(will retry\)`: true}
	for _, l := range stockLines {
		if !last[l.pattern] {
			a.Eventually(fmt.Sprintf("lead to the line of %s: %s", l.node, l.pattern), func() bool { return has(l) })
		}
	}
	a.Kill()
	for _, l := range stockLines {
		if last[l.pattern] {
			b.Eventually(fmt.Sprintf("see the line of %s: %s", l.node, l.pattern), func() bool { return has(l) })
		}
	}
}
