package harness

import (
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// routes are those of the namespace, and its devices.
func (ns Namespace) routes() string {
	ns.t.Helper()
	routes, err := exec.Command("ip", "-n", ns.name, "route").Output()
	if err != nil {
		ns.t.Fatal(err)
	}
	links, err := exec.Command("ip", "-n", ns.name, "-o", "link").Output()
	if err != nil {
		ns.t.Fatal(err)
	}
	return string(routes) + string(links)
}

// echoed is a TCP connection from ns to an address in another namespace, on which
// what is said comes back.
func (ns Namespace) echoed(in Namespace, address string) (say func(string) error) {
	ns.t.Helper()
	var ln net.Listener
	var c net.Conn
	var err error
	in.do(func() { ln, err = net.Listen("tcp", address+":0") })
	if err != nil {
		ns.t.Fatal(err)
	}
	ns.t.Cleanup(func() { ln.Close() })
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		if peer, err := ln.Accept(); err == nil {
			_, _ = io.Copy(peer, peer)
			peer.Close()
		}
	}()
	ns.do(func() { c, err = net.DialTimeout("tcp", ln.Addr().String(), Patience) })
	if err != nil {
		ns.t.Fatal(err)
	}
	ns.t.Cleanup(func() { c.Close(); ln.Close(); <-done })
	return func(text string) error {
		c.SetDeadline(time.Now().Add(Patience))
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, len(text)))
		return err
	}
}

// IPRouterReload changes, takes away and brings back one of two IP routers of a
// node. Connections through the other one stay.
func IPRouterReload(t *testing.T, p Programs) {
	nsA, nsB := Namespaces(t)
	for _, address := range []string{"192.0.2.1/32", "192.0.2.9/32"} {
		ip(t, "-n", nsB.name, "addr", "add", address, "dev", "lo")
	}
	const listener = "- tcp-listener: {bindaddr: 198.18.0.2, port: 7323}\n- ip-router: {networkname: keep, interface: keep0, localnet: 10.78.0.4/30}\n"
	router := func(localnet, routes string) string {
		return listener + "- ip-router: {networkname: inet, interface: inet0, localnet: " + localnet + ", routes: " + routes + "}\n"
	}
	dir := Dir(t)
	b := New(t, nsB.Programs(p), dir, "b", router("10.77.0.4/30", "192.0.2.1/32"))
	a := New(t, nsA.Programs(p), dir, "a", "- tcp-peer: {address: \"198.18.0.2:7323\"}\n"+
		"- ip-router: {networkname: keep, localnet: 10.78.0.0/30}\n- ip-router: {networkname: inet, localnet: 10.77.0.0/30}\n")
	b.Start()
	a.Start()
	nsA.Ping("192.0.2.1")
	nsA.Ping("10.78.0.5")
	say := nsA.echoed(nsB, "10.78.0.5")
	stays := func(when string) {
		t.Helper()
		if err := say("word"); err != nil {
			t.Fatalf("%s: a connection through the router that did not change: %v", when, err)
		}
	}
	shows := func(ns Namespace, what string, want bool) {
		t.Helper()
		a.Eventually("change "+what, func() bool { return strings.Contains(ns.routes(), what) == want })
	}
	stays("before")

	b.Reload(router("10.77.0.4/30", "192.0.2.9/32"))
	shows(nsA, "192.0.2.9", true)
	shows(nsA, "192.0.2.1", false)
	nsA.Ping("192.0.2.9")
	stays("other routes")

	b.Config = router("10.77.0.4/29", "192.0.2.1/32")
	b.ReloadRefused()
	nsA.Ping("192.0.2.9")
	stays("refused")

	b.Reload(listener)
	shows(nsA, "192.0.2.9", false)
	shows(nsB, "inet0", false)
	stays("one router gone")

	b.Reload(router("10.77.0.8/30", "192.0.2.1/32"))
	shows(nsA, "10.77.0.8/30", true)
	nsA.Ping("10.77.0.9")
	nsA.Ping("192.0.2.1")
	stays("back with another network")
}
