package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/receptor-go/receptor/internal/pki"
)

// keys returns a server configuration for 127.0.0.1 and a client
// configuration that trusts it.
func keys(t *testing.T) (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates},
		&tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

// TestTLS: both local sides may speak TLS; half closes pass.
func TestTLS(t *testing.T) {
	server, client := keys(t)
	inner := listenTCP(t) // the target: TLS
	go func() {
		c, err := inner.Accept()
		if err != nil {
			return
		}
		s := tls.Server(c, server)
		defer s.Close()
		b, _ := io.ReadAll(s)
		s.Write(append([]byte("got "), b...))
	}()
	outer := listenTCP(t)
	running(t, func(ctx context.Context) error {
		return serve(ctx, pki.Listen(outer, server, nil), toTCP(inner.Addr().String(), client), named(nil))
	})
	c := tls.Client(dial(t, outer.Addr()), &tls.Config{RootCAs: client.RootCAs, ServerName: "127.0.0.1"})
	io.WriteString(c, "request")
	c.CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil || string(b) != "got request" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestTLSStranger: nothing is dialled for a client that fails the handshake.
func TestTLSStranger(t *testing.T) {
	server, _ := keys(t)
	var dials atomic.Int32
	ln := listenTCP(t)
	running(t, func(ctx context.Context) error {
		return serve(ctx, pki.Listen(ln, server, nil), func(context.Context) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("unexpected")
		}, slog.New(slog.DiscardHandler))
	})
	c := dial(t, ln.Addr())
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	io.Copy(io.Discard, c)
	silent := dial(t, ln.Addr())
	silent.CloseWrite()
	io.Copy(io.Discard, silent)
	if n := dials.Load(); n != 0 {
		t.Errorf("%d dials", n)
	}
}

// TestPumpBuffers: whatever the pieces, all bytes pass, and a stream that has
// gone quiet is copied with the small buffer again.
func TestPumpBuffers(t *testing.T) {
	var sizes []int
	read := 0
	src := readerFunc(func(b []byte) (int, error) {
		sizes = append(sizes, len(b))
		switch read++; {
		case read <= 3:
			return len(b), nil
		case read <= 3+quietReads+2:
			return 1, nil
		}
		return 0, io.EOF
	})
	n, _, err := pump(io.Discard, src)
	if want := int64(smallCopy + 2*bigCopy + quietReads + 2); n != want || err != nil {
		t.Errorf("%d bytes, %v, want %d", n, err, want)
	}
	if sizes[0] != smallCopy || sizes[1] != bigCopy || sizes[len(sizes)-1] != smallCopy {
		t.Errorf("buffers %v", sizes)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestPumpErrors tells whose fault an error is.
func TestPumpErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name   string
		src    error
		dst    error
		source bool
		want   error
	}{
		{"end", io.EOF, nil, false, nil},
		{"TLS without goodbye", io.ErrUnexpectedEOF, nil, false, nil},
		{"source", broken, nil, true, broken},
		{"destination", nil, broken, false, broken},
	} {
		src := readerFunc(func(b []byte) (int, error) { return 1, test.src })
		dst := writerFunc(func(b []byte) (int, error) { return 0, test.dst })
		if _, source, err := pump(dst, src); source != test.source || !errors.Is(err, test.want) {
			t.Errorf("%s: source %v, %v", test.name, source, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
