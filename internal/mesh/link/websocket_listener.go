package link

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Bounds on what a client may do before it is a link.
const (
	wsHeaderTimeout = 5 * time.Second // of the request's header, TLS handshake included (spec mesh-protocol 1)
	wsRequestTime   = 10 * time.Second
	wsMaxHeader     = 16 << 10 // bytes
	wsAcceptQueue   = 64       // links upgraded and not accepted yet; further ones wait
	wsPending       = 512      // connections that are no links yet; with one more the oldest is closed
	acceptPause     = 100 * time.Millisecond
)

// wsListener is an HTTP server with one path.
type wsListener struct {
	ln       net.Listener
	server   *http.Server
	accepted chan Link
	done     chan struct{}  // closed by Close
	running  sync.WaitGroup // the server and the requests that are being answered

	mu      sync.Mutex // guards closed, calls of running.Add, and pending
	closed  bool
	pending []net.Conn // no links yet, oldest first
}

// ListenWebSocket listens on HOST:PORT for requests of path, which is matched
// as http.ServeMux matches: one that ends in `/` also takes everything below
// it. An empty path is `/`. With a TLS configuration all clients speak TLS. Failed
// TLS handshakes and the like are said in problems; nil discards them.
func ListenWebSocket(addr, path string, c *tls.Config, problems *log.Logger) (Listener, error) {
	l := &wsListener{accepted: make(chan Link, wsAcceptQueue), done: make(chan struct{})}
	mux := http.NewServeMux()
	if err := register(mux, path, l.serve); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l.start(ln, mux, c, problems)
	return l, nil
}

// start serves mux on ln.
func (l *wsListener) start(ln net.Listener, mux http.Handler, c *tls.Config, problems *log.Logger) {
	if problems == nil {
		problems = log.New(io.Discard, "", 0)
	}
	l.ln = ln
	l.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: wsHeaderTimeout,
		ReadTimeout:       wsRequestTime,
		WriteTimeout:      wsRequestTime,
		IdleTimeout:       wsHeaderTimeout,
		MaxHeaderBytes:    wsMaxHeader,
		ErrorLog:          problems,
		ConnState:         l.state,
		// Not nil: HTTP/1.1 only, a WebSocket needs it.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	var in net.Listener = &wsConns{ln, l.done}
	if c != nil {
		in = tls.NewListener(in, httpServerTLS(c))
	}
	// Ends when Close closes the listener, which waits for it.
	l.running.Go(func() { l.server.Serve(in) })
}

// register adds the handler for path, empty meaning `/`; a path that the mux refuses with a panic is an error.
func register(mux *http.ServeMux, path string, h http.HandlerFunc) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bad path %q: %v", path, p)
		}
	}()
	mux.HandleFunc(cmp.Or(path, "/"), h)
	return nil
}

// httpServerTLS is a copy of c for a server of HTTP/1.1. If c fixes the cipher
// suites of TLS 1.2, one that every HTTP client has is put in front.
func httpServerTLS(c *tls.Config) *tls.Config {
	return changed(fastRecords(c), func(c *tls.Config) {
		c.NextProtos = []string{"http/1.1"}
		if len(c.CipherSuites) > 0 {
			c.CipherSuites = slices.Insert(slices.Clone(c.CipherSuites), 0,
				tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
		}
	})
}

// state keeps count of the connections that are no links yet, as the server
// reports them.
func (l *wsListener) state(c net.Conn, s http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s {
	case http.StateNew:
		if len(l.pending) >= wsPending {
			oldest := l.pending[0]
			if t, ok := oldest.(*tls.Conn); ok {
				oldest = t.NetConn() // without a goodbye that could wait
			}
			oldest.Close()
			l.pending = slices.Delete(l.pending, 0, 1)
		}
		l.pending = append(l.pending, c)
	case http.StateHijacked, http.StateClosed:
		l.pending = slices.DeleteFunc(l.pending, func(p net.Conn) bool { return p == c })
	}
}

// serve answers one request and hands its link over.
func (l *wsListener) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.running.Add(1)
	l.mu.Unlock()
	defer l.running.Done()

	c, err := upgrade(w, r)
	if err != nil {
		return
	}
	select {
	case l.accepted <- c:
	case <-l.done:
		c.Close()
	}
}

// Addr implements Listener.
func (l *wsListener) Addr() string { return l.ln.Addr().String() }

// Accept implements Listener.
func (l *wsListener) Accept() (Link, error) {
	if isClosed(l.done) {
		return nil, ErrClosed
	}
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.done:
		return nil, ErrClosed
	}
}

// Close implements Listener. Links that nobody has accepted are closed.
func (l *wsListener) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if first {
		close(l.done)
		l.ln.Close()
		l.server.Close()
	}
	l.running.Wait()
	for {
		select {
		case c := <-l.accepted:
			c.Close()
		default:
			return nil
		}
	}
}

// wsConns gives connections to the HTTP server, which would end for good at an
// error of accept.
type wsConns struct {
	net.Listener
	done chan struct{}
}

func (l *wsConns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			return newConn(c), nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		t := time.NewTimer(acceptPause)
		select {
		case <-t.C:
		case <-l.done:
		}
		t.Stop()
	}
}
