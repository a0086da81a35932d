package proxy

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// upload is what the clients of these tests send before something breaks.
const upload = 100_000

// counting is a target that tells when it has the upload, and how what follows
// ends.
func counting(t *testing.T) (to net.Addr, arrived chan struct{}, ended chan error) {
	arrived, ended = make(chan struct{}), make(chan error, 1)
	to = target(t, func(c *net.TCPConn) {
		_, err := io.CopyN(io.Discard, c, upload)
		close(arrived)
		if err == nil {
			_, err = io.Copy(io.Discard, c)
		}
		ended <- err
	})
	return to, arrived, ended
}

// TestResetPassesTheMesh: a client that breaks is none that has ended, for the
// target behind the mesh either. Once the stream between the two ended as if
// all had been sent.
func TestResetPassesTheMesh(t *testing.T) {
	to, arrived, ended := counting(t)
	c := dial(t, overMesh(t, to))
	c.Write(make([]byte, upload))
	<-arrived
	c.SetLinger(0)
	c.Close()
	if err := <-ended; err == nil {
		t.Error("the target saw the end of a connection that was reset")
	}
}

// TestStopIsNoEnd: when a way in stops in the middle of an upload, the target
// does not take what it has for the whole. Once it saw the end of the data.
func TestStopIsNoEnd(t *testing.T) {
	to, arrived, ended := counting(t)
	a, b := twoNodes(t)
	started(t, b, TCPClient{Service: "out", Address: to.String()})
	at, stop := started(t, a, TCPServer{Address: "127.0.0.1:0", RemoteNode: "b", RemoteService: "out"})
	c := dial(t, at)
	c.Write(make([]byte, upload))
	<-arrived
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the target saw the end of a connection that was cut")
	}
}

// TestAnswerOutlivesUnreadRequest: a service that answers and closes without
// reading on is answered for in full, though the client sends on meanwhile. Once
// the rest of the request was left unread, and closing a socket with something
// unread loses what it has not sent yet.
func TestAnswerOutlivesUnreadRequest(t *testing.T) {
	const answer = 3 << 20 // fits into the window of a stream, but not into the client's socket
	a, b := twoNodes(t)
	ln, err := b.Listen(mesh.Service{Name: "rude"})
	if err != nil {
		t.Fatal(err)
	}
	var service sync.WaitGroup
	service.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.ReadFull(c, make([]byte, 4))
		c.Write(make([]byte, answer))
		c.Close()
	})
	t.Cleanup(func() { ln.Close(); service.Wait() })
	local := listenTCP(t)
	running(t, func(ctx context.Context) error { return serve(ctx, local, toMesh(a, "b", "rude", nil), named(nil)) })
	c := dial(t, local.Addr())
	c.Write(make([]byte, 16<<20)) // nothing is read before all of it is gone
	c.CloseWrite()
	if n, err := io.Copy(io.Discard, c); n != answer || err != nil {
		t.Errorf("the client got %d of %d bytes of the answer, %v", n, answer, err)
	}
}

// TestStalledDirectionEnds: a service that ends its direction and reads no more,
// as the proxies of ansible/receptor do once their socket has closed, does not
// hold a connection for ever. Once a write to it waited without a limit.
func TestStalledDirectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		a, b := m.Node("a"), m.Node("b")
		m.Join("a", "b", link.PipeOptions{Delay: time.Millisecond})
		m.Converged(5 * time.Second)
		time.Sleep(time.Second)
		stream := func(from, to *mesh.Node, name wire.Service) (dialled, accepted net.Conn) {
			ln, err := to.Listen(mesh.Service{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			dialled, err = from.Dial(t.Context(), to.ID, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if accepted, err = ln.Accept(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dialled.Close(); accepted.Close() })
			return dialled, accepted
		}
		client, mine := stream(b, a, "in")
		near, service := stream(a, b, "fin")

		ended := make(chan struct{})
		go func() { join(t.Context(), mine, near); close(ended) }()
		sent := make(chan struct{})
		go func() { client.Write(make([]byte, 16<<20)); close(sent) }()
		time.Sleep(2 * time.Second) // the windows are full by then
		io.WriteString(service, "413")
		closeWrite(service)
		if got, err := io.ReadAll(client); err != nil || string(got) != "413" {
			t.Errorf("the client got %q, %v", got, err)
		}
		client.Close()
		select {
		case <-ended:
		case <-time.After(stallTime + time.Minute):
			t.Error("both connections are held after client and service have ended")
			service.Close()
			<-ended
		}
		<-sent
	})
}
