package control

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/unixsocket"
	"github.com/receptor-go/receptor/internal/work"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// superviseArg makes the test program play the supervisor.
const superviseArg = "supervise-for-control-tests"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == superviseArg {
		os.Exit(supervise.Main(os.Args[2:], os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait.
const patience = 20 * time.Second

// place is one node of a scene, with the control service on the mesh and a Unix socket.
type place struct {
	node   *mesh.Node
	work   *work.Manager
	socket string
	dir    string
}

// scene is the mesh of the recorded conversations: controller01 - relayer01 -
// executor01 in a line, with the work types that they name.
func scene(t *testing.T) map[string]*place {
	t.Helper()
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	places := map[string]*place{}
	for _, id := range []string{"controller01", "relayer01", "executor01"} {
		places[id] = newPlace(t, ctx, &running, dir, id)
	}
	join(t, ctx, &running, places["controller01"], places["relayer01"])
	join(t, ctx, &running, places["relayer01"], places["executor01"])
	for _, to := range []wire.NodeID{"relayer01", "executor01"} {
		eventually(t, "the mesh is up", func() bool {
			// The other node may not know us yet, and drop a packet in silence.
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			_, err := places["controller01"].node.Ping(ctx, to, 30)
			return err == nil
		})
	}
	return places
}

func types() []work.Command {
	return []work.Command{
		{WorkType: "cat", Command: "cat"},
		{WorkType: "echo-args", Command: "echo", Params: "base", AllowRuntimeParams: true},
		{WorkType: "fails", Command: "sh", Params: "-c 'echo partial output; echo complaint >&2; exit 3'"},
		{WorkType: "sleep-loop", Command: "sh", Params: "-c 'i=1; while [ $i -le 30 ]; do echo tick $i; i=$((i+1)); sleep 1; done'"},
		{WorkType: "no-such-program", Command: "/nonexistent/program"},
		{WorkType: "echo-reply", Command: "sh", Params: "-c 'read line; echo reply: $line'"},
		{WorkType: "short-loop", Command: "sh", Params: "-c 'for i in 1 2 3 4; do echo tick $i; sleep 0.1; done'"},
	}
}

func newPlace(t *testing.T, ctx context.Context, running *sync.WaitGroup, dir, id string) *place {
	t.Helper()
	p := &place{socket: filepath.Join(dir, id+".sock"), dir: filepath.Join(dir, id)}
	var err error
	if p.node, err = mesh.New(mesh.Config{ID: wire.NodeID(id)}); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.work, err = work.New(work.Config{
		Dir: p.dir, Node: id, Types: types(),
		Dial: func(ctx context.Context, node, _ string) (io.ReadWriteCloser, bool, error) {
			conn, err := p.node.Dial(ctx, wire.NodeID(node), "control", nil)
			if err != nil {
				return nil, false, err
			}
			return conn, mesh.Ours(conn), nil
		},
		CheckTLSClient: func(name string) error { _, err := noTLS(name, ""); return err },
		Supervisor: supervise.Config{
			Dir: filepath.Join(p.dir, ".supervisor"), Argv: []string{exe, superviseArg},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	unix, err := unixsocket.Listen(p.socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	server := New(Config{Node: p.node, Work: p.work, Version: "1.5.0", TLSClient: noTLS})
	start := func(f func(context.Context) error) {
		running.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	start(p.node.Run)
	start(p.work.Run)
	over, err := p.node.Listen(mesh.Service{
		Name: "control", Advertise: true, Tags: map[string]string{"type": "Control Service"},
	})
	if err != nil {
		t.Fatal(err)
	}
	start(func(ctx context.Context) error { return server.Serve(ctx, unix, true) })
	start(func(ctx context.Context) error { return server.Serve(ctx, over, false) })
	return p
}

func noTLS(name, _ string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	return nil, errors.New("unknown TLS config " + name)
}

// join links two nodes over TCP on loopback.
func join(t *testing.T, ctx context.Context, running *sync.WaitGroup, a, b *place) {
	t.Helper()
	ln, err := link.ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() { _ = a.node.ServeLinks(ctx, ln, mesh.LinkPolicy{Cost: 1}) })
	running.Go(func() {
		_ = b.node.KeepLink(ctx, link.DialTCP(ln.Addr(), nil), mesh.LinkPolicy{Cost: 1}, true)
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// dialPlace opens a control connection with a deadline.
func dialPlace(t *testing.T, p *place) net.Conn {
	t.Helper()
	return dialAddr(t, "unix", p.socket)
}

func dialAddr(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}
