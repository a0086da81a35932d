package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Buffers of the WebSocket library. Reads and writes go through a conn, which
// has the large ones; the write buffer holds a whole message, so that each
// frame is one fragment, and is borrowed for the time of a write.
const (
	wsReadBuffer  = 1 << 10
	wsWriteBuffer = MaxStreamFrame + 64
)

// WebSocketOptions of DialWebSocket.
type WebSocketOptions struct {
	// TLS is for wss:// URLs; nil is the system's trust store and TLS 1.2 or
	// newer. The server name that is sent and verified is the host part of the
	// URL unless the configuration has one.
	TLS *tls.Config
	// Header is an additional header of the request, `Name: value`, split at
	// the first colon. Empty means none.
	Header string
}

// DialWebSocket returns a dialer to a ws:// or wss:// URL, which is used as it
// is, path and query included. The proxy settings of the environment
// (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) apply. An URL of another scheme is an
// error of each dial.
func DialWebSocket(rawURL string, o WebSocketOptions) (Dialer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("the URL of a WebSocket peer is malformed") // not err, which has it whole
	}
	scheme := "http"
	if u.Scheme == "wss" {
		scheme = "https"
	}
	header := http.Header{"Origin": {scheme + "://" + u.Host}}
	if o.Header != "" {
		name, value, ok := strings.Cut(o.Header, ":")
		if !ok {
			return nil, errors.New("the extra header has no colon; write it as `Name: value`")
		}
		header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	c := o.TLS
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c = fastRecords(c)
	c.NextProtos = []string{"http/1.1"}
	return &wsDialer{url: rawURL, name: "websocket " + u.Redacted(), header: header, tls: c}, nil
}

type wsDialer struct {
	url    string
	name   string // for logs: no password
	header http.Header
	tls    *tls.Config
}

func (d *wsDialer) String() string { return d.name }

// Dial implements Dialer.
func (d *wsDialer) Dial(ctx context.Context) (Link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var wire *conn
	stop := func() bool { return true }
	dialer := websocket.Dialer{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: d.tls,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var nd net.Dialer
			c, err := nd.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			wire = newConn(c)
			// The library looks at ctx no more while it waits for the answer.
			stop = context.AfterFunc(ctx, func() { c.Close() })
			return wire, nil
		},
		ReadBufferSize:  wsReadBuffer,
		WriteBufferSize: wsWriteBuffer,
		WriteBufferPool: &wsBuffers,
	}
	ws, answer, err := dialer.DialContext(ctx, d.url, d.header)
	if !stop() {
		if err == nil {
			ws.Close()
		}
		return nil, fmt.Errorf("dial %s: %w", d, context.Cause(ctx))
	}
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) && answer != nil {
			err = fmt.Errorf("%w: %s", err, answer.Status)
		}
		return nil, err
	}
	l := newWSLink(ws, wire)
	if t, ok := ws.NetConn().(*tls.Conn); ok {
		state := t.ConnectionState()
		l.tls = &state
	}
	return l, nil
}

// wsBuffers are lent for the time of one message; see framePools.
var wsBuffers sync.Pool

// upgrade answers a request. If it fails, the client has been told.
func upgrade(w http.ResponseWriter, r *http.Request) (Link, error) {
	u := websocket.Upgrader{
		HandshakeTimeout: wsHeaderTimeout,
		ReadBufferSize:   wsReadBuffer,
		WriteBufferSize:  wsWriteBuffer,
		WriteBufferPool:  &wsBuffers,
	}
	ws, err := u.Upgrade(w, r, nil) // checks the Origin as spec mesh-protocol 3.3 asks
	if err != nil {
		return nil, err
	}
	c := ws.NetConn()
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	l := newWSLink(ws, c.(*conn))
	l.tls = r.TLS
	return l, nil
}

// wsLink is a link over a WebSocket: a message is a frame.
type wsLink struct {
	ws     *websocket.Conn
	wire   *conn
	tls    *tls.ConnectionState // nil without TLS
	remote string
	closed atomic.Bool

	writing sync.Mutex             // held by whoever uses ws to write
	pong    atomic.Pointer[string] // the payload of the last ping that is still to be answered
}

func newWSLink(ws *websocket.Conn, wire *conn) *wsLink {
	l := &wsLink{ws: ws, wire: wire, remote: ws.RemoteAddr().String()}
	ws.SetReadLimit(MaxStreamFrame)
	ws.SetPingHandler(func(payload string) error {
		l.pong.Store(&payload)
		l.sendPong()
		return nil
	})
	ws.SetCloseHandler(l.sendClose)
	return l
}

func (l *wsLink) MaxFrame() int      { return MaxStreamFrame }
func (l *wsLink) Lossy() bool        { return false }
func (l *wsLink) RemoteAddr() string { return l.remote }

// TLS implements Secured.
func (l *wsLink) TLS() (tls.ConnectionState, bool) {
	if l.tls == nil {
		return tls.ConnectionState{}, false
	}
	return *l.tls, true
}

// Close implements Link.
func (l *wsLink) Close() error {
	if l.closed.CompareAndSwap(false, true) {
		l.wire.hurry()
		l.ws.Close()
	}
	return nil
}

// ReadFrame implements Link. Text messages are taken like binary ones.
func (l *wsLink) ReadFrame() (*Frame, error) {
	_, r, err := l.ws.NextReader()
	if err != nil {
		return nil, l.ended(err)
	}
	f := NewFrame(MaxStreamFrame)
	n := 0
	for err == nil && n < MaxStreamFrame {
		var m int
		m, err = r.Read(f.Bytes()[n:])
		n += m
	}
	if err != nil && err != io.EOF {
		f.Release()
		return nil, l.ended(err)
	}
	f.Truncate(n)
	if n > frameSizes[0]-prefixLen {
		return f, nil
	}
	small := FrameOf(f.Bytes()) // not to keep a large buffer for a small frame
	f.Release()
	return small, nil
}

// WriteFrames implements Link.
func (l *wsLink) WriteFrames(frames []*Frame) error {
	if err := checkFrames(frames, MaxStreamFrame); err != nil {
		return err
	}
	err := l.write(frames)
	l.sendPong()
	return l.ended(err)
}

func (l *wsLink) write(frames []*Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.wire.cork()
	var err error
	for _, f := range frames {
		if err = l.ws.WriteMessage(websocket.BinaryMessage, f.Bytes()); err != nil {
			break
		}
	}
	if e := l.wire.uncork(); err == nil {
		err = e
	}
	return err
}

// sendPong answers a ping, unless the writer is at work, which then does so
// when it has finished: the reader must not wait for it.
func (l *wsLink) sendPong() {
	for l.pong.Load() != nil && l.writing.TryLock() {
		if p := l.pong.Swap(nil); p != nil {
			// An error is seen by the next write.
			l.ws.WriteControl(websocket.PongMessage, []byte(*p), time.Now().Add(writeTimeout))
		}
		l.writing.Unlock()
	}
}

// sendClose answers the peer's goodbye if that can be done without waiting.
func (l *wsLink) sendClose(int, string) error {
	if l.writing.TryLock() {
		defer l.writing.Unlock()
		l.ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(goodbyeTimeout))
	}
	return nil
}

// ended is ErrClosed if we have closed the link, io.EOF if the peer has, otherwise err.
func (l *wsLink) ended(err error) error {
	switch {
	case err == nil:
		return nil
	case l.closed.Load():
		return ErrClosed
	case websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway,
		websocket.CloseNoStatusReceived):
		return io.EOF
	}
	return err
}
