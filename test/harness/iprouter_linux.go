package harness

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that ends with its test.
type Namespace struct {
	t    *testing.T
	name string
}

// ip runs the ip tool.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Namespaces makes two network namespaces with a cable between them, whose ends
// are 198.18.0.1 and 198.18.0.2. Where that is not possible the test is skipped.
func Namespaces(t *testing.T) (a, b Namespace) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces and tun devices")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip(err)
	}
	prefix := fmt.Sprintf("rt%d", os.Getpid())
	a, b = Namespace{t, prefix + "a"}, Namespace{t, prefix + "b"}
	for _, ns := range []Namespace{a, b} {
		if out, err := exec.Command("ip", "netns", "add", ns.name).CombinedOutput(); err != nil {
			t.Skipf("no network namespace: %s", out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns.name).Run() })
		ip(t, "-n", ns.name, "link", "set", "lo", "up")
	}
	ip(t, "-n", a.name, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b.name)
	for i, ns := range []Namespace{a, b} {
		ip(t, "-n", ns.name, "addr", "add", fmt.Sprintf("198.18.0.%d/24", i+1), "dev", "cable")
		ip(t, "-n", ns.name, "link", "set", "cable", "up")
	}
	return a, b
}

// Programs are p with a daemon that runs in the namespace.
func (ns Namespace) Programs(p Programs) Programs {
	script := filepath.Join(Dir(ns.t), "receptor")
	text := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", ns.name, p.Receptor)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		ns.t.Fatal(err)
	}
	p.Receptor = script
	return p
}

// do runs f in the namespace; sockets that it opens stay there.
func (ns Namespace) do(f func()) {
	ns.t.Helper()
	done := make(chan error)
	go func() { // ends with f, and its thread with it
		runtime.LockOSThread()
		at, err := os.Open("/var/run/netns/" + ns.name)
		if err == nil {
			err = unix.Setns(int(at.Fd()), unix.CLONE_NEWNET)
			at.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		ns.t.Fatalf("namespace %s: %v", ns.name, err)
	}
}

// Ping waits for the answer to an echo request.
func (ns Namespace) Ping(to string) {
	ns.t.Helper()
	var c net.PacketConn
	var err error
	ns.do(func() { c, err = net.ListenPacket("ip4:icmp", "0.0.0.0") })
	if err != nil {
		ns.t.Fatal(err)
	}
	defer c.Close()
	payload := bytes.Repeat([]byte("mesh"), 200)
	// A router of ansible/receptor looks for others every 10 s, and hears of
	// them after up to a minute.
	for seq, end := uint16(1), time.Now().Add(4*Patience); time.Now().Before(end); seq++ {
		m := append([]byte{8, 0, 0, 0, 0x12, 0x34, byte(seq >> 8), byte(seq)}, payload...)
		binary.BigEndian.PutUint16(m[2:], checksum(m))
		c.WriteTo(m, &net.IPAddr{IP: net.ParseIP(to)}) // there may be no route yet
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		b := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				break
			}
			if from.String() == to && b[0] == 0 && bytes.Equal(b[8:n], payload) {
				return
			}
		}
	}
	ns.t.Fatalf("no answer from %s", to)
}

// checksum is that of the Internet protocols, for an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// IPRouter carries ping and TCP between two network namespaces through the IP
// routers of two nodes.
func IPRouter(t *testing.T, aBy, bBy Programs) {
	config := func(n int) string {
		return fmt.Sprintf("- ip-router: {networkname: inet, localnet: 10.77.0.%d/30, routes: 192.0.2.%d/32}\n", 4*n, n)
	}
	nsA, nsB := Namespaces(t)
	for i, ns := range []Namespace{nsA, nsB} {
		ip(t, "-n", ns.name, "addr", "add", fmt.Sprintf("192.0.2.%d/32", i), "dev", "lo")
	}
	dir := Dir(t)
	b := New(t, nsB.Programs(bBy), dir, "b", "- tcp-listener: {bindaddr: 198.18.0.2, port: 7323}\n"+config(1))
	a := New(t, nsA.Programs(aBy), dir, "a", "- tcp-peer: {address: \"198.18.0.2:7323\"}\n"+config(0))
	b.Start()
	a.Start()
	nsA.Ping("10.77.0.5")
	nsB.Ping("10.77.0.1")
	nsA.Ping("192.0.2.1")
	for _, way := range []struct {
		from, to Namespace
		addr     string
	}{{nsA, nsB, "10.77.0.5"}, {nsB, nsA, "192.0.2.0"}} {
		var ln net.Listener
		var c net.Conn
		var err error
		way.to.do(func() { ln, err = net.Listen("tcp", way.addr+":0") })
		if err != nil {
			t.Fatal(err)
		}
		at := serveHashes(t, ln)
		way.from.do(func() { c, err = net.DialTimeout("tcp", at.String(), Patience) })
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := Upload(c, 16<<20, 1); err != nil {
			t.Errorf("TCP to %s: %v", way.addr, err)
		}
		t.Logf("16 MiB by TCP over IP over the mesh in %v", time.Since(start).Round(time.Millisecond))
	}
	for _, n := range []*Node{a, b} {
		n.proc.Process.Signal(syscall.SIGTERM)
		n.Wait()
	}
	for _, ns := range []Namespace{nsA, nsB} {
		out, err := exec.Command("ip", "-n", ns.name, "-o", "link").Output()
		if err != nil || strings.Contains(string(out), "tun") {
			t.Errorf("devices afterwards: %s, %v", out, err)
		}
	}
}
