package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/receptor-go/receptor/internal/mesh"
)

// namespace is a network namespace of this process, which vanishes with the
// last thing in it.
type namespace struct {
	t    *testing.T
	jobs chan func()
}

// newNamespace makes a namespace where the addresses given are those of its
// loopback device. Without the right to do so the test is skipped.
func newNamespace(t *testing.T, addrs ...string) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces and tun devices")
	}
	if _, err := os.Stat(tunDevice); err != nil {
		t.Skip(err)
	}
	ns := &namespace{t: t, jobs: make(chan func())}
	made := make(chan error)
	var thread sync.WaitGroup
	thread.Go(func() { // ends with the test, and its thread with it
		runtime.LockOSThread()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for job := range ns.jobs {
			job()
		}
	})
	t.Cleanup(func() { close(ns.jobs); thread.Wait() })
	if err := <-made; err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	ns.do(func() {
		nl := ns.netlink()
		defer nl.Close()
		lo, err := nl.LinkByName("lo")
		if err != nil {
			t.Error(err)
			return
		}
		if err := nl.LinkSetUp(lo); err != nil {
			t.Error(err)
		}
		for _, a := range addrs {
			p := netip.MustParsePrefix(a)
			if err := nl.AddrAdd(lo, &netlink.Addr{IPNet: ipNetOf(p), Flags: unix.IFA_F_NODAD}); err != nil {
				t.Errorf("address %s: %v", a, err)
			}
		}
	})
	return ns
}

// do runs f in the namespace; what it opens stays there.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.jobs <- func() { defer close(done); f() }
	<-done
}

// netlink is a connection to the kernel about the namespace; called in do.
func (ns *namespace) netlink() *netlink.Handle {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		panic(err)
	}
	return nl
}

// routed starts a router in the namespace.
func (ns *namespace) routed(n *mesh.Node, c IPRouter) (stop func() error) {
	ns.t.Helper()
	ns.do(func() { _, stop = started(ns.t, n, c) })
	return stop
}

// routes are those of the kernel through the device that has the address.
func (ns *namespace) routes(device string) (list []string) {
	ns.do(func() {
		nl := ns.netlink()
		defer nl.Close()
		l, err := nl.LinkByName(device)
		if err != nil {
			list = []string{err.Error()}
			return
		}
		all, err := nl.RouteList(l, netlink.FAMILY_ALL)
		if err != nil {
			ns.t.Error(err)
		}
		for i := range all {
			if p := prefixOf(&all[i]); !p.Addr().IsLinkLocalUnicast() {
				text := p.String()
				if all[i].Gw != nil {
					text += " via " + all[i].Gw.String()
				}
				list = append(list, text)
			}
		}
	})
	return list
}

// ping waits for an echo.
func (ns *namespace) ping(to string) {
	ns.t.Helper()
	var c net.PacketConn
	var err error
	ns.do(func() { c, err = net.ListenPacket("ip4:icmp", "0.0.0.0") })
	if err != nil {
		ns.t.Fatal(err)
	}
	defer c.Close()
	addr := &net.IPAddr{IP: net.ParseIP(to)}
	payload := bytes.Repeat([]byte("mesh"), 300)
	for seq, end := uint16(1), time.Now().Add(patience); time.Now().Before(end); seq++ {
		m := append([]byte{8, 0, 0, 0, 0x12, 0x34, byte(seq >> 8), byte(seq)}, payload...)
		binary.BigEndian.PutUint16(m[2:], checksum(m))
		c.WriteTo(m, addr) // there may be no route yet
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

// transfer sends data from one namespace to an address in the other.
func transfer(t *testing.T, from, to *namespace, addr string) {
	t.Helper()
	var ln net.Listener
	var c net.Conn
	var err error
	to.do(func() { ln, err = net.Listen("tcp", net.JoinHostPort(addr, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var server sync.WaitGroup
	defer server.Wait()
	server.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		h := sha256.New()
		io.Copy(h, c)
		fmt.Fprintf(c, "%x", h.Sum(nil))
	})
	from.do(func() { c, err = net.DialTimeout("tcp", ln.Addr().String(), patience) })
	if err != nil {
		ln.Close()
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	data := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	c.Write(data)
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != fmt.Sprintf("%x", sha256.Sum256(data)) {
		t.Errorf("%s got %q, %v", addr, got, err)
	}
}

// TestIPRouter carries ping and TCP between two network namespaces, to the
// devices themselves and to the networks behind them, and cleans up.
func TestIPRouter(t *testing.T) {
	nsA, nsB := newNamespace(t, "192.0.2.1/25", "fd00:a::1/64"), newNamespace(t, "192.0.2.129/25", "fd00:b::1/64")
	a, b := twoNodes(t)
	stopA := nsA.routed(a, IPRouter{NetworkName: "net", LocalNet: prefix("10.77.0.0/30"), Routes: prefixes("192.0.2.0/25", "fd00:a::/64")})
	stopB := nsB.routed(b, IPRouter{NetworkName: "net", LocalNet: prefix("10.77.0.4/30"), Routes: prefixes("192.0.2.128/25", "fd00:b::/64"), Interface: "meshtun"})
	nsA.ping("10.77.0.5")
	nsB.ping("192.0.2.1")
	transfer(t, nsA, nsB, "192.0.2.129")
	transfer(t, nsB, nsA, "10.77.0.1")
	transfer(t, nsB, nsA, "fd00:a::1")
	if got, want := fmt.Sprint(nsB.routes("meshtun")), "[10.77.0.0/30 via 10.77.0.6 10.77.0.6/32 192.0.2.0/25 via 10.77.0.6 fd00:a::/64]"; got != want {
		t.Errorf("routes %s, want %s", got, want)
	}
	if err := stopA(); err != nil {
		t.Error(err)
	}
	eventually(t, func() error {
		got := fmt.Sprint(nsB.routes("meshtun"))
		return unless(got == "[10.77.0.6/32]", "routes stay: "+got)
	})
	if err := stopB(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(nsB.routes("meshtun")); got != "[Link not found]" {
		t.Errorf("the device stays: %s", got)
	}
	nsB.routed(b, IPRouter{NetworkName: "net", LocalNet: prefix("10.77.0.4/30"), Interface: "meshtun"})
}

// TestIPRouterRoutes: missing routes are added, strange ones removed, those of
// the device kept.
func TestIPRouterRoutes(t *testing.T) {
	ns := newNamespace(t)
	a, _ := twoNodes(t)
	n, err := IPRouter{NetworkName: "net", LocalNet: prefix("10.77.0.0/30")}.parse()
	if err != nil {
		t.Fatal(err)
	}
	var r *ipRouter
	ns.do(func() {
		tun, name, err := openTun("tt0")
		if err != nil {
			t.Error(err)
			return
		}
		r = &ipRouter{node: a, net: n, tun: tun}
		if err := r.configure(name); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	defer r.close()
	for _, step := range []struct {
		set  []string
		want string
	}{
		{[]string{"10.1.0.0/16", "fd00:1::/64", "0.0.0.0/0"}, "[0.0.0.0/0 via 10.77.0.2 10.1.0.0/16 via 10.77.0.2 10.77.0.2/32 fd00:1::/64]"},
		{[]string{"10.1.0.0/16", "10.2.0.0/16"}, "[10.1.0.0/16 via 10.77.0.2 10.2.0.0/16 via 10.77.0.2 10.77.0.2/32]"},
		{nil, "[10.77.0.2/32]"},
	} {
		wanted := map[netip.Prefix]bool{}
		for _, s := range step.set {
			wanted[netip.MustParsePrefix(s)] = true
		}
		if err := r.setRoutes(wanted); err != nil {
			t.Errorf("set %v: %v", step.set, err)
		}
		if got := fmt.Sprint(ns.routes("tt0")); got != step.want {
			t.Errorf("set %v: routes %s, want %s", step.set, got, step.want)
		}
	}
}

// TestIPRouterDeviceGone: a router whose device is removed says so.
func TestIPRouterDeviceGone(t *testing.T) {
	ns := newNamespace(t)
	a, _ := twoNodes(t)
	var s *Service
	var err error
	ns.do(func() {
		s, err = IPRouter{NetworkName: "net", LocalNet: prefix("10.77.0.0/30"), Interface: "tt1"}.Open(a, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(t.Context()) }()
	ns.do(func() {
		nl := ns.netlink()
		defer nl.Close()
		l, err := nl.LinkByName("tt1")
		if err == nil {
			err = nl.LinkDel(l)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := <-done; err == nil {
		t.Error("it ended without an error")
	} else {
		t.Log(err)
	}
}

// TestIPRouterOpen: what cannot be opened leaves nothing.
func TestIPRouterOpen(t *testing.T) {
	ns := newNamespace(t)
	a, _ := twoNodes(t)
	good := IPRouter{NetworkName: "net", LocalNet: prefix("10.77.0.0/30"), Interface: "tt2"}
	long, taken := good, good
	long.NetworkName, taken.Interface = "ninechars", "lo"
	ns.do(func() {
		for range 2 {
			for _, bad := range []IPRouter{long, taken} {
				if s, err := bad.Open(a, nil); err == nil {
					s.Close()
					t.Errorf("%+v opens", bad)
				}
			}
			s, err := good.Open(a, nil)
			if err != nil {
				t.Error(err)
				continue
			}
			s.Close()
		}
	})
}
