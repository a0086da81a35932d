package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// twoNodes starts nodes a and b joined by a link in memory.
func twoNodes(t testing.TB) (a, b *mesh.Node) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	var nodes []*mesh.Node
	for _, id := range []wire.NodeID{"a", "b"} {
		n, err := mesh.New(mesh.Config{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
		wg.Go(func() {
			if err := n.Run(ctx); err != nil {
				t.Errorf("node %s: %v", id, err)
			}
		})
	}
	ln, d := link.ListenPipe(link.PipeOptions{})
	policy := mesh.LinkPolicy{Cost: 1}
	wg.Go(func() { nodes[0].ServeLinks(ctx, ln, policy) })
	wg.Go(func() { nodes[1].KeepLink(ctx, d, policy, true) })
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(patience); ; <-poll.C {
		if nodes[0].Status().Routes["b"] == "b" && nodes[1].Status().Routes["a"] == "a" {
			return nodes[0], nodes[1]
		}
		if time.Now().After(end) {
			t.Fatal("the nodes did not find each other")
		}
	}
}

// overMesh returns the address of a way in at a whose way out at b leads to the target.
func overMesh(t testing.TB, to net.Addr) net.Addr {
	t.Helper()
	a, b := twoNodes(t)
	service, err := b.Listen(TCPService("out", to.String(), nil))
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error { return ServeOut(ctx, service, to.String(), nil, nil) })
	ln := listenTCP(t)
	running(t, func(ctx context.Context) error { return ServeIn(ctx, a, ln, "b", "out", nil, nil) })
	return ln.Addr()
}

// TestOverMesh carries many connections at once, each with a half close.
func TestOverMesh(t *testing.T) {
	at := overMesh(t, target(t, func(c *net.TCPConn) {
		h := sha256.New()
		n, err := io.Copy(h, c)
		if err == nil {
			fmt.Fprintf(c, "%d %x", n, h.Sum(nil))
		}
	}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := dial(t, at)
			data := make([]byte, i*200_000)
			rand.NewChaCha8([32]byte{byte(i)}).Read(data)
			go func() {
				io.Copy(c, bytes.NewReader(data))
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if want := fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)); err != nil || string(got) != want {
				t.Errorf("connection %d: got %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
}

// TestOverMeshAdvert: a way out is advertised as the original does.
func TestOverMeshAdvert(t *testing.T) {
	s := TCPService("out", "127.0.0.1:99", nil)
	if !s.Advertise || s.Name != "out" || s.Tags["type"] != "TCP Proxy" || s.Tags["address"] != "127.0.0.1:99" {
		t.Errorf("service %+v", s)
	}
}

// TestOverMeshNobody: a client of a service that is not there is not left hanging.
func TestOverMeshNobody(t *testing.T) {
	a, _ := twoNodes(t)
	for _, node := range []wire.NodeID{"b", "nowhere"} {
		ln := listenTCP(t)
		running(t, func(ctx context.Context) error { return ServeIn(ctx, a, ln, node, "none", nil, nil) })
		wantNothing(t, ln.Addr())
	}
}

// TestOverMeshTargetGone: the way out cannot dial.
func TestOverMeshTargetGone(t *testing.T) {
	gone := listenTCP(t)
	gone.Close()
	wantNothing(t, overMesh(t, gone.Addr()))
}

func BenchmarkOverMesh(b *testing.B) {
	at := overMesh(b, target(b, func(c *net.TCPConn) {
		c.SetDeadline(time.Time{})
		io.Copy(io.Discard, c)
	}))
	c := dial(b, at)
	c.SetDeadline(time.Time{})
	block := make([]byte, 256<<10)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := c.Write(block); err != nil {
			b.Fatal(err)
		}
	}
}
