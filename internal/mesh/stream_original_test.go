package mesh_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// packets gives quic-go a socket of the mesh as ansible/receptor does: reads
// are cut at 1452 bytes.
type packets struct{ net.PacketConn }

func (p packets) SetReadBuffer(int) error  { return nil }
func (p packets) SetWriteBuffer(int) error { return nil }
func (p packets) ReadFrom(b []byte) (int, net.Addr, error) {
	return p.PacketConn.ReadFrom(b[:min(len(b), 1452)])
}

// original are the parameters of ansible/receptor (spec 12.1).
func original(dialer bool) *quic.Config {
	c := &quic.Config{HandshakeIdleTimeout: 15 * time.Second, MaxIdleTimeout: 30 * time.Second, InitialPacketSize: 1200, DisablePathMTUDiscovery: true}
	if dialer {
		c.KeepAlivePeriod = 15 * time.Second
	}
	return c
}

// transport makes a QUIC transport on a socket of n.
func transport(t *testing.T, n *mesh.Node, service wire.Service) *quic.Transport {
	t.Helper()
	pc, err := n.ListenPacket(mesh.Service{Name: service})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: packets{pc}}
	t.Cleanup(func() { tr.Close(); pc.Close() })
	return tr
}

// originalDial dials as the original does.
func originalDial(t *testing.T, n *mesh.Node, to mesh.Addr, alpn string) (*quic.Conn, error) {
	tlsc := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}, CurvePreferences: []tls.CurveID{tls.CurveP256}}
	return transport(t, n, "").Dial(t.Context(), to, tlsc, original(true))
}

// TestOriginalDials replays stream-cases.json: what an original dialer meets at
// a service of ours.
func TestOriginalDials(t *testing.T) {
	var file struct {
		Rows []struct{ Case, Result string }
	}
	vector(t, "stream-cases.json", &file)
	want := map[string]string{}
	for _, r := range file.Rows {
		want[r.Case] = r.Result
	}
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		serve(t, b, mesh.Service{Name: "echo"}, func(c net.Conn) {
			if mesh.Ours(c) || !strings.HasPrefix(c.RemoteAddr().String(), "a:") {
				t.Errorf("ours %v, from %v", mesh.Ours(c), c.RemoteAddr())
			}
			echo(c)
		})
		to := mesh.Addr{Node: "b", Service: "echo"}

		if _, err := originalDial(t, a, to, "other"); err == nil || err.Error() != want["wrong ALPN"] {
			t.Errorf("wrong ALPN: %v, want %s", err, want["wrong ALPN"])
		}

		c, err := originalDial(t, a, to, "netceptor")
		if err != nil {
			t.Fatal(err)
		}
		s, _ := c.OpenStream()
		s.Write([]byte{1})
		const bad = "first stream byte is 01 instead of 00"
		if _, err := s.Read(make([]byte, 1)); err == nil || err.Error() != want[bad] {
			t.Errorf("%s: %v, want %s", bad, err, want[bad])
		}

		if c, err = originalDial(t, a, to, "netceptor"); err != nil {
			t.Fatal(err)
		}
		s, _ = c.OpenStream()
		s.Write([]byte("\x00hello"))
		got := make([]byte, 5)
		if _, err := io.ReadFull(s, got); err != nil || string(got) != "hello" {
			t.Errorf("echo: %q, %v", got, err)
		}
		second, _ := c.OpenStream()
		second.Write([]byte("\x00hello"))
		second.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := second.Read(got); err == nil || err.Error() != want["a second stream on the same QUIC connection"] {
			t.Errorf("a second stream: %v", err)
		}

		// When both directions have ended, it is we who close the connection,
		// after a few seconds: the original would keep it for ever.
		s.Close()
		if rest, err := io.ReadAll(s); err != nil || len(rest) != 0 {
			t.Errorf("the end: %q, %v", rest, err)
		}
		start := time.Now()
		<-c.Context().Done()
		app, ok := errors.AsType[*quic.ApplicationError](context.Cause(c.Context()))
		if !ok || app.ErrorCode != 0 || app.ErrorMessage != "normal close" || !app.Remote {
			t.Errorf("the connection ended with %v", context.Cause(c.Context()))
		}
		if took := time.Since(start); took < time.Second || took > 10*time.Second {
			t.Errorf("the connection was closed after %v, want a few seconds", took)
		}

		// A dialer that opens no stream is let go.
		if c, err = originalDial(t, a, to, "netceptor"); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		<-c.Context().Done()
		if took := time.Since(start); took.Round(time.Second) != time.Minute {
			t.Errorf("a connection without a stream ended after %v: %v", took, context.Cause(c.Context()))
		}
		if got := b.Sessions(); got != 0 {
			t.Errorf("%d sessions are left", got)
		}
	})
}

// TestOriginalAccepts: our dialer towards an original acceptor.
func TestOriginalAccepts(t *testing.T) {
	cert := selfSigned(t, "netceptor-insecure-common-name")
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		ln, err := transport(t, b, "svc").Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"netceptor"}}, original(false))
		if err != nil {
			t.Fatal(err)
		}
		conns := make(chan *quic.Conn, 10)
		go func() {
			for {
				c, err := ln.Accept(t.Context())
				if err != nil {
					return
				}
				conns <- c
			}
		}()
		open := func() (net.Conn, *quic.Conn, *quic.Stream) {
			c := dial(t, a, "b", "svc")
			if mesh.Ours(c) {
				t.Error("the original is none of ours")
			}
			qc := <-conns
			s, err := qc.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, 1)
			if n, err := s.Read(first); n != 1 || first[0] != 0 {
				t.Errorf("first byte %v, %v", first[:n], err)
			}
			return c, qc, s
		}
		c, qc, s := open()
		c2, qc2, s2 := open() // a session of its own
		if qc == qc2 {
			t.Error("two streams share an original's session")
		}

		// Data in both directions, larger than a packet; then our side closes
		// before the other has read.
		data := noise(300_000)
		go func() { c.Write(data); c.Close() }()
		time.Sleep(10 * time.Second)
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the acceptor read %d bytes, %v", len(got), err)
		}
		s.Close()
		<-qc.Context().Done()
		app, ok := errors.AsType[*quic.ApplicationError](context.Cause(qc.Context()))
		if !ok || app.ErrorCode != 0 || app.ErrorMessage != "normal close" || !app.Remote {
			t.Errorf("the connection ended with %v", context.Cause(qc.Context()))
		}

		// An original that closes the connection with `normal close` while we
		// read has ended regularly; with another reason it has not.
		s2.Write([]byte("bye"))
		time.Sleep(time.Second)
		qc2.CloseWithError(0, "normal close")
		if got, err := io.ReadAll(c2); err != nil || string(got) != "bye" {
			t.Errorf("read %q, %v before a normal close", got, err)
		}
		c3, qc3, _ := open()
		qc3.CloseWithError(500, "Listener Closed")
		if _, err := io.ReadAll(c3); !errors.Is(err, mesh.ErrReset) {
			t.Errorf("read %v before an abnormal close", err)
		}
	})
}

// TestTLSMismatch: with and without TLS do not go together (spec 13.1).
func TestTLSMismatch(t *testing.T) {
	cert := selfSigned(t, "someone")
	synctest.Test(t, func(t *testing.T) {
		_, a, b := line(t, link.PipeOptions{Delay: time.Millisecond}, "a", "b")
		serve(t, b, mesh.Service{Name: "secure", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, echo)
		serve(t, b, mesh.Service{Name: "plain"}, echo)
		start := time.Now()
		_, err := a.Dial(t.Context(), "b", "secure", nil)
		if _, ok := errors.AsType[*mesh.TLSError](err); !ok || !strings.Contains(err.Error(), "CRYPTO_ERROR 0x12a (local): insecure connection to secure service") {
			t.Errorf("dial without TLS: %v", err)
		}
		_, err = a.Dial(t.Context(), "b", "plain", &tls.Config{ServerName: "someone"})
		if e, ok := errors.AsType[*mesh.TLSError](err); !ok || e.Remote || !strings.Contains(err.Error(), "x509: ") {
			t.Errorf("dial with TLS: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the dials took %v", took)
		}
		c, err := a.Dial(t.Context(), "b", "secure", &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, noise(1000))
	})
}
