package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// listenUDP opens a socket of the test.
func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// answers is a UDP server that answers each datagram with a prefix and itself.
func answers(t *testing.T) net.Addr {
	t.Helper()
	c := listenUDP(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(append([]byte("re: "), buf[:n]...), from)
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return c.LocalAddr()
}

// ask sends a datagram until one comes back: any may be lost.
func ask(t *testing.T, c *net.UDPConn, to net.Addr, datagram string) (answer string) {
	t.Helper()
	buf := make([]byte, maxDatagram+1)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.WriteTo([]byte(datagram), to); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			continue
		}
		if from.String() != to.String() {
			t.Fatalf("an answer from %v", from)
		}
		return string(buf[:n])
	}
	t.Fatal("no answer")
	return ""
}

// overUDP returns the address of a way in at a whose way out at b leads to the target.
func overUDP(t *testing.T, target net.Addr) (at net.Addr, a, b *mesh.Node) {
	a, b = twoNodes(t)
	started(t, b, UDPClient{Service: "dgram", Address: target.String()})
	at, _ = started(t, a, UDPServer{Address: "127.0.0.1:0", RemoteNode: "b", RemoteService: "dgram"})
	return at, a, b
}

// TestUDP: each client gets the answers to what it has sent.
func TestUDP(t *testing.T) {
	at, _, _ := overUDP(t, answers(t))
	var wg sync.WaitGroup
	for i := range 20 {
		c := listenUDP(t)
		wg.Go(func() {
			for j := range 5 {
				text := fmt.Sprintf("client %d, datagram %d", i, j)
				if got := ask(t, c, at, text); got != "re: "+text {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wg.Wait()
}

// TestUDPLocalhost: a service of this node, by the name that every node has
// for itself, may answer, too.
func TestUDPLocalhost(t *testing.T) {
	a, _ := twoNodes(t)
	started(t, a, UDPClient{Service: "dgram", Address: answers(t).String()})
	at, _ := started(t, a, UDPServer{Address: "127.0.0.1:0", RemoteNode: "LocalHost", RemoteService: "dgram"})
	if got := ask(t, listenUDP(t), at, "x"); got != "re: x" {
		t.Errorf("got %q", got)
	}
}

// TestUDPSizes: datagrams up to what the mesh carries pass whole, empty ones
// included; longer ones are dropped and hurt nobody (weakness of framer.go).
func TestUDPSizes(t *testing.T) {
	at, a, b := overUDP(t, answers(t))
	c := listenUDP(t)
	c.SetReadBuffer(1 << 20)
	big := string(bytes.Repeat([]byte("x"), wire.MaxPayload-4))
	for _, datagram := range []string{"", big} {
		if got := ask(t, c, at, datagram); got != "re: "+datagram {
			t.Errorf("datagram of %d bytes: got %d", len(datagram), len(got))
		}
	}
	// In both directions: the latter one's answer is too long.
	for _, n := range []int{maxDatagram, wire.MaxPayload - 3} {
		if _, err := c.WriteTo(make([]byte, n), at); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, c, at, "still there"); got != "re: still there" {
			t.Errorf("after a datagram of %d bytes: got %d bytes", n, len(got))
		}
	}
	if a.Status().Routes["b"] == "" || b.Status().Routes["a"] == "" {
		t.Error("the link is down")
	}
}

// TestUDPStranger: only the service that a client talks to may answer it.
func TestUDPStranger(t *testing.T) {
	a, b := twoNodes(t)
	service, err := b.ListenPacket(mesh.Service{Name: "dgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	stranger, err := b.ListenPacket(mesh.Service{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	at, _ := started(t, a, UDPServer{Address: "127.0.0.1:0", RemoteNode: "b", RemoteService: "dgram"})
	c := listenUDP(t)
	if _, err := c.WriteTo([]byte("hello"), at); err != nil {
		t.Fatal(err)
	}
	service.SetDeadline(time.Now().Add(patience))
	var client mesh.Addr
	err = service.Receive(func(payload []byte, from mesh.Addr) {
		client = from
		if string(payload) != "hello" {
			t.Errorf("got %q", payload)
		}
	})
	if err != nil || client.Node != "a" || len(client.Service) != 8 {
		t.Fatalf("from %v, %v; want an ephemeral service of a", client, err)
	}
	if _, err := stranger.WriteTo([]byte("bad"), client); err != nil {
		t.Fatal(err)
	}
	if _, err := service.WriteTo([]byte("good"), client); err != nil {
		t.Fatal(err)
	}
	b1 := make([]byte, 100)
	for {
		n, _, err := c.ReadFrom(b1)
		if err != nil || string(b1[:n]) == "bad" {
			t.Fatalf("got %q, %v", b1[:n], err)
		}
		if string(b1[:n]) == "good" {
			break
		}
	}
}

// TestUDPTargetComesBack: a target that was not there does not spoil the socket
// to it.
func TestUDPTargetComesBack(t *testing.T) {
	target := listenUDP(t)
	addr := target.LocalAddr().(*net.UDPAddr)
	target.Close()
	at, _, _ := overUDP(t, addr)
	c := listenUDP(t)
	for range 5 {
		if _, err := c.WriteTo([]byte("nobody"), at); err != nil {
			t.Fatal(err)
		}
	}
	back, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 100)
		for {
			n, from, err := back.ReadFrom(b)
			if err != nil {
				return
			}
			back.WriteTo(b[:n], from)
		}
	})
	defer wg.Wait()
	defer back.Close()
	if got := ask(t, c, at, "nobody"); got != "nobody" {
		t.Errorf("got %q", got)
	}
}

// TestUDPRefused: news that nobody took an earlier datagram are none about the
// next one, and do not end its flow.
func TestUDPRefused(t *testing.T) {
	target := listenUDP(t)
	addr := target.LocalAddr().(*net.UDPAddr)
	target.Close()
	s := &udpClient{
		to: addr, flows: newFlows[mesh.Addr, *net.UDPConn](maxFlows, flowIdle),
		log: named(nil), out: sending(named(nil)), back: sending(named(nil)),
	}
	unread, read := mesh.Addr{Node: "a", Service: "unread"}, mesh.Addr{Node: "a", Service: "read"}
	conn, err := net.DialUDP("udp", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	s.flows.add(unread, conn) // nobody takes the errors of this one but send
	if err := s.send(read, []byte("x")); err != nil {
		t.Fatal(err)
	}
	f := s.flows.get(read)
	for range 100 {
		if err := errors.Join(s.send(unread, []byte("x")), s.send(read, []byte("x"))); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if s.flows.get(read) != f {
		t.Error("the flow has ended")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.flows.expire(ended)
	s.readers.Wait()
}

// TestUDPStops: with the service all sockets and goroutines of its clients end
// (weakness of udp_proxy.go), and a node that has ended ends it.
func TestUDPStops(t *testing.T) {
	a, b := twoNodes(t)
	before := runtime.NumGoroutine()
	_, stopOut := started(t, b, UDPClient{Service: "dgram", Address: answers(t).String()})
	at, stopIn := started(t, a, UDPServer{Address: "127.0.0.1:0", RemoteNode: "b", RemoteService: "dgram"})
	for range 10 {
		ask(t, listenUDP(t), at, "x")
	}
	if err := errors.Join(stopIn(), stopOut()); err != nil {
		t.Error(err)
	}
	if again, err := net.ListenPacket("udp", at.String()); err != nil {
		t.Errorf("the port is still taken: %v", err)
	} else {
		again.Close()
	}
	if again, err := b.ListenPacket(mesh.Service{Name: "dgram"}); err != nil {
		t.Errorf("the service is still taken: %v", err)
	} else {
		again.Close()
	}
	eventually(t, func() error {
		n := runtime.NumGoroutine() - before
		return unless(n <= 1, fmt.Sprintf("%d goroutines are left", n)) // 1: the target
	})
}

// TestNodeEnds: with its node a service ends, and says so (weakness of
// udp_proxy.go: an error of the mesh side is read in a tight loop).
func TestNodeEnds(t *testing.T) {
	for _, c := range []config{
		TCPClient{Service: "tcp", Address: "127.0.0.1:1"},
		UDPClient{Service: "udp", Address: "127.0.0.1:1"},
	} {
		n, err := mesh.New(mesh.Config{ID: "n"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- n.Run(ctx) }()
		s, err := c.Open(n, nil)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Run(t.Context()) }()
		cancel()
		if err := <-served; !errors.Is(err, mesh.ErrClosed) {
			t.Errorf("%+v: %v", c, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// closer counts how often it is closed.
type closer struct{ closed atomic.Int32 }

func (c *closer) Close() error { c.closed.Add(1); return nil }

// TestFlows: silent flows expire, those in use do not; the longest silent one
// makes room (weakness of udp_proxy.go: nothing is ever released).
func TestFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFlows[string, *closer](3, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { table.expire(ctx); close(done) }()
		conns := map[string]*closer{}
		add := func(key string) (crowded bool) {
			conns[key] = new(closer)
			_, crowded = table.add(key, conns[key])
			return crowded
		}
		check := func(when string, open ...string) {
			t.Helper()
			synctest.Wait()
			if table.size() != len(open) {
				t.Errorf("%s: %d flows, want %v", when, table.size(), open)
			}
			for _, key := range open {
				if conns[key].closed.Load() != 0 {
					t.Errorf("%s: %s is closed", when, key)
				}
			}
		}
		add("a")
		add("b")
		time.Sleep(40 * time.Second)
		table.get("a")
		add("c")
		check("after 40 s", "a", "b", "c")
		time.Sleep(21 * time.Second)
		check("b was silent for a minute", "a", "c")
		c := table.get("c")
		add("d")
		if !add("e") {
			t.Error("the table is not full")
		}
		check("a was silent for longest", "c", "d", "e")
		time.Sleep(59 * time.Second)
		table.touch(c)
		time.Sleep(2 * time.Second)
		check("something came back for c", "c")
		table.remove(c)
		table.touch(c)
		add("f")
		cancel()
		<-done
		add("late")
		for key, conn := range conns {
			if conn.closed.Load() == 0 {
				t.Errorf("%s is not closed at the end", key)
			}
		}
	})
}

// TestUDPIdle: a client that comes back after its flow has expired is served
// again, by a new mesh service.
func TestUDPIdle(t *testing.T) {
	a, b := twoNodes(t)
	started(t, b, UDPClient{Service: "dgram", Address: answers(t).String()})
	local := listenUDP(t)
	local.SetDeadline(time.Time{})
	s := &udpServer{
		node: a, local: local, to: mesh.Addr{Node: "b", Service: "dgram"}, from: mesh.Addr{Node: "b", Service: "dgram"},
		flows: newFlows[netip.AddrPort, mesh.PacketConn](maxFlows, 50*time.Millisecond),
		log:   named(nil), out: sending(named(nil)), back: sending(named(nil)),
	}
	running(t, s.run)
	c := listenUDP(t)
	for range 2 {
		if got := ask(t, c, local.LocalAddr(), "x"); got != "re: x" {
			t.Errorf("got %q", got)
		}
		eventually(t, func() error { return unless(s.flows.size() == 0, "the flow stays") })
	}
}

// TestUDPConfig: mistakes are found at the start.
func TestUDPConfig(t *testing.T) {
	a, _ := twoNodes(t)
	taken := listenUDP(t).LocalAddr().String()
	for _, bad := range []config{
		UDPServer{Address: taken, RemoteNode: "b", RemoteService: "x"},
		UDPServer{Address: "127.0.0.1:0", RemoteNode: "b", RemoteService: "ninechars"},
		UDPClient{Service: "x", Address: "127.0.0.1"},
		UDPClient{Service: "ninechars", Address: "127.0.0.1:1"},
	} {
		if s, err := bad.Open(a, nil); err == nil {
			s.Close()
			t.Errorf("%+v is accepted", bad)
		}
	}
}
