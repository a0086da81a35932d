package mesh_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// start runs a node until the end of the test.
func start(tb testing.TB, id wire.NodeID) *mesh.Node {
	tb.Helper()
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	n, err := mesh.New(mesh.Config{ID: id, Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	return n
}

// joinTCP links two nodes over loopback.
func joinTCP(tb testing.TB, a, b *mesh.Node) {
	tb.Helper()
	ln, err := link.ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool, 2)
	go func() { a.ServeLinks(ctx, ln, mesh.LinkPolicy{}); done <- true }()
	go func() { b.KeepLink(ctx, link.DialTCP(ln.Addr(), nil), mesh.LinkPolicy{}, true); done <- true }()
	tb.Cleanup(func() { cancel(); <-done; <-done })
}

// waitRoute waits until pings get through.
func waitRoute(tb testing.TB, a *mesh.Node, to wire.NodeID) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, ok := a.Status().Routes[to]; ok {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			_, err := a.Ping(ctx, to, 30)
			cancel()
			if err == nil {
				return
			}
		}
	}
	tb.Fatalf("no route from %s to %s: %s; %s", a.ID, to, a.Names(), a.DropsText())
}

// TestTCP: the whole over real sockets: links, routes, ping, streams.
func TestTCP(t *testing.T) {
	a, b, c := start(t, "a"), start(t, "b"), start(t, "c")
	joinTCP(t, a, b)
	joinTCP(t, b, c)
	waitRoute(t, a, "c")
	serve(t, c, mesh.Service{Name: "echo", Advertise: true}, echo)
	for range 3 {
		exchange(t, dial(t, a, "c", "echo"), noise(1<<20))
	}
	if _, err := a.Dial(t.Context(), "c", "nosuch", nil); !errors.Is(err, mesh.ErrServiceUnknown) {
		t.Errorf("dial of an unknown service: %v", err)
	}
}

// BenchmarkStream sends a stream between two nodes of one process over TCP,
// directly and through a third.
func BenchmarkStream(b *testing.B) {
	for _, relays := range []int{0, 1} {
		b.Run(map[int]string{0: "direct", 1: "relay"}[relays], func(b *testing.B) {
			x, y := start(b, "x"), start(b, "y")
			if relays == 1 {
				r := start(b, "r")
				joinTCP(b, x, r)
				joinTCP(b, r, y)
			} else {
				joinTCP(b, x, y)
			}
			waitRoute(b, x, "y")
			serve(b, y, mesh.Service{Name: "sink"}, func(c net.Conn) {
				buf := make([]byte, 256<<10)
				for err := error(nil); err == nil; {
					_, err = c.Read(buf)
				}
				c.Close()
			})
			conn, err := x.Dial(context.Background(), "y", "sink", nil)
			if err != nil {
				b.Fatal(err)
			}
			const size = 1 << 20
			buf := make([]byte, size)
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := conn.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			closeWrite(conn)
			io.ReadAll(conn) // until all has been read there
			b.StopTimer()
			conn.Close()
		})
	}
}

// BenchmarkPing is the round trip over one TCP link.
func BenchmarkPing(b *testing.B) {
	x, y := start(b, "x"), start(b, "y")
	joinTCP(b, x, y)
	waitRoute(b, x, "y")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Ping(context.Background(), "y", 30); err != nil {
			b.Fatal(err)
		}
	}
}
