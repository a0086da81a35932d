package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
)

// stuckNode is a node of the mesh whose control service takes a submission and
// then says nothing more, as one does whose disk hangs. It returns the address
// of its TCP link; taken has a value for each submission.
func stuckNode(t *testing.T) (addr string, taken chan struct{}) {
	t.Helper()
	n, err := mesh.New(mesh.Config{ID: "stuck"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	t.Cleanup(func() { cancel(); parts.Wait() })
	parts.Go(func() { n.Run(ctx) })
	ln, err := link.ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	parts.Go(func() { n.ServeLinks(ctx, ln, mesh.LinkPolicy{Cost: 1}) })
	svc, err := n.Listen(mesh.Service{Name: "control", Advertise: true, Tags: map[string]string{"type": "Control Service"}})
	if err != nil {
		t.Fatal(err)
	}
	taken = make(chan struct{}, 16)
	parts.Go(func() {
		for {
			c, err := svc.Accept()
			if err != nil {
				return
			}
			parts.Go(func() { // ends with the connection
				defer c.Close()
				r, w := controlproto.NewReader(c), controlproto.NewWriter(c)
				w.Line(controlproto.Greeting("stuck"))
				r.ReadLine()
				w.JSON(controlproto.Welcome{Version: controlproto.V2, Node: "stuck"})
				if _, err := r.ReadLine(); err != nil {
					return
				}
				select {
				case taken <- struct{}{}:
				default:
				}
				io.Copy(io.Discard, r)
			})
		}
	})
	return ln.Addr(), taken
}

// A client waits for the outcome of a submission to a node that hangs. The
// daemon once waited with it, so that after a signal it never ended.
func TestShutdownDoesNotWaitForAStuckNode(t *testing.T) {
	dir, err := os.MkdirTemp("", "rs") // sockets allow about 100 bytes of path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() }) // after the other node has gone, on which it may wait
	addr, taken := stuckNode(t)
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "c.yml")
	conf := fmt.Sprintf("- node: {id: aa, datadir: %s}\n- log-level: error\n- tcp-peer: {address: '%s'}\n- control-service: {filename: %s}\n", dir, addr, socket)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	running.Go(func() { ended <- runDaemon(ctx, config.FromFiles(false, file), nil, t.Output(), t.Output()) })
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if answer, err := ask(socket, "ping stuck"); err == nil && strings.Contains(answer, `"Success":true`) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no way to the other node: %s %v", answer, err)
		}
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	for _, line := range []string{"", "work submit stuck echo\n"} { // after the greeting, and the unit's id
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, "payload"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-taken:
	case <-time.After(patience):
		t.Fatal("the other node gets no submission")
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatalf("%v after the signal the daemon has not stopped", patience)
	}
}
