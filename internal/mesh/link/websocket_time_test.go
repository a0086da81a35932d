package link

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memListener accepts connections made of net.Pipe.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestWebSocketHeaderTimeout: a client has 5 s for its request, with and
// without TLS.
func TestWebSocketHeaderTimeout(t *testing.T) {
	server, _ := testKeys(t)
	for _, c := range []*tls.Config{nil, server} {
		for _, beginning := range []string{"", "GET / HTTP/1.1\r\nHost: h\r\n"} {
			synctest.Test(t, func(t *testing.T) {
				l := &wsListener{accepted: make(chan Link, 1), done: make(chan struct{})}
				in := &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
				l.start(in, http.NewServeMux(), c, nil)
				defer l.Close()
				client, peer := net.Pipe()
				in.conns <- peer
				start := time.Now()
				go io.WriteString(client, beginning)
				io.Copy(io.Discard, client)
				if d := time.Since(start); d > wsHeaderTimeout+time.Second {
					t.Errorf("TLS %v: %q was waited for for %v", c != nil, beginning, d)
				}
				client.Close()
			})
		}
	}
}

// TestWebSocketCiphers: a fixed list of cipher suites gets the one that HTTP
// demands; the caller's list stays as it is.
func TestWebSocketCiphers(t *testing.T) {
	own := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	c := httpServerTLS(&tls.Config{CipherSuites: own})
	if len(c.CipherSuites) != 2 || c.CipherSuites[0] != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || c.CipherSuites[1] != own[0] {
		t.Errorf("suites %x", c.CipherSuites)
	}
	if c := httpServerTLS(&tls.Config{}); len(c.CipherSuites) != 0 {
		t.Errorf("suites of an open list: %x", c.CipherSuites)
	}
}

// TestWebSocketPongWaits: a ping that comes while the writer is blocked does
// not block the reader, and is answered afterwards.
func TestWebSocketPongWaits(t *testing.T) {
	ln, err := ListenWebSocket("127.0.0.1:0", "/", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := DialWebSocket("ws://"+ln.Addr(), WebSocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x, y := joined(t, ln, d)
	l := y.(*wsLink)
	pong := make(chan string, 1)
	x.(*wsLink).ws.SetPongHandler(func(s string) error { pong <- s; return nil })
	ping := func(s string) {
		if err := x.(*wsLink).ws.WriteControl(9, []byte(s), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := x.WriteFrames([]*Frame{FrameOf([]byte("after " + s))}); err != nil {
			t.Fatal(err)
		}
		wantFrame(t, y, "after "+s)
	}
	l.writing.Lock() // as a blocked writer does
	ping("one")
	ping("two")
	l.writing.Unlock()
	if err := y.WriteFrames([]*Frame{FrameOf([]byte("written"))}); err != nil {
		t.Fatal(err)
	}
	wantFrame(t, x, "written")
	if err := y.WriteFrames([]*Frame{FrameOf([]byte("more"))}); err != nil {
		t.Fatal(err)
	}
	wantFrame(t, x, "more")
	if s := <-pong; s != "two" {
		t.Errorf("pong %q", s)
	}
}
