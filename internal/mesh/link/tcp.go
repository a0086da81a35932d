package link

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// dialTimeout bounds the dial of a TCP or WebSocket link, handshakes included,
// and tlsTimeout the TLS handshake of an accepted one (spec mesh-protocol 1).
const (
	dialTimeout = 15 * time.Second
	tlsTimeout  = 15 * time.Second
)

// DialTCP returns a dialer to HOST:PORT. With a TLS configuration the server
// name that is sent and verified is HOST unless the configuration has one. The
// address is resolved at each dial.
func DialTCP(addr string, c *tls.Config) Dialer {
	return &tcpDialer{addr, withServerName(fastRecords(c), addr)}
}

type tcpDialer struct {
	addr string
	tls  *tls.Config
}

func (d *tcpDialer) String() string { return "tcp " + d.addr }

func (d *tcpDialer) Dial(ctx context.Context) (Link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	if d.tls == nil {
		return newTCPLink(c), nil
	}
	wire := newConn(c)
	secure := tls.Client(wire, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return newTLSLink(secure, wire), nil
}

// ListenTCP listens on HOST:PORT. With a TLS configuration all links speak
// TLS; the handshake of an accepted link happens in its first read or write
// and fails after 15 s, so that a slow client delays nobody else.
func ListenTCP(addr string, c *tls.Config) (Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &tcpListener{ln, fastRecords(c)}, nil
}

type tcpListener struct {
	ln  net.Listener
	tls *tls.Config
}

func (l *tcpListener) Addr() string { return l.ln.Addr().String() }

func (l *tcpListener) Close() error {
	l.ln.Close() // its only error is that it is closed
	return nil
}

func (l *tcpListener) Accept() (Link, error) {
	c, err := l.ln.Accept()
	if err != nil {
		return nil, err
	}
	if l.tls == nil {
		return newTCPLink(c), nil
	}
	wire := newConn(c)
	return newTLSLink(tls.Server(wire, l.tls), wire), nil
}

// fastRecords is a copy of c, or nil, that fills TLS records from the start.
func fastRecords(c *tls.Config) *tls.Config {
	return changed(c, func(c *tls.Config) { c.DynamicRecordSizingDisabled = true })
}

// changed is a copy of c, or nil, with a change, which what it chooses for a client has, too.
func changed(c *tls.Config, change func(*tls.Config)) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	change(c)
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return chosen, err
			}
			chosen = chosen.Clone()
			change(chosen)
			return chosen, nil
		}
	}
	return c
}

// withServerName gives c, which may be nil and is otherwise changed, the host
// part of addr as the name to verify, unless it has one.
func withServerName(c *tls.Config, addr string) *tls.Config {
	if c == nil || c.ServerName != "" {
		return c
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr // the dial will say what is wrong with it
	}
	c.ServerName = host
	return c
}
