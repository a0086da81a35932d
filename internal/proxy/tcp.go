package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// ServeIn is a way in: it joins each connection that ln accepts with a stream
// to a service of another node. For TLS on the local side ln is a TLS listener;
// tlsClient, which may be nil, is for the stream. A nil log discards.
//
// It owns ln. It returns nil when ctx has ended, and with it all connections,
// or an error if ln was closed by somebody else.
func ServeIn(ctx context.Context, n *mesh.Node, ln net.Listener, node wire.NodeID, service wire.Service,
	tlsClient *tls.Config, log *slog.Logger,
) error {
	dial := func(ctx context.Context) (net.Conn, error) { return n.Dial(ctx, node, service, tlsClient) }
	return serve(ctx, ln, dial, named(log).With("node", string(node), "service", string(service)))
}

// ServeOut is a way out: it joins each stream that ln, a listener of the mesh,
// accepts with a TCP connection to address, HOST:PORT. tlsClient, if not nil,
// is for that connection; the name it verifies is HOST unless it has one. A
// nil log discards.
//
// It owns ln. It returns nil when ctx has ended, and with it all connections,
// or an error if ln was closed by somebody else.
func ServeOut(ctx context.Context, ln net.Listener, address string, tlsClient *tls.Config, log *slog.Logger) error {
	dial := func(ctx context.Context) (net.Conn, error) { return dialTCP(ctx, address, tlsClient) }
	return serve(ctx, ln, dial, named(log).With("address", address))
}

// TCPService describes the mesh service of a way out, to be given to Listen of
// the node: advertised as `TCP Proxy`, with the address. tlsServer is for the
// streams; nil is the anonymous certificate.
func TCPService(name wire.Service, address string, tlsServer *tls.Config) mesh.Service {
	return mesh.Service{
		Name:      name,
		Advertise: true,
		Tags:      map[string]string{"type": "TCP Proxy", "address": address},
		TLS:       tlsServer,
	}
}

func dialTCP(ctx context.Context, address string, c *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if c == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	d := tls.Dialer{Config: c}
	return d.DialContext(ctx, "tcp", address)
}

func named(log *slog.Logger) *slog.Logger {
	return cmp.Or(log, slog.New(slog.DiscardHandler))
}
