package mesh_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// packetPair makes two nodes with a socket each.
func packetPair(t *testing.T, o link.PipeOptions) (m *meshtest.Mesh, a, b mesh.PacketConn) {
	t.Helper()
	m = meshtest.New(t)
	m.Line(o, "a", "b")
	m.Converged(2 * time.Second)
	time.Sleep(time.Second)
	var err error
	if a, err = m.Node("a").ListenPacket(mesh.Service{}); err != nil {
		t.Fatal(err)
	}
	if b, err = m.Node("b").ListenPacket(mesh.Service{Name: "echo"}); err != nil {
		t.Fatal(err)
	}
	return m, a, b
}

func TestPacketConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := packetPair(t, link.PipeOptions{})
		defer a.Close()
		defer b.Close()
		if n, err := a.WriteTo([]byte("hello"), mesh.Addr{Node: "b", Service: "echo"}); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		buf := make([]byte, 100)
		n, from, err := b.ReadFrom(buf)
		if string(buf[:n]) != "hello" || err != nil || from != a.LocalAddr() {
			t.Errorf("got %q from %v, %v; want it from %v", buf[:n], from, err, a.LocalAddr())
		}
		if from.Network() != "mesh" || !strings.HasPrefix(from.String(), "a:") || len(from.String()) != 10 {
			t.Errorf("address %s %s", from.Network(), from)
		}
		big := make([]byte, 65499)
		if _, err := a.WriteTo(big, b.LocalAddr()); err != nil {
			t.Errorf("the largest packet: %v", err)
		}
		if n, _, err := b.ReadFrom(make([]byte, 70000)); n != len(big) || err != nil {
			t.Errorf("the largest packet: got %d bytes, %v", n, err)
		}
		if _, err := a.WriteTo([]byte("again"), b.LocalAddr()); err != nil {
			t.Error(err)
		}
		err = b.Receive(func(payload []byte, from mesh.Addr) {
			if string(payload) != "again" || from != a.LocalAddr() {
				t.Errorf("received %q from %v", payload, from)
			}
		})
		if err != nil {
			t.Error(err)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if err := b.Receive(func([]byte, mesh.Addr) { t.Error("a packet from nowhere") }); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("receive after the deadline: %v", err)
		}
		for _, bad := range []struct {
			to   net.Addr
			size int
			want error
		}{
			{mesh.Addr{Node: "b", Service: "echo"}, 65500, nil},
			{mesh.Addr{Node: "b", Service: "ninechars"}, 1, nil},
			{&net.UDPAddr{}, 1, nil},
			{mesh.Addr{Node: "c", Service: "echo"}, 1, mesh.ErrNoRoute},
			{mesh.Addr{Node: "a", Service: "nosuch"}, 1, mesh.ErrServiceUnknown},
		} {
			_, err := a.WriteTo(make([]byte, bad.size), bad.to)
			if err == nil || bad.want != nil && !errors.Is(err, bad.want) {
				t.Errorf("write of %d bytes to %v: %v, want %v", bad.size, bad.to, err, bad.want)
			}
		}
	})
}

// TestPacketDeadlines: "a read that is already waiting does not notice a new
// deadline" (spec 17); ours does.
func TestPacketDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := packetPair(t, link.PipeOptions{})
		defer a.Close()
		defer b.Close()
		type result struct {
			err  error
			took time.Duration
		}
		read := func() chan result {
			start, c := time.Now(), make(chan result, 1)
			go func() {
				_, _, err := b.ReadFrom(make([]byte, 10))
				c <- result{err, time.Since(start)}
			}()
			synctest.Wait()
			return c
		}
		waiting := read()
		b.SetReadDeadline(time.Now().Add(3 * time.Second))
		if r := <-waiting; !errors.Is(r.err, os.ErrDeadlineExceeded) || r.took != 3*time.Second {
			t.Errorf("a read that waited: %v", r)
		}
		if r := <-read(); !errors.Is(r.err, os.ErrDeadlineExceeded) || r.took != 0 {
			t.Errorf("a read after the deadline: %v", r)
		}
		b.SetDeadline(time.Now().Add(time.Second))
		waiting = read()
		b.SetReadDeadline(time.Now().Add(5 * time.Second)) // moved while it waits
		time.Sleep(2 * time.Second)
		b.SetReadDeadline(time.Time{})
		time.Sleep(10 * time.Second)
		a.WriteTo([]byte("x"), b.LocalAddr())
		if r := <-waiting; r.err != nil || r.took != 12*time.Second {
			t.Errorf("a read without deadline: %v", r)
		}
		waiting = read()
		b.Close()
		if r := <-waiting; !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("a read of a socket that is closed: %v", r)
		}
		if _, err := b.WriteTo(nil, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after close: %v", err)
		}
	})
}

// TestWriteWaits: a local sender waits for the link instead of losing packets,
// up to its deadline; a slow reader loses packets and holds up nobody.
func TestWriteWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The pipe is full with 8 frames that nobody takes for 50 ms.
		m, a, b := packetPair(t, link.PipeOptions{Delay: 50 * time.Millisecond, Queue: 8})
		defer a.Close()
		defer b.Close()
		const packets = 2000
		start := time.Now()
		for range packets {
			if _, err := a.WriteTo(make([]byte, 100), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(start) < 5*time.Second {
			t.Errorf("%d packets took %v: the sender was not slowed down", packets, time.Since(start))
		}
		time.Sleep(10 * time.Second)
		got := 0
		b.SetReadDeadline(time.Now().Add(time.Second))
		for {
			if _, _, err := b.ReadFrom(make([]byte, 100)); err != nil {
				break
			}
			got++
		}
		if got != packets {
			t.Errorf("%d of %d packets arrived", got, packets)
		}

		a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		var err error
		for range packets {
			if _, err = a.WriteTo(make([]byte, 100), b.LocalAddr()); err != nil {
				break
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write past its deadline: %v", err)
		}
		a.SetWriteDeadline(time.Time{})

		// Nobody reads any more: the socket of b overflows, the link goes on.
		for range 3 * packets {
			if _, err := a.WriteTo(make([]byte, 100), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Node("a").Ping(t.Context(), "b", 30); err != nil {
			t.Errorf("ping behind an overflowing socket: %v", err)
		}
	})
}

// TestDeliverWhileClosing: "Two links delivering to a socket that is just being
// closed" crash the original (spec 17). Runs on real time, for the scheduler.
func TestDeliverWhileClosing(t *testing.T) {
	m := meshtest.New(t)
	m.Join("b", "a", link.PipeOptions{})
	m.Join("b", "c", link.PipeOptions{})
	m.Converged(5 * time.Second)
	var senders sync.WaitGroup
	stop := make(chan struct{})
	for _, id := range []wire.NodeID{"a", "c"} {
		s, err := m.Node(id).ListenPacket(mesh.Service{})
		if err != nil {
			t.Fatal(err)
		}
		senders.Go(func() {
			for {
				select {
				case <-stop:
					s.Close()
					return
				default:
					s.WriteTo([]byte("x"), mesh.Addr{Node: "b", Service: "victim"})
				}
			}
		})
	}
	for range 300 {
		s, err := m.Node("b").ListenPacket(mesh.Service{Name: "victim"})
		if err != nil {
			t.Fatal(err)
		}
		s.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := s.ReadFrom(make([]byte, 10)); err != nil {
			t.Errorf("no packet came: %v", err)
		}
		s.Close()
	}
	close(stop)
	senders.Wait()
}

// TestListenNames: names that cannot be listened on.
func TestListenNames(t *testing.T) {
	n, err := mesh.New(mesh.Config{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := n.ListenPacket(mesh.Service{Name: "taken"})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for name, want := range map[wire.Service]string{
		"ninechars": "service name too long",
		"ping":      "reserved",
		"unreach":   "reserved",
		"taken":     "service taken is already listening",
	} {
		_, err := n.ListenPacket(mesh.Service{Name: name})
		_, err2 := n.Listen(mesh.Service{Name: name})
		if err == nil || err2 == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err2.Error(), want) {
			t.Errorf("listen on %s: %v and %v, want %q", name, err, err2, want)
		}
	}
}
