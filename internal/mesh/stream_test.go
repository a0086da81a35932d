package mesh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// serve runs f for each stream of a service until the listener closes. It
// returns the listener; the cleanup waits for everything.
func serve(t testing.TB, n *mesh.Node, s mesh.Service, f func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := n.Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { f(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return ln
}

// echo sends everything back.
func echo(c net.Conn) {
	io.Copy(c, c)
	c.Close()
}

func closeWrite(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() }

// dial opens a stream that the cleanup closes.
func dial(t testing.TB, n *mesh.Node, to wire.NodeID, service wire.Service) net.Conn {
	t.Helper()
	c, err := n.Dial(t.Context(), to, service, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// line makes a chain of converged nodes; the first and the last are returned.
func line(t testing.TB, o link.PipeOptions, ids ...wire.NodeID) (m *meshtest.Mesh, first, last *mesh.Node) {
	t.Helper()
	m = meshtest.New(t)
	m.Line(o, ids...)
	m.Converged(5 * time.Second)
	time.Sleep(time.Second)
	return m, m.Node(ids[0]), m.Node(ids[len(ids)-1])
}

// exchange sends data, ends our direction, and requires it back.
func exchange(t testing.TB, c net.Conn, data []byte) {
	t.Helper()
	var sender sync.WaitGroup
	sender.Go(func() {
		if _, err := c.Write(data); err != nil {
			t.Errorf("write: %v", err)
		}
		closeWrite(c)
	})
	got, err := io.ReadAll(c)
	sender.Wait()
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, want %d; %v", len(got), len(data), err)
	}
	c.Close()
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8(sha256.Sum256([]byte("noise")))
	r.Read(b)
	return b
}

// TestStream: data through three nodes in both directions, and a second stream
// without a handshake.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 5 * time.Millisecond
		_, a, c := line(t, link.PipeOptions{Delay: delay}, "a", "b", "c")
		serve(t, c, mesh.Service{Name: "echo"}, echo)
		start := time.Now()
		conn := dial(t, a, "c", "echo")
		if took := time.Since(start); took < 4*delay || took > 12*delay {
			t.Errorf("the first dial took %v", took)
		}
		if conn.RemoteAddr() != (mesh.Addr{Node: "c", Service: "echo"}) || !mesh.Ours(conn) {
			t.Errorf("remote address %v, ours %v", conn.RemoteAddr(), mesh.Ours(conn))
		}
		exchange(t, conn, noise(3<<20))
		start = time.Now()
		conn = dial(t, a, "c", "echo")
		if took := time.Since(start); took != 0 {
			t.Errorf("the second dial took %v, want none", took)
		}
		exchange(t, conn, noise(1000))
	})
}

// TestStreamToSelf: both ends on one node, also as localhost.
func TestStreamToSelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		a := m.Node("a")
		serve(t, a, mesh.Service{Name: "echo"}, echo)
		exchange(t, dial(t, a, "LOCALHOST", "echo"), noise(1<<20))
	})
}

// TestStreamsLossy: nothing is lost, doubled or reordered on bad links.
func TestStreamsLossy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Line(link.PipeOptions{Delay: 3 * time.Millisecond, Loss: 0.02, Repeat: 0.01, Reorder: 0.02, Seed: 7}, "a", "b", "c")
		m.Converged(time.Minute)
		time.Sleep(5 * time.Second)
		serve(t, m.Node("c"), mesh.Service{Name: "echo"}, echo)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				c, err := m.Node("a").Dial(t.Context(), "c", "echo", nil)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				exchange(t, c, noise(100_000+i))
			})
		}
		all.Wait()
	})
}

// TestManyStreams: hundreds at once over one session.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		serve(t, b, mesh.Service{Name: "echo"}, echo)
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				c, err := a.Dial(t.Context(), "b", "echo", nil)
				if err != nil {
					t.Errorf("dial %d: %v", i, err)
					return
				}
				exchange(t, c, noise(i*10))
			})
		}
		all.Wait()
		if got := a.Sessions(); got != 1 {
			t.Errorf("%d sessions, want one for all streams", got)
		}
		time.Sleep(50 * time.Second)
		if got, got2 := a.Sessions(), b.Sessions(); got+got2 != 0 {
			t.Errorf("%d and %d sessions after 50 idle seconds, want none", got, got2)
		}
	})
}

// TestCloseKeepsData: Close right behind Write loses nothing of what was
// written, on a slow link too.
func TestCloseKeepsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: 200 * time.Millisecond}, "a", "b")
		data := noise(1 << 20)
		got := make(chan []byte, 1)
		serve(t, b, mesh.Service{Name: "sink"}, func(c net.Conn) {
			time.Sleep(5 * time.Minute) // a reader that is late
			all, err := io.ReadAll(c)
			if err != nil {
				t.Errorf("read: %v", err)
			}
			c.Close()
			got <- all
		})
		c := dial(t, a, "b", "sink")
		c.Write(data)
		c.Close()
		if all := <-got; !bytes.Equal(all, data) {
			t.Errorf("%d of %d bytes arrived", len(all), len(data))
		}
	})
}

// TestAbandon: a reader that closes makes the writer fail soon.
func TestAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		serve(t, b, mesh.Service{Name: "rude"}, func(c net.Conn) { c.Close() })
		c := dial(t, a, "b", "rude")
		time.Sleep(100 * time.Millisecond)
		if _, err := c.Write(noise(1000)); !errors.Is(err, mesh.ErrReset) {
			t.Errorf("write to a stream that nobody reads: %v", err)
		}
		if n, err := c.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("read from it: %d, %v, want the end", n, err)
		}
	})
}

// TestDialErrors: a dial fails at once with the reason (spec 12.3).
func TestDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, c := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b", "c")
		pc, err := c.ListenPacket(mesh.Service{Name: "silent"})
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		reject := func(v mesh.Verdict) mesh.Policy {
			return func(_, _ wire.NodeID, _, to wire.Service) mesh.Verdict {
				if to == "fenced" {
					return v
				}
				return mesh.Accept
			}
		}
		m.Node("b").SetPolicy(reject(mesh.Reject))
		for _, d := range []struct {
			to      wire.NodeID
			service wire.Service
			want    error
			text    string
			took    time.Duration
		}{
			{"nobody", "x", mesh.ErrNoRoute, "no route to node", 0},
			{"c", "nosuch", mesh.ErrServiceUnknown, "service unknown", 4 * time.Millisecond},
			{"a", "nosuch", mesh.ErrServiceUnknown, "service unknown", 0},
			{"c", "ping", mesh.ErrServiceUnknown, "service unknown", 0},
			{"c", "ninechars", nil, "service name too long", 0},
			{"c", "fenced", mesh.ErrBlocked, "blocked by firewall", 2 * time.Millisecond},
			{"c", "silent", mesh.ErrTimeout, "timeout: no recent network activity", 15 * time.Second},
		} {
			start := time.Now()
			_, err := a.Dial(t.Context(), d.to, d.service, nil)
			if err == nil || d.want != nil && !errors.Is(err, d.want) || !strings.Contains(err.Error(), d.text) {
				t.Errorf("dial %s:%s: %v, want %v", d.to, d.service, err, d.want)
			}
			if took := time.Since(start); took != d.took {
				t.Errorf("dial %s:%s took %v, want %v", d.to, d.service, took, d.took)
			}
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, os.ErrProcessDone)
		defer cancel()
		if _, err := a.Dial(ctx, "c", "silent", nil); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("dial that is canceled: %v", err)
		}
	})
}

// TestConcurrentDialFailure: dials that wait for the same session fail with it.
func TestConcurrentDialFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		pc, err := b.ListenPacket(mesh.Service{Name: "silent"})
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		start := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := a.Dial(t.Context(), "b", "silent", nil); !errors.Is(err, mesh.ErrTimeout) {
					t.Errorf("dial: %v", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took > 16*time.Second {
			t.Errorf("20 dials at a time took %v", took)
		}
	})
}

// TestListenAgain: a service that closes and opens again, with a session of
// its first life still in use.
func TestListenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		first := serve(t, b, mesh.Service{Name: "echo"}, echo)
		old := dial(t, a, "b", "echo")
		old.Write([]byte("x"))
		io.ReadFull(old, make([]byte, 1))
		first.Close()
		time.Sleep(10 * time.Millisecond)
		if _, err := a.Dial(t.Context(), "b", "echo", nil); !errors.Is(err, mesh.ErrServiceUnknown) {
			t.Errorf("dial after the listener closed: %v", err)
		}
		if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept of a closed listener: %v", err)
		}
		serve(t, b, mesh.Service{Name: "echo"}, echo)
		exchange(t, dial(t, a, "b", "echo"), noise(5000))
		exchange(t, old, noise(5000))
		time.Sleep(time.Minute)
		if got, got2 := a.Sessions(), b.Sessions(); got+got2 != 0 {
			t.Errorf("%d and %d sessions are left", got, got2)
		}
	})
}

// TestPeerRestarts: after a restart of the other node dials work as soon as the
// mesh knows of it, and streams of its former life end with an error.
func TestPeerRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, c := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b", "c")
		ln := serve(t, c, mesh.Service{Name: "echo"}, echo)
		old := dial(t, a, "c", "echo")
		old.Write([]byte("x"))
		io.ReadFull(old, make([]byte, 1))
		ended := make(chan error, 1)
		go func() { _, err := io.ReadAll(old); ended <- err }()
		ln.Close()
		m.Stop("c")
		time.Sleep(time.Second)
		m.Line(link.PipeOptions{Delay: time.Millisecond}, "b", "c")
		serve(t, m.Node("c"), mesh.Service{Name: "echo"}, echo)
		m.Converged(10*time.Second, "a", "b", "c")
		time.Sleep(time.Second)
		start := time.Now()
		exchange(t, dial(t, a, "c", "echo"), noise(5000))
		if took := time.Since(start); took > time.Second {
			t.Errorf("dial and exchange took %v", took)
		}
		if err := <-ended; err == nil {
			t.Error("a stream that was cut off by a restart ended regularly")
		}
	})
}

// TestStreamDeadlines: as on any net.Conn.
func TestStreamDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		serve(t, b, mesh.Service{Name: "echo"}, echo)
		c := dial(t, a, "b", "echo")
		go func() {
			time.Sleep(time.Second)
			c.SetReadDeadline(time.Now().Add(time.Second))
		}()
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		c.SetReadDeadline(time.Time{})
		exchange(t, c, noise(100)) // it goes on
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("read after close")
		}
	})
}

// TestSlowStreamReader: one that does not read holds up neither other streams
// nor the link.
func TestSlowStreamReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		block := make(chan struct{})
		serve(t, b, mesh.Service{Name: "stuck"}, func(c net.Conn) { <-block; c.Close() })
		serve(t, b, mesh.Service{Name: "echo"}, echo)
		stuck := dial(t, a, "b", "stuck")
		stuck.SetWriteDeadline(time.Now().Add(5 * time.Second))
		n, err := stuck.Write(make([]byte, 64<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n > 24<<20 {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		exchange(t, dial(t, a, "b", "echo"), noise(100_000))
		if _, err := a.Ping(t.Context(), "b", 30); err != nil {
			t.Errorf("ping: %v", err)
		}
		close(block)
	})
}

// TestShutdown: a node that ends aborts its streams on both sides, soon, and
// not so that they look complete.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		served := make(chan error, 1)
		serve(t, b, mesh.Service{Name: "sink"}, func(c net.Conn) {
			_, err := io.Copy(io.Discard, c)
			served <- err
			c.Close()
		})
		c, err := a.Dial(t.Context(), "b", "sink", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(noise(1000))
		time.Sleep(time.Second)
		start := time.Now()
		m.Stop("a")
		if took := time.Since(start); took > time.Second {
			t.Errorf("the end of the node took %v", took)
		}
		if _, err := c.Write(noise(10)); err == nil {
			t.Error("write after the end of the node")
		}
		if err := <-served; err == nil {
			t.Error("the other side took the abort for a regular end")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the other side noticed after %v", took)
		}
	})
}

// TestBridge: many bytes through a relay while the route changes.
func TestReroute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		o := link.PipeOptions{Delay: time.Millisecond}
		top := m.Line(o, "a", "b", "d")
		m.Line(o, "a", "c", "d")
		m.Converged(5 * time.Second)
		time.Sleep(time.Second)
		serve(t, m.Node("d"), mesh.Service{Name: "echo"}, echo)
		c := dial(t, m.Node("a"), "d", "echo")
		done := make(chan bool)
		go func() {
			exchange(t, c, noise(2<<20))
			close(done)
		}()
		time.Sleep(3 * time.Millisecond)
		for _, e := range top {
			e.Stop()
		}
		<-done
	})
}

func ExampleAddr() {
	fmt.Println(mesh.Addr{Node: "exec1", Service: "control"})
	// Output: exec1:control
}
