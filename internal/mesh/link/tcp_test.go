package link_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/link/linktest"
)

func vector(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// rawTCP joins a link with a plain connection.
func rawTCP(t *testing.T) (link.Link, net.Conn) {
	t.Helper()
	ln := listening(t)(link.ListenTCP(anyPort, nil))
	c, err := net.Dial("tcp", ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	l, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, c
}

// TestTCPFraming replays tcp-framing.json in both directions. Where the
// original wraps the length around we send nothing.
func TestTCPFraming(t *testing.T) {
	var v struct {
		Rows []struct {
			BytesWritten  int    `json:"bytes_written"`
			PayloadLength int    `json:"payload_length"`
			PrefixHex     string `json:"prefix_hex"`
		}
	}
	vector(t, "tcp-framing.json", &v)
	if len(v.Rows) < 10 {
		t.Fatalf("%d rows", len(v.Rows))
	}
	l, c := rawTCP(t)
	for _, row := range v.Rows {
		f := link.NewFrame(row.PayloadLength)
		clear(f.Bytes())
		if row.PayloadLength == 0 || row.PayloadLength > link.MaxStreamFrame {
			if err := l.WriteFrames([]*link.Frame{f}); !errors.Is(err, link.ErrFrameSize) {
				t.Errorf("%d bytes: error %v", row.PayloadLength, err)
			}
			f.Release()
			continue
		}
		if err := l.WriteFrames([]*link.Frame{f}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, row.BytesWritten)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		want, _ := hex.DecodeString(row.PrefixHex)
		want = append(want, f.Bytes()...)
		f.Release()
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes were sent as % x ...", row.PayloadLength, got[:2])
		}
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		back, err := l.ReadFrame()
		if err != nil || len(back.Bytes()) != row.PayloadLength {
			t.Errorf("%d bytes were read as %d, error %v", row.PayloadLength, len(back.Bytes()), err)
		}
		back.Release()
	}
}

// TestTCPReject: the reject frame in the bytes of the vector, also when the
// close follows at once.
func TestTCPReject(t *testing.T) {
	var v struct {
		Hex string `json:"reject_frame_hex"`
	}
	vector(t, "reject.json", &v)
	reject, err := hex.DecodeString(v.Hex)
	if err != nil || len(reject) != 3 {
		t.Fatalf("vector %q: %v", v.Hex, err)
	}
	for range 50 {
		l, c := rawTCP(t)
		f := link.FrameOf(reject)
		if err := l.WriteFrames([]*link.Frame{f}); err != nil {
			t.Fatal(err)
		}
		f.Release()
		l.Close()
		got, err := io.ReadAll(c)
		if want := append([]byte{3, 0}, reject...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got % x, %v, want % x", got, err, want)
		}
	}
}

// TestTCPEmptyFrame: a length of zero is an empty frame, not a crash (weakness
// of netceptor.go).
func TestTCPEmptyFrame(t *testing.T) {
	l, c := rawTCP(t)
	c.Write([]byte{0, 0, 0, 0, 1, 0, 9})
	for _, want := range []string{"", "", "\x09"} {
		f, err := l.ReadFrame()
		if err != nil || string(f.Bytes()) != want {
			t.Fatalf("got %v, %v, want %q", f, err, want)
		}
		f.Release()
	}
	c.Write([]byte{5, 0, 1})
	c.Close()
	if _, err := l.ReadFrame(); err != io.ErrUnexpectedEOF {
		t.Errorf("end within a frame: %v", err)
	}
}

// TestTCPDialErrors: the texts are Go's, as the log of the original has them.
func TestTCPDialErrors(t *testing.T) {
	ln := listening(t)(link.ListenTCP(anyPort, nil))
	addr := ln.Addr()
	ln.Close()
	server, client := keys(t)
	secure := listening(t)(link.ListenTCP(anyPort, server))
	go acceptAll(secure)
	wrongName := client.Clone()
	wrongName.ServerName = "other.test"
	for _, test := range []struct {
		name string
		d    link.Dialer
		want string
	}{
		{"nobody listens", link.DialTCP(addr, nil), "dial tcp " + addr + ": connect: connection refused"},
		{"nobody listens, TLS", link.DialTCP(addr, client), "dial tcp " + addr + ": connect: connection refused"},
		{"no port", link.DialTCP("127.0.0.1", nil), "dial tcp: address 127.0.0.1: missing port in address"},
		{"unknown authority", link.DialTCP(secure.Addr(), &tls.Config{}), "tls: failed to verify certificate: x509: "},
		{"other name", link.DialTCP(secure.Addr(), wrongName),
			"tls: failed to verify certificate: x509: certificate is valid for named.test, not other.test"},
	} {
		_, err := test.d.Dial(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	if s := link.DialTCP("h:1", nil).String(); s != "tcp h:1" {
		t.Errorf("dialer is called %q", s)
	}
}

// acceptAll reads every link until it ends, and ends with the listener.
func acceptAll(ln link.Listener) {
	for {
		l, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer l.Close()
			for {
				f, err := l.ReadFrame()
				if err != nil {
					return
				}
				f.Release()
			}
		}()
	}
}

// TestTCPServerName: a name in the configuration goes before the host of the address.
func TestTCPServerName(t *testing.T) {
	server, client := keys(t)
	var sni []string
	server.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		sni = append(sni, h.ServerName)
		return nil, nil
	}
	ln := lazy{listening(t)(link.ListenTCP(anyPort, server))}
	named := client.Clone()
	named.ServerName = "named.test"
	for _, c := range []*tls.Config{client, named} {
		before := c.ServerName
		linktest.Connect(t, ln, link.DialTCP(ln.Addr(), c))
		if c.ServerName != before {
			t.Error("the configuration was changed")
		}
	}
	if len(sni) != 2 || sni[1] != "named.test" {
		t.Errorf("names sent: %q", sni)
	}
}

// TestTCPSlowClient: clients that say nothing delay no other.
func TestTCPSlowClient(t *testing.T) {
	server, client := keys(t)
	ln := listening(t)(link.ListenTCP(anyPort, server))
	for range 5 {
		c, err := net.Dial("tcp", ln.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := l.ReadFrame()
			read <- err
		}()
		defer func() {
			l.Close()
			if err := <-read; !errors.Is(err, link.ErrClosed) {
				t.Errorf("closed while it waits for a client: %v", err)
			}
		}()
	}
	linktest.Connect(t, lazy{ln}, link.DialTCP(ln.Addr(), client))
}
