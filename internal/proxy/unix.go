package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/unixsocket"
)

// UnixServer is a way in (section unix-socket-server): it joins each connection
// to a Unix socket with a stream to a service of another node.
type UnixServer struct {
	Filename      string      // FILENAME.lock is held beside it
	Permissions   os.FileMode // of the socket
	RemoteNode    wire.NodeID // the node that has the service
	RemoteService wire.Service
	TLS           *tls.Config // for the stream; nil is the anonymous certificate
}

// Open listens; see package unixsocket for what it does about files that are
// there already. A nil log discards.
func (c UnixServer) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	ln, err := unixsocket.Listen(c.Filename, c.Permissions)
	if err != nil {
		return nil, err
	}
	return joined(ln, toMesh(n, c.RemoteNode, c.RemoteService, c.TLS),
		named(log).With("node", string(c.RemoteNode), "service", string(c.RemoteService))), nil
}

// UnixClient is a way out (section unix-socket-client): it offers a stream
// service, advertised as `Unix Proxy`, and joins each stream with a connection
// to a Unix socket.
type UnixClient struct {
	Service  wire.Service
	Filename string      // looked at for each connection, not before
	TLS      *tls.Config // for the streams; nil is the anonymous certificate
}

// Open listens on the mesh. A nil log discards.
func (c UnixClient) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	ln, err := n.Listen(mesh.Service{
		Name: c.Service, Advertise: true, TLS: c.TLS,
		Tags: map[string]string{"type": "Unix Proxy", "filename": c.Filename},
	})
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		var d net.Dialer
		return d.DialContext(ctx, "unix", c.Filename)
	}
	return joined(ln, dial, named(log).With("service", string(c.Service), "filename", c.Filename)), nil
}
