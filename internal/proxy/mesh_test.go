package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"maps"
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

// config is that of any service.
type config interface {
	Open(*mesh.Node, *slog.Logger) (*Service, error)
}

// started opens a service and runs it until the test ends, or stop is called.
func started(t testing.TB, n *mesh.Node, c config) (at net.Addr, stop func() error) {
	t.Helper()
	s, err := c.Open(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.addr, running(t, s.Run)
}

// overMesh returns the address of a way in at a whose way out at b leads to the target.
func overMesh(t testing.TB, to net.Addr) net.Addr {
	t.Helper()
	a, b := twoNodes(t)
	started(t, b, TCPClient{Service: "out", Address: to.String()})
	at, _ := started(t, a, TCPServer{Address: "127.0.0.1:0", RemoteNode: "b", RemoteService: "out"})
	return at
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

// TestAdverts: the ways out are advertised as those of the original.
func TestAdverts(t *testing.T) {
	_, b := twoNodes(t)
	want := map[wire.Service]wire.Advert{}
	for name, c := range map[wire.Service]struct {
		config
		kind wire.ConnType
		tags map[string]string
	}{
		"tcp":  {TCPClient{Service: "tcp", Address: "127.0.0.1:99"}, wire.Stream, map[string]string{"type": "TCP Proxy", "address": "127.0.0.1:99"}},
		"udp":  {UDPClient{Service: "udp", Address: "127.0.0.1:98"}, wire.Datagram, map[string]string{"type": "UDP Proxy", "address": "127.0.0.1:98"}},
		"unix": {UnixClient{Service: "unix", Filename: "/nowhere"}, wire.Stream, map[string]string{"type": "Unix Proxy", "filename": "/nowhere"}},
		"cmd":  {CommandService{Service: "cmd", Command: "cat"}, wire.Stream, map[string]string{"type": "Command Service"}},
	} {
		if name == "cmd" && !haveTerminals {
			continue
		}
		started(t, b, c)
		want[name] = wire.Advert{NodeID: "b", Service: name, ConnType: c.kind, Tags: c.tags}
	}
	for _, got := range b.Status().Adverts {
		w := want[got.Service]
		if got.NodeID != w.NodeID || got.ConnType != w.ConnType || !maps.Equal(got.Tags, w.Tags) {
			t.Errorf("advert %+v, want %+v", got, w)
		}
		delete(want, got.Service)
	}
	if len(want) > 0 {
		t.Errorf("not advertised: %v", want)
	}
}

// TestOverMeshNobody: a client of a service that is not there is not left hanging.
func TestOverMeshNobody(t *testing.T) {
	a, _ := twoNodes(t)
	for _, node := range []wire.NodeID{"b", "nowhere"} {
		at, _ := started(t, a, TCPServer{Address: "127.0.0.1:0", RemoteNode: node, RemoteService: "none"})
		wantNothing(t, at)
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
