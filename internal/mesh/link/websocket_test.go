package link_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/link/linktest"
)

type wsVector struct {
	FirstBytes      string `json:"first_bytes_after_response_hex"`
	Request         string `json:"request_sent_by_original"`
	RequestTo       string `json:"request_sent_to_original"`
	Response        string `json:"response_of_original"`
	ForeignOrigin   string `json:"status_for_a_foreign_Origin_header"`
	OtherPath       string `json:"status_for_another_path"`
	WSSWithoutTLS   string `json:"output_when_dialing_wss_without_a_tls_config_name"`
	WhatIsDescribed string `json:"what"`
}

// exchange sends a request over a plain connection and returns what comes
// back up to the end of the header, and the connection for the rest.
func exchange(t *testing.T, addr, request string) (string, net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var b strings.Builder
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if b.WriteString(line); err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
	}
	return b.String(), c, r
}

// TestWebSocketListener replays the listener's part of websocket-handshake.json.
func TestWebSocketListener(t *testing.T) {
	var v wsVector
	vector(t, "websocket-handshake.json", &v)
	ln := listening(t)(link.ListenWebSocket(anyPort, "/mesh", nil, nil))
	response, _, r := exchange(t, ln.Addr(), v.RequestTo)
	if response != v.Response {
		t.Errorf("response\n%q, want\n%q", response, v.Response)
	}
	l, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent, _ := hex.DecodeString(v.FirstBytes)
	f := link.FrameOf(sent[4:]) // what follows the header of the WebSocket frame
	if err := l.WriteFrames([]*link.Frame{f}); err != nil {
		t.Fatal(err)
	}
	f.Release()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("sent % x..., %v, want % x...", got[:8], err, sent[:8])
	}

	origin := func(o string) string {
		return strings.Replace(v.RequestTo, "Upgrade: websocket", "Origin: "+o+"\r\nUpgrade: websocket", 1)
	}
	for _, test := range []struct{ name, request, status string }{
		{"foreign origin", origin("http://elsewhere"), v.ForeignOrigin},
		{"null origin", origin("null"), v.ForeignOrigin},
		{"same host, other port", origin("http://127.0.0.1:1"), v.ForeignOrigin},
		{"same origin", origin("http://127.0.0.1:27502"), "101 Switching Protocols"},
		{"same host, other scheme", origin("https://127.0.0.1:27502"), "101 Switching Protocols"},
		{"other path", strings.Replace(v.RequestTo, "/mesh", "/other", 1), v.OtherPath},
		{"below", strings.Replace(v.RequestTo, "/mesh", "/mesh/x", 1), v.OtherPath},
		{"query", strings.Replace(v.RequestTo, "/mesh", "/mesh?x=1", 1), "101 Switching Protocols"},
		{"no upgrade", "GET /mesh HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"},
		{"other method", strings.Replace(v.RequestTo, "GET", "POST", 1), "405 Method Not Allowed"},
	} {
		if got, _, _ := exchange(t, ln.Addr(), test.request); !strings.HasPrefix(got, "HTTP/1.1 "+test.status+"\r\n") {
			t.Errorf("%s: %q, want %s", test.name, got, test.status)
		}
	}
}

// TestWebSocketPaths: the rules of http.ServeMux.
func TestWebSocketPaths(t *testing.T) {
	for _, test := range []struct {
		path, url string
		ok        bool
	}{
		{"", "", true}, {"", "/", true}, {"", "/any/thing", true}, {"/", "/x", true},
		{"/mesh", "/mesh", true}, {"/mesh", "/mesh/", false}, {"/mesh", "/", false},
		{"/mesh/", "/mesh/", true}, {"/mesh/", "/mesh/x/y", true}, {"/mesh/", "/other", false},
		{"host.test/mesh", "/mesh", false},
	} {
		ln := listening(t)(link.ListenWebSocket(anyPort, test.path, nil, nil))
		l, err := dialing(t)(link.DialWebSocket("ws://"+ln.Addr()+test.url, link.WebSocketOptions{})).Dial(t.Context())
		if (err == nil) != test.ok {
			t.Errorf("path %q, request of %q: %v", test.path, test.url, err)
		}
		if err == nil {
			l.Close()
		} else if want := "websocket: bad handshake: 404 Not Found"; err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		ln.Close()
	}
	if _, err := link.ListenWebSocket(anyPort, "/{a}/{a}", nil, nil); err == nil {
		t.Error("a bad path was taken")
	}
}

// TestWebSocketDialer replays the dialer's part of websocket-handshake.json.
func TestWebSocketDialer(t *testing.T) {
	var v wsVector
	vector(t, "websocket-handshake.json", &v)
	ln, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	const path, header = "/some/path?x=1", "X-Test: hello there"
	if !strings.Contains(v.WhatIsDescribed, path) || !strings.Contains(v.WhatIsDescribed, header) {
		t.Fatalf("the vector is another: %s", v.WhatIsDescribed)
	}
	d := dialing(t)(link.DialWebSocket("ws://"+ln.Addr().String()+path, link.WebSocketOptions{Header: header}))
	done := make(chan error, 1)
	go func() {
		_, err := d.Dial(t.Context())
		done <- err
	}()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for r := bufio.NewReader(c); !strings.HasSuffix(got.String(), "\r\n\r\n"); {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(line)
	}
	c.Close()
	if err := <-done; err == nil {
		t.Error("a dial without answer succeeded")
	}
	key := regexp.MustCompile(`Key: [A-Za-z0-9+/]{22}==\r`)
	want := strings.ReplaceAll(v.Request, "127.0.0.1:27503", ln.Addr().String())
	if a, b := key.ReplaceAllString(got.String(), "KEY"), key.ReplaceAllString(want, "KEY"); a != b {
		t.Errorf("request\n%q, want\n%q", a, b)
	}
}

func TestWebSocketDialErrors(t *testing.T) {
	if _, err := link.DialWebSocket("ws://h/", link.WebSocketOptions{Header: "no colon"}); err == nil {
		t.Error("a header without colon was taken")
	}
	if _, err := link.DialWebSocket("ws://h:port:%zz/", link.WebSocketOptions{}); err == nil {
		t.Error("an URL that does not parse was taken")
	}
	ln := listening(t)(link.ListenWebSocket(anyPort, "/", nil, nil))
	d := dialing(t)(link.DialWebSocket("http://"+ln.Addr(), link.WebSocketOptions{}))
	if _, err := d.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "malformed ws or wss URL") {
		t.Errorf("an http URL: %v", err)
	}
	addr := ln.Addr()
	ln.Close()
	d = dialing(t)(link.DialWebSocket("ws://"+addr+"/", link.WebSocketOptions{}))
	if _, err := d.Dial(t.Context()); err == nil || err.Error() != "dial tcp "+addr+": connect: connection refused" {
		t.Errorf("nobody listens: %v", err)
	}
	server, _ := keys(t)
	ln = listening(t)(link.ListenWebSocket(anyPort, "/", server, nil))
	d = dialing(t)(link.DialWebSocket("wss://"+ln.Addr()+"/", link.WebSocketOptions{}))
	if _, err := d.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "x509: certificate signed by unknown authority") {
		t.Errorf("wss without configuration: %v", err)
	}
}

// TestWebSocketDialCancel: a server that says nothing holds a dial no longer
// than its context.
func TestWebSocketDialCancel(t *testing.T) {
	ln, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		http.ReadRequest(bufio.NewReader(c))
		cancel()
		io.Copy(io.Discard, c)
	}()
	d := dialing(t)(link.DialWebSocket("ws://"+ln.Addr().String(), link.WebSocketOptions{}))
	if _, err := d.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// client joins an accepted link with a client that can do what ours does not.
func client(t *testing.T) (*websocket.Conn, link.Link) {
	t.Helper()
	ln := listening(t)(link.ListenWebSocket(anyPort, "/", nil, nil))
	ws, _, err := (&websocket.Dialer{WriteBufferSize: 256}).Dial("ws://"+ln.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	l, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return ws, l
}

// TestWebSocketMessages: text is taken, too, a message in fragments is one
// frame, an empty one is an empty frame; a ping is answered.
func TestWebSocketMessages(t *testing.T) {
	ws, l := client(t)
	big := strings.Repeat("x", link.MaxStreamFrame) // in 256 fragments, more or less
	ws.WriteMessage(websocket.TextMessage, []byte("text"))
	ws.WriteMessage(websocket.BinaryMessage, nil)
	ws.WriteMessage(websocket.BinaryMessage, []byte(big))
	pong := make(chan string, 1)
	ws.SetPongHandler(func(s string) error { pong <- s; return nil })
	ws.WriteMessage(websocket.PingMessage, []byte("are you there"))
	ws.WriteMessage(websocket.BinaryMessage, []byte("end"))
	for _, want := range []string{"text", "", big, "end"} {
		f, err := l.ReadFrame()
		if err != nil || string(f.Bytes()) != want {
			t.Fatalf("got %d bytes, %v, want %d", len(f.Bytes()), err, len(want))
		}
		f.Release()
	}
	if err := l.WriteFrames([]*link.Frame{link.FrameOf([]byte("answer"))}); err != nil {
		t.Fatal(err)
	}
	kind, b, err := ws.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage || string(b) != "answer" {
		t.Errorf("got kind %d, %q, %v", kind, b, err)
	}
	if s := <-pong; s != "are you there" {
		t.Errorf("pong %q", s)
	}
	ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	if _, err := l.ReadFrame(); err != io.EOF {
		t.Errorf("after a goodbye: %v", err)
	}
}

// TestWebSocketLimit: a longer message ends the link before it is in memory
// (weakness of websockets.go).
func TestWebSocketLimit(t *testing.T) {
	ws, l := client(t)
	go ws.WriteMessage(websocket.BinaryMessage, make([]byte, link.MaxStreamFrame+1))
	if _, err := l.ReadFrame(); !errors.Is(err, websocket.ErrReadLimit) {
		t.Errorf("error %v", err)
	}
}

// TestWebSocketUnaccepted: closing a listener ends links that nobody has
// accepted (weakness of websockets.go), however many.
func TestWebSocketUnaccepted(t *testing.T) {
	ln := listening(t)(link.ListenWebSocket(anyPort, "/", nil, nil))
	d := dialing(t)(link.DialWebSocket("ws://"+ln.Addr(), link.WebSocketOptions{}))
	for range 70 { // some wait for room in the queue
		l, err := d.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := l.ReadFrame(); err == nil {
				t.Error("a frame came out of nothing")
			}
			l.Close()
		}()
	}
	ln.Close()
}

// TestWebSocketHTTP1: a client that also knows HTTP/2 ends up with HTTP/1.1.
func TestWebSocketHTTP1(t *testing.T) {
	server, trust := keys(t)
	server.NextProtos = []string{"h2"}
	ln := listening(t)(link.ListenWebSocket(anyPort, "/", server, nil))
	for _, offer := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}} {
		c := trust.Clone()
		c.NextProtos = offer
		conn, err := tls.Dial("tcp", ln.Addr(), c)
		if err != nil {
			t.Errorf("%q: %v", offer, err)
			continue
		}
		if p := conn.ConnectionState().NegotiatedProtocol; p != "" && p != "http/1.1" {
			t.Errorf("%q: agreed on %q", offer, p)
		}
		conn.Close()
	}
}

// TestWebSocketProxy: proxies of the environment are used (TestMain has set one).
func TestWebSocketProxy(t *testing.T) {
	ln := listening(t)(link.ListenWebSocket(anyPort, "/", nil, nil))
	asked := make(chan string, 1)
	go func() {
		c, err := proxy.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		asked <- fmt.Sprint(req.Method, " ", req.Host)
		to, err := net.Dial("tcp", ln.Addr())
		if err != nil {
			return
		}
		defer to.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(c, to)
		io.Copy(to, r)
	}()
	d := dialing(t)(link.DialWebSocket("ws://mesh.invalid:99/", link.WebSocketOptions{}))
	linktest.Connect(t, ln, d)
	if got, want := <-asked, "CONNECT mesh.invalid:99"; got != want {
		t.Errorf("the proxy was asked to %q, want %q", got, want)
	}
}

// TestWebSocketFlood: connections that become no links push each other out, and hold up nobody.
func TestWebSocketFlood(t *testing.T) {
	server, trust := keys(t)
	for _, c := range []*tls.Config{nil, server} {
		ln := listening(t)(link.ListenWebSocket(anyPort, "/", c, nil))
		var silent []net.Conn
		for range link.WSPending + 1 {
			conn, err := net.Dial("tcp", ln.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			silent = append(silent, conn)
		}
		silent[0].SetReadDeadline(time.Now().Add(20 * time.Second))
		begin := time.Now()
		if n, err := silent[0].Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the oldest connection: %d bytes, %v after %v", n, err, time.Since(begin))
		}
		url := "ws://" + ln.Addr()
		if c != nil {
			url = "wss://" + ln.Addr()
		}
		linktest.Connect(t, ln, dialing(t)(link.DialWebSocket(url, link.WebSocketOptions{TLS: trust})))
	}
}
