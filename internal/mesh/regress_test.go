package mesh_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TestPingFromPingIsNotAnswered: pings that claim to come from a reserved
// service get no answer. The answer to a ping from "ping" is a ping once more;
// one such frame, with the node itself as its source, ended the process.
func TestPingFromPingIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "b"})
		a := h.Link("a", 1)
		ping := func(src wire.NodeID, from wire.Service) {
			a.Send(wire.AppendHeader(nil, wire.Header{
				Hops: 5, Src: src.Hash(), Dst: wire.NodeID("b").Hash(), From: from.Name(), To: wire.Ping.Name(),
			}))
		}
		for _, from := range []wire.Service{wire.Ping, wire.Unreachable} {
			ping("a", from)
			a.WantNone("a ping from "+string(from), wire.TypeData)
		}
		if t.Failed() {
			return
		}
		ping("b", wire.Ping)
		a.WantNone("a ping from the node to itself", wire.TypeData)
		ping("a", "any")
		if got := a.TakeType(wire.TypeData); len(got) != 1 {
			t.Errorf("%d answers to a proper ping, want one", len(got))
		}
	})
}

// TestHeldLinkEndsWithItsLastMessage: a link that waits beside an older one to
// the same node does not take over after it has given up. Once it did, and a
// link that was closed stood for the connection as long as the neighbour went
// on sending updates.
func TestHeldLinkEndsWithItsLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := meshtest.NewNode(t, mesh.Config{ID: "n"})
		old := h.Link("x", 1)
		second := h.Open("x", mesh.LinkPolicy{}, false)
		h.Advance(7020 * time.Millisecond) // not long before its last first message
		old.SendUpdate("n")                // so that the second link waits
		h.Advance(time.Millisecond)
		second.Hello()
		h.Advance(5 * time.Millisecond)
		second.SendUpdate("n")
		zombie := 0
		for range 12 {
			h.Advance(5 * time.Second)
			second.SendUpdate("n")
			if _, err := h.Ping(t.Context(), "x", 30); errors.Is(err, mesh.ErrNoConnection) {
				zombie++
			}
		}
		if zombie > 0 {
			t.Errorf("%d of 12 pings took the way of a link that is closed", zombie)
		}
		if second.Closed().IsZero() || connected(h, "x") {
			t.Errorf("the second link closed at %v; connections %v", second.Closed(), h.Status().Connections)
		}
	})
}

// stuckDialer makes links on which nothing can be written once stuck is set.
type stuckDialer struct {
	link.Dialer
	stuck atomic.Bool
}

type stuckLink struct {
	link.Link
	dialer *stuckDialer
	closed chan struct{}
	once   sync.Once
}

func (d *stuckDialer) Dial(ctx context.Context) (link.Link, error) {
	l, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &stuckLink{Link: l, dialer: d, closed: make(chan struct{})}, nil
}

func (l *stuckLink) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Link.Close()
}

func (l *stuckLink) WriteFrames(frames []*link.Frame) error {
	if l.dialer.stuck.Load() {
		<-l.closed
		return link.ErrClosed
	}
	return l.Link.WriteFrames(frames)
}

// TestDialEndsWithItsContext: a dial returns when its context ends, even if its
// first packet waits for room in the queue of a link. Once it returned when the
// link was given up, many seconds later.
func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		a, b := m.Node("a"), m.Node("b")
		ln, dialer := link.ListenPipe(link.PipeOptions{Name: "a-b"})
		stuck := &stuckDialer{Dialer: dialer}
		ctx, stop := context.WithCancel(context.Background())
		var links sync.WaitGroup
		links.Go(func() { b.ServeLinks(ctx, ln, mesh.LinkPolicy{}) })
		links.Go(func() { a.KeepLink(ctx, stuck, mesh.LinkPolicy{}, true) })
		t.Cleanup(func() { stop(); links.Wait() })
		m.Converged(5 * time.Second)
		time.Sleep(time.Second)

		serve(t, b, mesh.Service{Name: "sink"}, func(c net.Conn) { io.Copy(io.Discard, c); c.Close() })
		busy := dial(t, a, "b", "sink") // its packets wait for the link as well
		stuck.stuck.Store(true)
		go busy.Write(make([]byte, 4<<20))
		pc, err := a.ListenPacket(mesh.Service{})
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		pc.SetWriteDeadline(time.Now().Add(time.Second))
		for err == nil { // until the queue is full
			_, err = pc.WriteTo(make([]byte, 1000), mesh.Addr{Node: "b", Service: "any"})
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("write to a link that takes nothing: %v", err)
		}
		time.Sleep(time.Second)

		dialing, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err = a.Dial(dialing, "b", "any", nil)
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dial whose context ended after 1s returned after %v: %v", took, err)
		}
	})
}

// TestStreamDuringQuestionIsKept: a stream that comes and goes while the dialer
// asks whether the idle session may be closed is not lost. The acceptor's yes
// was given before it, and once the session was closed on it nevertheless.
func TestStreamDuringQuestionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: 200 * time.Millisecond}, "a", "b")
		type result struct {
			data string
			err  error
		}
		got := make(chan result, 1)
		serve(t, b, mesh.Service{Name: "sink"}, func(c net.Conn) {
			time.Sleep(time.Second) // a reader that is late
			all, err := io.ReadAll(c)
			c.Close()
			got <- result{string(all), err}
		})
		send := func(data string) (closed time.Time) {
			c := dial(t, a, "b", "sink")
			io.WriteString(c, data)
			c.Close()
			return time.Now()
		}
		// How long after the last stream the question is asked depends on nothing
		// but constants; it takes 400 ms.
		for after := 44 * time.Second; after < 46*time.Second; after += 250 * time.Millisecond {
			closed := send("first")
			if r := <-got; r != (result{"first", nil}) {
				t.Fatalf("the service read %q, %v", r.data, r.err)
			}
			time.Sleep(time.Until(closed.Add(after)))
			send("second")
			select {
			case r := <-got:
				if r != (result{"second", nil}) {
					t.Errorf("%v after the first stream, of the second was read %q, %v", after, r.data, r.err)
				}
			case <-time.After(3 * time.Minute):
				t.Fatalf("%v after the first stream, the second never came", after)
			}
		}
	})
}

// TestServiceThatReturnsIsReached: when the notice that a service has closed is
// lost, at most one dial meets the end of the old session after the service is
// open again. Once all of them did, as long as there was one within the time
// after which an idle session closes.
func TestServiceThatReturnsIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, c := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b", "c")
		ln := serve(t, c, mesh.Service{Name: "echo"}, echo)
		exchange(t, dial(t, a, "c", "echo"), noise(1000))
		m.Node("b").SetPolicy(func(_, _ wire.NodeID, from, _ wire.Service) mesh.Verdict {
			if from == wire.Unreachable {
				return mesh.Drop
			}
			return mesh.Accept
		})
		ln.Close()
		time.Sleep(time.Second)
		m.Node("b").SetPolicy(nil)
		serve(t, c, mesh.Service{Name: "echo"}, echo)

		try := func() error {
			conn, err := a.Dial(t.Context(), "c", "echo", nil)
			if err != nil {
				return err
			}
			defer conn.Close()
			io.WriteString(conn, "x")
			closeWrite(conn)
			got, err := io.ReadAll(conn)
			if err == nil && string(got) != "x" {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		_ = try() // this one may find out
		for i := range 6 {
			time.Sleep(10 * time.Second)
			if err := try(); err != nil {
				t.Errorf("dial %d after the service has come back: %v", i+2, err)
			}
		}
	})
}

// TestRestartIsReset: a stream to a node that was restarted fails as one that
// the other end has reset. Once the error said that it was closed on this side.
func TestRestartIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Join("a", "b", link.PipeOptions{Delay: time.Millisecond})
		edge := m.Join("c", "b", link.PipeOptions{Delay: time.Millisecond})
		m.Converged(5 * time.Second)
		time.Sleep(time.Second)
		ln, err := m.Node("c").Listen(mesh.Service{Name: "sink"})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		conn := dial(t, m.Node("a"), "c", "sink")
		edge.Stop()
		m.Stop("c")
		m.Join("b", "c", link.PipeOptions{Delay: time.Millisecond})
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, mesh.ErrReset) || errors.Is(err, mesh.ErrClosed) {
			t.Errorf("read after the restart: %v, want %v", err, mesh.ErrReset)
		}
	})
}

// TestDialBesideOneGivenUp: two dials to an original at once, of which the first
// is given up. What is known of the service was dropped with the first, and the
// second crashed for want of it.
func TestDialBesideOneGivenUp(t *testing.T) {
	cert := selfSigned(t, "netceptor-insecure-common-name")
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: 50 * time.Millisecond}, "a", "b")
		ln, err := transport(t, b, "svc").Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"netceptor"}}, original(false))
		if err != nil {
			t.Fatal(err)
		}
		var conns sync.WaitGroup
		conns.Go(func() {
			for {
				c, err := ln.Accept(context.Background())
				if err != nil {
					return
				}
				conns.Go(func() { <-c.Context().Done() })
			}
		})
		defer conns.Wait()
		defer ln.Close()
		first := dial(t, a, "b", "svc") // from now on it is known to be an original

		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		defer cancel()
		var dials sync.WaitGroup
		dials.Go(func() {
			if c, err := a.Dial(ctx, "b", "svc", nil); err == nil {
				t.Error("the handshake took less than its round trips")
				c.Close()
			}
		})
		dials.Go(func() {
			time.Sleep(30 * time.Millisecond)
			c, err := a.Dial(t.Context(), "b", "svc", nil)
			if err != nil {
				t.Errorf("the dial beside the one given up: %v", err)
				return
			}
			c.Close()
		})
		dials.Wait()
		first.Close()
	})
}
