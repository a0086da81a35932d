package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/config"
)

// testDaemon is a node in this process that can be reloaded.
type testDaemon struct {
	t    *testing.T
	file string
	dir  string // short, for sockets
	host string // an address of the loopback network that no other test has
	log  *writes
	stop func() // ends it and waits
}

// startDaemon runs a node by a configuration in which DIR and HOST are replaced;
// it stops with the test.
func startDaemon(t *testing.T, conf string, args ...string) *testDaemon {
	t.Helper()
	log := &writes{}
	d := startDaemonTo(t, log, conf, args...)
	d.log = log
	return d
}

// startDaemonTo is startDaemon with an output of its own.
func startDaemonTo(t *testing.T, output io.Writer, conf string, args ...string) *testDaemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "rs") // sockets allow about 100 bytes of path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	pid := os.Getpid()
	d := &testDaemon{
		t: t, dir: dir, file: filepath.Join(dir, "c.yml"), log: &writes{},
		host: fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255),
	}
	if ln, err := net.Listen("tcp", d.host+":0"); err != nil {
		t.Skipf("no addresses of the loopback network: %v", err)
	} else {
		ln.Close()
	}
	d.write(conf)
	for i, a := range args {
		args[i] = d.fill(a)
	}
	a, err := config.ParseArgs(append([]string{"--config", d.file}, args...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { // ends with the test
		if err := runDaemon(ctx, a, nil, output, output); err != nil {
			t.Error(err)
		}
	})
	d.stop = func() { stop(); running.Wait() }
	t.Cleanup(d.stop)
	d.until("the control service", func() bool { _, err := ask(d.socket(), "ping localhost"); return err == nil })
	return d
}

func (d *testDaemon) socket() string { return filepath.Join(d.dir, "s") }

func (d *testDaemon) fill(s string) string {
	return strings.NewReplacer("DIR", d.dir, "HOST", d.host).Replace(s)
}

func (d *testDaemon) write(conf string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(d.fill(conf)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *testDaemon) until(what string, done func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("no %s after %v\n%s", what, patience, d.logged())
		}
	}
}

func (d *testDaemon) logged() string {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	return strings.Join(d.log.all, "")
}

// ask gives the answer of the control service.
func (d *testDaemon) ask(line string) string {
	d.t.Helper()
	answer, err := ask(d.socket(), line)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// listens tells whether a port is open. A connection that is reset at once, as
// by a tcp-server whose other side is not there, was accepted.
func (d *testDaemon) listens(port string) bool {
	c, err := net.Dial("tcp", net.JoinHostPort(d.host, port))
	if err == nil {
		c.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNRESET)
}

var errorCode = regexp.MustCompile(`ERRORCODE ([0-9]+)`)

// TestReloadVectors reloads a node with each case. Where the original asks for a
// restart and we do not need one, or the other way round, the table says so; in
// docs/differences.md.
func TestReloadVectors(t *testing.T) {
	data, err := os.ReadFile("../../internal/config/testdata/reload.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name          string
		Args          []string
		Before, Reply string
		After, Second *string
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) != 27 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	code := func(reply string) string {
		if m := errorCode.FindStringSubmatch(reply); m != nil {
			return m[1]
		}
		return reply
	}
	differs := map[string]string{
		"add-work-command": `{"Success":true}`, "modify-work-command": `{"Success":true}`, "remove-work-command": `{"Success":true}`,
		"change-log-level": `{"Success":true}`, "change-log-level-style": `{"Success":true}`,
		"duplicate-non-reloadable-copy": "4", // two work types with one name
		"add-tls-server-and-use":        "4", // the certificate is not there; see TestReloadTLS
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			ours := strings.NewReplacer("foo.sock", "DIR/s", "127.0.0.1", "HOST", "id: foo\n", "id: foo\n    datadir: DIR/data\n",
				"id: foo9\n", "id: foo9\n    datadir: DIR/data\n").Replace
			for i := range c.Args {
				c.Args[i] = ours(c.Args[i])
			}
			d := startDaemon(t, ours(c.Before), c.Args[2:]...)
			if c.After == nil {
				os.Remove(d.file)
			} else {
				d.write(ours(*c.After))
			}
			reply := d.ask("reload")
			want := code(c.Reply)
			if differs[c.Name] != "" {
				want = differs[c.Name]
			}
			if code(reply) != want {
				t.Errorf("got %s, want %s; there %s", reply, want, c.Reply)
			}
			if strings.Contains(reply, "ERRORCODE") {
				if !d.listens("2222") {
					t.Error("after a refused reload the listener is gone")
				}
				if !strings.Contains(d.logged(), "WARNING ") || !strings.Contains(d.logged(), "Reload not successful: ") {
					t.Errorf("the log does not say so:\n%s", d.logged())
				}
			}
			if want == "3" && c.Name != "empty-file" && !strings.Contains(c.Reply, strings.TrimSuffix(reply, `","Success":false}`)) &&
				!strings.Contains(reply, "a non-reloadable config action 'node' was modified or added. Must restart receptor for these changes to take effect ERRORCODE 3") {
				t.Errorf("got %s, want %s", reply, c.Reply)
			}
			for port, now := range map[string]bool{
				"2222": c.Name != "remove-listener" && c.Name != "change-port",
				"2223": c.Name == "add-listener", "2230": c.Name == "change-port", "2240": c.Name == "cli-listener-plus-file",
			} {
				if d.listens(port) != now {
					t.Errorf("port %s is open: %v, want %v", port, !now, now)
				}
			}
			if c.Second != nil {
				d.write(ours(*c.Second))
				if reply := d.ask("reload"); reply != `{"Success":true}` || !d.listens("2222") {
					t.Errorf("the first one again: %s", reply)
				}
			}
		})
	}
}

// connections are the neighbours of a node.
func (d *testDaemon) connections() []string {
	var status struct {
		Connections []struct {
			NodeID string
			Cost   float64
		}
	}
	if err := json.Unmarshal([]byte(d.ask("status")), &status); err != nil {
		d.t.Fatal(err)
	}
	var ids []string
	for _, c := range status.Connections {
		ids = append(ids, fmt.Sprintf("%s %v", c.NodeID, c.Cost))
	}
	slices.Sort(ids)
	return ids
}

func (d *testDaemon) reload(conf string) {
	d.t.Helper()
	d.write(conf)
	if reply := d.ask("reload"); reply != `{"Success":true}` {
		d.t.Fatal(reply)
	}
}

// What a reload does not change is not touched: links stay up. What it changes
// is what the new file says, and a file that brings nothing new changes nothing.
func TestReloadTouchesTheDifferenceAlone(t *testing.T) {
	const hub = "- node: {id: hub, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n"
	h := startDaemon(t, hub+"- tcp-listener: {bindaddr: HOST, port: 2301}\n- tcp-listener: {bindaddr: HOST, port: 2302}\n")
	const leaf = "- node: {id: LEAF, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n"
	a := startDaemon(t, strings.ReplaceAll(leaf, "LEAF", "a")+"- tcp-peer: {address: 'HOST:2301'}\n")
	b := startDaemon(t, strings.ReplaceAll(leaf, "LEAF", "b")+"- tcp-peer: {address: 'HOST:2302'}\n")
	h.until("links", func() bool { return slices.Equal(h.connections(), []string{"a 1", "b 1"}) })
	established := func(d *testDaemon) int { return strings.Count(d.logged(), "Connection established with ") }
	h.until("log of all links", func() bool { return established(a)+established(b)+established(h) == 4 })

	// Work types, the log level, a new port, the firewall and another order: no link goes down.
	h.reload(`
- tcp-listener: {bindaddr: HOST, port: 2302}
- tcp-listener: {bindaddr: HOST, port: 2303}
- work-command: {worktype: new, command: cat}
- log-level: debug
- tcp-listener: {port: 2301, bindaddr: HOST}
- control-service: {filename: DIR/s}
- node: {id: hub, datadir: DIR/data, firewallrules: [{action: reject, toservice: nosuch}]}
- tcp-client: {service: svc, address: "localhost:1"}
`)
	if !h.listens("2303") || !strings.Contains(h.ask("status"), `"WorkType":"new"`) || !strings.Contains(h.ask("status"), `"svc"`) {
		t.Errorf("not all is there: %s", h.ask("status"))
	}
	if !strings.Contains(h.logged(), "DEBUG ") {
		t.Error("the log level is what it was")
	}
	if n := established(a) + established(b) + established(h); n != 4 {
		t.Errorf("%d links came up, want those of the start, 2 at each end", n)
	}

	// One cost changes, at both ends: the other link stays.
	const costly = hub + "- tcp-listener: {bindaddr: HOST, port: 2301, cost: 5}\n- tcp-listener: {bindaddr: HOST, port: 2302}\n"
	h.reload(costly)
	a.reload(strings.ReplaceAll(leaf, "LEAF", "a") + "- tcp-peer: {address: 'HOST:2301', cost: 5}\n")
	h.until("link at the new cost", func() bool { return slices.Equal(h.connections(), []string{"a 5", "b 1"}) })
	if n := established(b); n != 1 {
		t.Errorf("the link of b came up %d times", n)
	}
	if h.listens("2303") || strings.Contains(h.ask("status"), `"svc"`) {
		t.Error("what was removed is still there")
	}

	// What is wrong is said, all of it, and changes nothing.
	h.write(costly + "- tcp-listener: {bindaddr: HOST, port: http}\n- nonsense\n- tcp-peer: nowhere\n")
	reply := h.ask("reload")
	for _, want := range []string{"ERRORCODE 4", "is not an integer", "unknown section", "missing port in address"} {
		if !strings.Contains(reply, want) {
			t.Errorf("%s does not say %q", reply, want)
		}
	}
	busy, err := net.Listen("tcp", h.host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	h.write(hub + "- tcp-listener: {bindaddr: HOST, port: 2304}\n- tcp-server: {bindaddr: HOST, port: " + port + ", remotenode: x, remoteservice: y}\n")
	if reply := h.ask("reload"); !strings.Contains(reply, "address already in use ERRORCODE 4") || h.listens("2304") {
		t.Errorf("a port that another one has: %s", reply)
	}
	if got := h.connections(); !slices.Equal(got, []string{"a 5", "b 1"}) {
		t.Errorf("after refused reloads: %v", got)
	}

	// A port goes from one section to another.
	h.reload(hub + "- tcp-listener: {bindaddr: HOST, port: 2302}\n- tcp-server: {bindaddr: HOST, port: 2301, remotenode: x, remoteservice: y}\n")
	h.until("end of the first link", func() bool { return slices.Equal(h.connections(), []string{"b 1"}) })
	if !h.listens("2301") {
		t.Errorf("the port was not handed over\n%s", h.logged())
	}
	if n := established(b); n != 1 {
		t.Errorf("the other link came up %d times\n%s", n, b.logged())
	}
}

// The metrics come and go with their section; the daemon says when it is ready,
// and its counts tell that a link stayed.
func TestReloadMetrics(t *testing.T) {
	const base = "- node: {id: hub, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tcp-listener: {bindaddr: HOST, port: 2321}\n"
	h := startDaemon(t, base)
	leaf := startDaemon(t, "- node: {id: leaf, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tcp-peer: {address: 'HOST:2321'}\n")
	leaf.until("link", func() bool { return slices.Equal(leaf.connections(), []string{"hub 1"}) })
	if h.listens("2322") {
		t.Fatal("something is served without the section")
	}
	h.reload(base + "- metrics: 'HOST:2322'\n- tcp-listener: {bindaddr: HOST, port: 2323}\n")
	get := func(path string) (int, string) {
		t.Helper()
		c := http.Client{Timeout: patience}
		defer c.CloseIdleConnections()
		r, err := c.Get(h.fill("http://HOST:2322" + path))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	for _, path := range []string{"/readyz", "/healthz"} {
		if code, text := get(path); code != 200 || text != "ok\n" {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	_, text := get("/metrics")
	for _, want := range []string{"receptor_links_established_total 1", "receptor_links_ended_total 0", `receptor_info{node="hub",version="1.5.0"} 1`} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	h.reload(base)
	if h.listens("2322") {
		t.Error("the metrics are served still")
	}
}

// Without a file there is nothing to read again.
func TestReloadWithoutFile(t *testing.T) {
	a, err := config.ParseArgs([]string{"--local-only"})
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{args: a, log: newLogger(&writes{}, config.Log{})}
	const want = "no configuration file was provided, reload function not set"
	if err := d.reload(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
