package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/unixsocket"
)

// serveAt starts one more server of a place. Its sessions are those of the
// listener alone, so a test can count them. It ends with the test, or by stop.
func serveAt(t *testing.T, p *place, ln net.Listener, unixSocket bool) (s *Server, stop func()) {
	t.Helper()
	s = New(Config{Node: p.node, Work: p.work, Version: "1.5.0", TLSClient: noTLS})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, ln, unixSocket); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); serving.Wait() }
	t.Cleanup(stop)
	return s, stop
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// listenMesh makes a service for a second server of a place.
func listenMesh(t *testing.T, n *mesh.Node, name wire.Service) net.Listener {
	t.Helper()
	ln, err := n.Listen(mesh.Service{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// session is a client of a server, which has been greeted.
type session struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func greeted(t *testing.T, c net.Conn, err error) session {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	s := session{c, t, bufio.NewReader(c)}
	s.want("Receptor Control, node ")
	return s
}

func dialTCP(t *testing.T, ln net.Listener) session {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	return greeted(t, c, err)
}

// want reads a line, which begins with prefix, and returns the rest.
func (s session) want(prefix string) string {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	rest, ok := strings.CutPrefix(line, prefix)
	if !ok || err != nil {
		s.t.Fatalf("got %q, %v; want %s...", line, err, prefix)
	}
	return rest
}

// submit begins a unit that waits for its payload.
func (s session) submit() (id string) {
	s.t.Helper()
	fmt.Fprintf(s, "work submit localhost cat\n")
	id, _, _ = strings.Cut(s.want("Work unit created with ID "), ".")
	return id
}

// connect makes the session a bridge.
func (s session) connect(node, service string) {
	s.t.Helper()
	fmt.Fprintf(s, "connect %s %s\n", node, service)
	s.want("Connecting")
}

// TestBridgeKeepsAnswerToUnreadRequest: a service that answers and closes
// without reading on is answered for in full, though the client sends on. Once
// the bridge gave up the answer with the request.
func TestBridgeKeepsAnswerToUnreadRequest(t *testing.T) {
	const answer = 3 << 20 // fits into the window of a stream, but not into the client's socket
	places := scene(t)
	ln := listenTCP(t)
	serveAt(t, places["controller01"], ln, true)
	rude := listenMesh(t, places["executor01"].node, "rude")
	var service sync.WaitGroup
	service.Go(func() {
		c, err := rude.Accept()
		if err != nil {
			return
		}
		io.ReadFull(c, make([]byte, 4))
		c.Write(make([]byte, answer))
		c.Close()
	})
	t.Cleanup(func() { rude.Close(); service.Wait() })
	c := dialTCP(t, ln)
	c.connect("executor01", "rude")
	c.Write(make([]byte, 16<<20)) // nothing is read before all of it is gone
	_ = controlproto.CloseWrite(c.Conn)
	if n, err := io.Copy(io.Discard, c.lines); n != answer || err != nil {
		t.Errorf("the client got %d of %d bytes of the answer, %v", n, answer, err)
	}
}

// TestBridgeCutIsNoEnd: what a client has sent through a bridge does not pass
// for all of it when the client breaks or the daemon stops. Once both looked
// like the end of the payload, and the unit ran with a part of it.
func TestBridgeCutIsNoEnd(t *testing.T) {
	places := scene(t)
	for _, how := range []string{"the client resets", "the daemon stops"} {
		t.Run(how, func(t *testing.T) {
			ln := listenTCP(t)
			_, stop := serveAt(t, places["controller01"], ln, true)
			c := dialTCP(t, ln)
			c.connect("executor01", "control")
			c.want("Receptor Control, node executor01")
			id := c.submit()
			io.WriteString(c, "half of")
			if how == "the daemon stops" {
				stop()
			} else {
				c.Conn.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
			var got controlproto.UnitStatus
			eventually(t, "the unit has ended", func() bool {
				var err error
				got, err = places["executor01"].work.Status(id)
				return err == nil && got.State != controlproto.Pending && got.State != controlproto.Running
			})
			if got.State != controlproto.Failed {
				t.Errorf("the unit is %s: %s", got.StateName, got.Detail)
			}
		})
	}
}

// TestVanishedClientsFreeTheirSessions: the session of a client that has gone
// while it waits for the results of a silent unit ends, over whatever it came.
// Only those of a Unix socket did once: the others held their places as long as
// the unit was silent.
func TestVanishedClientsFreeTheirSessions(t *testing.T) {
	places := scene(t)
	here, there := places["controller01"], places["executor01"]
	unix, err := net.Dial("unix", there.socket)
	id := greeted(t, unix, err).submit()
	follow := func(c session) {
		fmt.Fprintf(c, "work results %s\n", id)
		c.want("Streaming results")
		c.Close()
	}
	for _, row := range []struct {
		name string
		run  func(t *testing.T) *Server
	}{
		{"over the mesh", func(t *testing.T) *Server {
			s, _ := serveAt(t, there, listenMesh(t, there.node, "second"), false)
			c, err := here.node.Dial(t.Context(), "executor01", "second", nil)
			follow(greeted(t, c, err))
			return s
		}},
		{"over the mesh, version 2", func(t *testing.T) *Server {
			s, _ := serveAt(t, there, listenMesh(t, there.node, "second2"), false)
			conn, err := here.node.Dial(t.Context(), "executor01", "second2", nil)
			c := greeted(t, conn, err)
			fmt.Fprintln(c, `{"command":"hello","versions":[2]}`)
			c.want("{")
			fmt.Fprintf(c, "{\"id\":1,\"command\":\"work\",\"subcommand\":\"follow\",\"unitid\":%q}\n", id)
			c.want(`{"`)
			c.Close()
			return s
		}},
		{"through a bridge", func(t *testing.T) *Server {
			if runtime.GOOS != "linux" {
				t.Skip("only Linux tells")
			}
			name := here.socket + "2"
			ln, err := unixsocket.Listen(name, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			s, _ := serveAt(t, here, ln, true)
			conn, err := net.Dial("unix", name)
			c := greeted(t, conn, err)
			c.connect("executor01", "control")
			c.want("Receptor Control, node executor01")
			follow(c)
			return s
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := row.run(t)
			eventually(t, "the session has ended", func() bool { return len(s.slots) == 0 })
		})
	}
}

// TestSession2DropsInputNobodyTakes: input for a request that has none does not
// hold up the session. Once it was handed to a request that never read it.
func TestSession2DropsInputNobodyTakes(t *testing.T) {
	p := scene(t)["controller01"]
	unix, err := net.Dial("unix", p.socket)
	id := greeted(t, unix, err).submit()
	c := open2(t, p)
	c.say(fmt.Sprintf(`{"id":1,"command":"work","subcommand":"follow","unitid":%q}`, id), `{"id":1,"bytes":4}`)
	io.WriteString(c.conn, "what")
	c.say(`{"id":2,"command":"ping","target":"executor01"}`)
	c.conn.SetReadDeadline(time.Now().Add(patience / 4))
	for f, _ := c.frame(); f.ID != 2; f, _ = c.frame() {
	}
}

// bridgeInBubble makes two nodes with a control service at the first, and
// services at the second that the test plays. It returns a client that has
// come over the mesh.
func bridgeInBubble(t *testing.T, service wire.Service) (s *Server, c session, ln net.Listener) {
	m := meshtest.New(t)
	p := &place{node: m.Node("a")}
	m.Join("a", "b", link.PipeOptions{Delay: time.Millisecond})
	m.Converged(5 * time.Second)
	time.Sleep(time.Second)
	s, _ = serveAt(t, p, listenMesh(t, p.node, "control"), false)
	ln = listenMesh(t, m.Node("b"), service)
	t.Cleanup(func() { ln.Close() })
	conn, err := m.Node("b").Dial(t.Context(), "a", "control", nil)
	c = greeted(t, conn, err)
	c.SetDeadline(time.Time{})
	return s, c, ln
}

// TestBridgeToStalledServiceEnds: when service and client have ended, the bridge
// ends, though the service has not read all, as services of ansible/receptor do
// that end one direction and forget the other. Once the session waited for ever.
func TestBridgeToStalledServiceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, ln := bridgeInBubble(t, "fin")
		c.connect("b", "fin")
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		sent := make(chan struct{})
		go func() { c.Write(make([]byte, 16<<20)); close(sent) }()
		time.Sleep(2 * time.Second) // the windows are full by then
		_ = controlproto.CloseWrite(far)
		if n, err := io.Copy(io.Discard, c.lines); n != 0 || err != nil {
			t.Errorf("the client got %d bytes, %v", n, err)
		}
		c.Close()
		time.Sleep(2 * bridgeGrace)
		if n := len(s.slots); n > 0 {
			t.Errorf("%d sessions are left", n)
		}
		<-sent
	})
}

// TestSession2OutlivesStalledRequest: a request that does not take its input is
// ended after a while, and the session goes on. Once it was held up for ever.
func TestSession2OutlivesStalledRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, ln := bridgeInBubble(t, "hole")
		fmt.Fprintln(c, `{"command":"hello","versions":[2]}`)
		c.want("{")
		fmt.Fprintln(c, `{"id":1,"command":"connect","node":"b","service":"hole"}`)
		c.want(`{"data":{},"event":"connected","id":1}`)
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			const frame = 1 << 20
			for range 8 { // more than the window of the stream
				fmt.Fprintf(c, "{\"id\":1,\"bytes\":%d}\n", frame)
				if _, err := c.Write(make([]byte, frame)); err != nil {
					return
				}
			}
			fmt.Fprintln(c, `{"id":2,"command":"ping","target":"b"}`)
		}()
		c.SetReadDeadline(time.Now().Add(stallLimit + 10*time.Second))
		answers := ""
		for !strings.Contains(answers, `"id":2`) {
			line, err := c.lines.ReadString('\n')
			if err != nil {
				t.Errorf("after %q: %v", answers, err)
				break
			}
			answers += line
		}
		c.Close()
		far.Close()
		<-sent
		time.Sleep(5 * time.Second)
		if n := len(s.slots); n > 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}
