package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A reload that is refused says all that is wrong: what needs a restart, what
// cannot be read, and what cannot be opened; and nothing has changed.
func TestReloadSaysAllThatIsWrong(t *testing.T) {
	const base = "- node: {id: a, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n- tcp-listener: {bindaddr: HOST, port: 2331}\n"
	d := startDaemon(t, base)
	busy, err := net.Listen("tcp", d.host+":2333")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	d.write(`
- node: {id: b, datadir: DIR/data}
- log-level: {level: debug, format: json}
- tls-server: {name: srv, cert: DIR/none.crt, key: DIR/none.key}
- tcp-listener: {bindaddr: HOST, port: 2332}
- work-command: {worktype: new, command: cat}
`)
	reply := d.ask("reload")
	for _, want := range []string{"config action 'node' was modified", "config action 'log-level' was modified", "'control-service' was removed", "none.crt", "ERRORCODE 3"} {
		if !strings.Contains(reply, want) {
			t.Errorf("%s does not say %q", reply, want)
		}
	}
	d.write(strings.Replace(base, "id: a", "id: b", 1) + `
- tcp-listener: {bindaddr: HOST, port: 2332}
- tcp-server: {bindaddr: HOST, port: 2333, remotenode: x, remoteservice: y}
- unix-socket-server: {filename: DIR/c.yml, remotenode: x, remoteservice: y}
`)
	reply = d.ask("reload")
	for _, want := range []string{"config action 'node' was modified", "address already in use", "is no socket", "ERRORCODE 3"} {
		if !strings.Contains(reply, want) {
			t.Errorf("%s does not say %q", reply, want)
		}
	}
	if status := d.ask("status"); d.listens("2332") || !d.listens("2331") || strings.Contains(status, `"WorkType":"new"`) || !strings.Contains(status, `"NodeID":"a"`) {
		t.Errorf("something has changed: %s", status)
	}
	if strings.Contains(d.logged(), "DEBUG ") {
		t.Error("the log level has changed")
	}
	d.reload(base) // nothing is left of what was refused
	if n := strings.Count(d.logged(), "Reload not successful: "); n != 2 {
		t.Errorf("%d refusals in the log", n)
	}
}

// Who may link, and which packets pass, changes for those whom it concerns.
func TestReloadAllowedPeersAndFirewall(t *testing.T) {
	const hub = "- node: {id: hub, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n"
	const ports = "- tcp-listener: {bindaddr: HOST, port: 2341}\n- ws-listener: {bindaddr: HOST, port: 2342}\n"
	h := startDaemon(t, hub+ports)
	const leaf = "- node: {id: LEAF, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n"
	a := startDaemon(t, strings.ReplaceAll(leaf, "LEAF", "a")+"- tcp-peer: {address: 'HOST:2341'}\n")
	b := startDaemon(t, strings.ReplaceAll(leaf, "LEAF", "b")+"- ws-peer: {address: 'ws://HOST:2342'}\n")
	h.until("links", func() bool { return slices.Equal(h.connections(), []string{"a 1", "b 1"}) })
	established := func(d *testDaemon) int { return strings.Count(d.logged(), "Connection established with ") }
	pings := func() bool { return strings.Contains(a.ask("ping b"), `"Success":true`) }
	a.until("way to b", pings)

	h.reload(strings.Replace(hub, "DIR/data}", "DIR/data, firewallrules: [{action: reject, fromnode: a, tonode: b}]}", 1) + ports)
	if pings() {
		t.Error("the new rule does not hold")
	}
	h.write(strings.Replace(hub, "DIR/data}", "DIR/data, firewallrules: [{action: reject, fromnode: /(/}]}", 1) + ports)
	if reply := h.ask("reload"); !strings.Contains(reply, "ERRORCODE 4") || pings() {
		t.Errorf("a rule that is refused: %s", reply)
	}
	h.reload(hub + ports)
	if !pings() {
		t.Error("the rule holds although it is gone")
	}

	h.reload(hub + strings.Replace(ports, "port: 2341}", "port: 2341, allowedpeers: [c]}", 1))
	h.until("end of the link of a", func() bool { return slices.Equal(h.connections(), []string{"b 1"}) })
	h.waitLog("it is not in the allowed peers list")
	h.reload(hub + strings.Replace(ports, "port: 2341}", "port: 2341, allowedpeers: [c, a]}", 1))
	h.until("link of a", func() bool { return slices.Equal(h.connections(), []string{"a 1", "b 1"}) })
	if n := established(b); n != 1 {
		t.Errorf("the link of b came up %d times", n)
	}
}

// resources are what a process must not lose by and by. Descriptors are counted
// where the system shows them.
func resources() (goroutines, descriptors int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	return runtime.NumGoroutine(), len(entries)
}

// 200 reloads, in which sections of all kinds come, change and go, and every tenth
// of which is refused, leave nothing behind, and a link that is the same is never
// touched.
func TestReloadManyTimes(t *testing.T) {
	const base = "- node: {id: hub, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- log-level: info\n- tcp-listener: {bindaddr: HOST, port: 2361}\n"
	h := startDaemon(t, base)
	leaf := startDaemon(t, "- node: {id: leaf, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tcp-peer: {address: 'HOST:2361'}\n")
	leaf.until("link", func() bool { return slices.Equal(leaf.connections(), []string{"hub 1"}) })
	const more = `
- tcp-listener: {bindaddr: HOST, port: 2362, cost: COST}
- udp-listener: {bindaddr: HOST, port: 2362, cost: COST}
- ws-listener: {bindaddr: HOST, port: 2363, cost: COST}
- tcp-peer: {address: "HOST:2369", cost: COST}
- udp-peer: {address: "HOST:2369", cost: COST}
- ws-peer: {address: "ws://HOST:2369", cost: COST}
- tcp-server: {bindaddr: HOST, port: 2364, remotenode: leaf, remoteservice: xCOST}
- tcp-client: {service: tcp, address: "HOST:COST"}
- udp-server: {bindaddr: HOST, port: 2364, remotenode: leaf, remoteservice: xCOST}
- udp-client: {service: udp, address: "HOST:COST"}
- unix-socket-server: {filename: DIR/u, remotenode: leaf, remoteservice: xCOST}
- unix-socket-client: {service: unix, filename: DIR/COST}
- command-service: {service: cmd, command: "echo COST"}
- control-service: {service: other, filename: DIR/other}
- metrics: "HOST:2365"
- work-command: {worktype: w, command: "COST"}
- work-python: {worktype: p, plugin: p, function: fCOST}
`
	// New control services can come, but not go.
	other := "- control-service: {service: other, filename: DIR/other}\n"
	h.reload(base + other)
	var goroutines, descriptors int
	for i := range 200 {
		switch {
		case i%10 == 9:
			h.write(base + other + strings.ReplaceAll(more, "COST", "7") + "- unix-socket-server: {filename: DIR/c.yml, remotenode: x, remoteservice: y}\n")
			if reply := h.ask("reload"); !strings.Contains(reply, "ERRORCODE") {
				t.Fatalf("a bad file is taken: %s", reply)
			}
		case i%4 == 3:
			h.reload(base + other)
		default:
			h.reload(base + strings.ReplaceAll(more, "COST", fmt.Sprint(1+i%3)))
		}
		if i == 20 {
			h.reload(base + other)
			goroutines, descriptors = resources()
		}
	}
	h.reload(base + other)
	var g, fds int
	h.until(fmt.Sprintf("return to %d goroutines and %d descriptors", goroutines, descriptors), func() bool {
		g, fds = resources()
		return g <= goroutines+5 && fds <= descriptors+5
	})
	if status := h.ask("status"); strings.Contains(status, `"cmd"`) || strings.Contains(status, `"WorkType"`) {
		t.Errorf("after all that: %s", status)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "u")); err == nil {
		t.Error("the socket of a service that is gone is there")
	}
	if n := strings.Count(leaf.logged(), "Connection established with "); n != 1 {
		t.Errorf("the link came up %d times", n)
	}
}
