package link

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

func newUDP(t *testing.T) *udpListener {
	t.Helper()
	ln, err := ListenUDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*udpListener)
}

func open(ln *udpListener) int {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return len(ln.sessions)
}

func rawUDP(t *testing.T, ln Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func accept(t *testing.T, ln Listener) Link {
	t.Helper()
	l, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wantFrame(t *testing.T, l Link, want string) {
	t.Helper()
	f, err := l.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if string(f.Bytes()) != want {
		t.Fatalf("read %q, want %q", f.Bytes(), want)
	}
	f.Release()
}

// TestUDPSessions: datagrams are frames, empty ones are ignored, a session is
// an address, and a closed session is forgotten: the next datagram of its
// address opens another (spec mesh-protocol 3.2).
func TestUDPSessions(t *testing.T) {
	ln := newUDP(t)
	a, b := rawUDP(t, ln), rawUDP(t, ln)
	a.Write(nil)
	a.Write([]byte("a1"))
	la := accept(t, ln)
	if la.RemoteAddr() != a.LocalAddr().String() {
		t.Errorf("session of %s, want %s", la.RemoteAddr(), a.LocalAddr())
	}
	b.Write([]byte("b1"))
	lb := accept(t, ln)
	a.Write(nil)
	a.Write([]byte("a2"))
	wantFrame(t, la, "a1")
	wantFrame(t, la, "a2")
	wantFrame(t, lb, "b1")

	if err := lb.WriteFrames([]*Frame{FrameOf([]byte("to b")), FrameOf([]byte("again"))}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"to b", "again"} {
		buf := make([]byte, 100)
		if n, err := b.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("b got %q, %v", buf[:n], err)
		}
	}

	la.Close()
	if n := open(ln); n != 1 {
		t.Errorf("%d sessions are kept", n)
	}
	a.Write([]byte("a3"))
	again := accept(t, ln)
	wantFrame(t, again, "a3")
	la.Close() // must not remove its successor
	a.Write([]byte("a4"))
	wantFrame(t, again, "a4")

	ln.Close()
	for _, l := range []Link{lb, again} {
		if _, err := l.ReadFrame(); !errors.Is(err, ErrClosed) {
			t.Errorf("session of a closed listener: %v", err)
		}
	}
}

// TestUDPLargest: 65507 bytes pass in both directions.
func TestUDPLargest(t *testing.T) {
	ln := newUDP(t)
	c := rawUDP(t, ln)
	big := bytes.Repeat([]byte{7}, MaxDatagramFrame)
	if _, err := c.Write(big); err != nil {
		t.Fatal(err)
	}
	l := accept(t, ln)
	wantFrame(t, l, string(big))
	if err := l.WriteFrames([]*Frame{FrameOf(big)}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 70000)
	if n, err := c.Read(buf); err != nil || !bytes.Equal(buf[:n], big) {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// TestUDPBounds: neither strangers nor a session that nobody reads cost more
// than the bounds.
func TestUDPBounds(t *testing.T) {
	ln := newUDP(t)
	stranger := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
	}
	for i := range udpAcceptQueue + 10 { // nobody accepts
		ln.deliver([]byte("x"), stranger(i))
	}
	if n, d := open(ln), ln.Dropped(); n != udpAcceptQueue || d != 10 {
		t.Errorf("%d sessions wait, %d datagrams were dropped", n, d)
	}
	var links []Link
	for i := range maxUDPSessions + 20 {
		ln.deliver([]byte("y"), stranger(i))
		for len(ln.accepted) > 0 {
			links = append(links, accept(t, ln))
		}
	}
	if n, d := len(links), ln.Dropped(); n != maxUDPSessions || d != 30 {
		t.Errorf("%d sessions were opened, %d datagrams were dropped", n, d)
	}
	last := links[len(links)-1].(*udpSession)
	for range udpSessionQueue + 4 {
		ln.deliver([]byte("z"), last.from)
	}
	if d := last.Dropped(); d != 5 { // one was queued before
		t.Errorf("%d frames were dropped", d)
	}
	for _, l := range links {
		l.Close()
	}
	if n := open(ln); n != 0 {
		t.Errorf("%d closed sessions are kept", n)
	}
}

// TestUDPStuckSession: one session that is not read stalls no other (weakness of udp.go).
func TestUDPStuckSession(t *testing.T) {
	ln := newUDP(t)
	stuck, c := rawUDP(t, ln), rawUDP(t, ln)
	stuck.Write([]byte("s"))
	ls := accept(t, ln)
	defer ls.Close()
	c.Write([]byte("c"))
	l := accept(t, ln)
	wantFrame(t, l, "c")
	for i := range 2 * udpSessionQueue {
		stuck.Write([]byte("s"))
		if i%64 == 0 {
			c.Write(fmt.Append(nil, i))
			wantFrame(t, l, fmt.Sprint(i))
		}
	}
}

// TestUDPRefused: an ICMP error ends the dialer's link.
func TestUDPRefused(t *testing.T) {
	ln := newUDP(t)
	d, err := DialUDP(ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	l, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.WriteFrames([]*Frame{FrameOf([]byte("anyone?"))})
	if _, err := l.ReadFrame(); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

func TestUDPAddresses(t *testing.T) {
	if _, err := DialUDP("127.0.0.1"); err == nil {
		t.Error("an address without port was taken")
	}
	if _, err := ListenUDP("nowhere.invalid:1"); err == nil {
		t.Error("an unknown host was taken")
	}
	d, err := DialUDP("localhost:99")
	if err != nil || d.String() != "udp localhost:99" {
		t.Errorf("dialer %v, %v", d, err)
	}
}
