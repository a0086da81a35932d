package mesh

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Listen offers a stream service (spec mesh-protocol 12). Accept returns
// connections with a CloseWrite() error method, whose RemoteAddr is an Addr.
// They outlive the listener: its Close frees the service for new listeners,
// not the connections.
func (n *Node) Listen(s Service) (net.Listener, error) {
	return n.streams.listen(s)
}

// Dial opens a stream to a service. tlsc is nil for a service without TLS. The
// first stream to a service costs a handshake; between two nodes of ours later
// ones with the same tlsc, compared by address, share its session. ctx bounds
// the opening alone.
//
// The error tells at once why it failed, where that is known: ErrNoRoute,
// ErrNoConnection, ErrServiceUnknown, ErrBlocked, ErrExpired, a *TLSError;
// else ErrTimeout after 15 s, or the cause of ctx.
func (n *Node) Dial(ctx context.Context, node wire.NodeID, service wire.Service, tlsc *tls.Config) (net.Conn, error) {
	c, err := n.streams.dial(ctx, node, service, tlsc)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", Addr{node, service}, err)
	}
	return c, nil
}

// Ours tells whether a connection made by Dial or Listen joins two nodes of
// ours (ALPN receptor/2).
func Ours(c net.Conn) bool {
	s, ok := c.(*streamConn)
	return ok && s.session.ours
}
