package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// TCPServer is a way in (section tcp-server): it joins each connection to a TCP
// port with a stream to a service of another node.
type TCPServer struct {
	Address       string      // to listen on, BINDADDR:PORT
	RemoteNode    wire.NodeID // the node that has the service
	RemoteService wire.Service
	// Secure makes a listener that hands out connections which have passed the
	// TLS handshake; nil: the TCP side is in clear.
	Secure    func(net.Listener) net.Listener
	TLSClient *tls.Config // for the stream; nil is the anonymous certificate
}

// Open listens. A nil log discards.
func (c TCPServer) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	ln, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("error listening on TCP: %w", err)
	}
	if c.Secure != nil {
		ln = c.Secure(ln)
	}
	return joined(ln, toMesh(n, c.RemoteNode, c.RemoteService, c.TLSClient),
		named(log).With("node", string(c.RemoteNode), "service", string(c.RemoteService))), nil
}

// TCPClient is a way out (section tcp-client): it offers a stream service,
// advertised as `TCP Proxy`, and joins each stream with a TCP connection.
type TCPClient struct {
	Service   wire.Service
	Address   string      // to connect to, HOST:PORT; looked up for each connection
	TLSServer *tls.Config // for the streams; nil is the anonymous certificate
	TLSClient *tls.Config // for the TCP side; nil is none. It verifies HOST unless it has a name
}

// Open listens on the mesh. A nil log discards.
func (c TCPClient) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	ln, err := n.Listen(mesh.Service{
		Name: c.Service, Advertise: true, TLS: c.TLSServer,
		Tags: map[string]string{"type": "TCP Proxy", "address": c.Address},
	})
	if err != nil {
		return nil, err
	}
	return joined(ln, toTCP(c.Address, c.TLSClient), named(log).With("service", string(c.Service), "address", c.Address)), nil
}

// toMesh dials streams to one service.
func toMesh(n *mesh.Node, node wire.NodeID, service wire.Service, c *tls.Config) dialFunc {
	return func(ctx context.Context) (net.Conn, error) { return n.Dial(ctx, node, service, c) }
}

// toTCP dials one address.
func toTCP(address string, c *tls.Config) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		if c == nil {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
		d := tls.Dialer{Config: c}
		return d.DialContext(ctx, "tcp", address)
	}
}

// joined is the service that joins what ln accepts with what dial opens.
func joined(ln net.Listener, dial dialFunc, log *slog.Logger) *Service {
	log.Debug("listening", "address", ln.Addr().String())
	return &Service{
		addr:  ln.Addr(),
		run:   func(ctx context.Context) error { return serve(ctx, ln, dial, log) },
		close: func() { ln.Close() },
	}
}
