package main

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// openListener binds a listener of links.
func (d *daemon) openListener(l config.Listener) (opened, error) {
	policy := mesh.LinkPolicy{Cost: l.Cost, NodeCost: nodeCosts(l.NodeCost), AllowedPeers: nodeIDs(l.AllowedPeers)}
	var tlsc *tls.Config
	if l.TLS != "" {
		server, err := d.tlsServer(l.TLS)
		if err != nil {
			return opened{}, err
		}
		tlsc, policy.Verify = server.Link(), neighbourCheck(server.CheckNeighbour)
	}
	ln, err := d.listen(l, tlsc)
	if err != nil {
		if l.Transport == config.UDP {
			d.log.Error("listener failed", "address", l.Address, "err", err)
		}
		return opened{}, err
	}
	return opened{
		run:   []func(context.Context) error{func(ctx context.Context) error { return d.node.ServeLinks(ctx, ln, policy) }},
		close: func() { ln.Close() },
		ready: func() {
			d.log.Debug("listening", "link", transportName(l.Transport), "address", ln.Addr(), "path", l.Path)
		},
	}, nil
}

// listenerHolds is the port: whatever address it is bound to.
func listenerHolds(l config.Listener) []string {
	network := "tcp"
	if l.Transport == config.UDP {
		network = "udp"
	}
	return portHeld(network, l.Address)
}

// portHeld is the port of an address, unless the system picks it.
func portHeld(network, address string) []string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return nil
	}
	return []string{network + " port " + port}
}

// openPeer makes what keeps a link dialled.
func (d *daemon) openPeer(p config.Peer) (opened, error) {
	policy := mesh.LinkPolicy{Cost: p.Cost, AllowedPeers: nodeIDs(p.AllowedPeers)}
	var tlsc *tls.Config
	if p.TLS != "" && (p.Transport == config.TCP || isSecure(p.Address)) {
		client, err := d.tlsClient(p.TLS)
		if err != nil {
			return opened{}, err
		}
		tlsc, policy.Verify = client.Host(hostOf(p.Address)), neighbourCheck(client.CheckNeighbour)
	}
	dialer, err := dialer(p, tlsc)
	if err != nil {
		return opened{}, err
	}
	return opened{
		run: []func(context.Context) error{func(ctx context.Context) error {
			// Without redial the end of the link is no failure of the daemon.
			_ = d.node.KeepLink(ctx, dialer, policy, p.Redial)
			return nil
		}},
		ready: func() {
			d.log.Debug("dialling", "link", transportName(p.Transport), "address", config.Redacted(p.Address))
		},
	}, nil
}

// peerHolds is the address: there are no two links to one node.
func peerHolds(p config.Peer) []string { return []string{"peer " + p.Address} }

func (d *daemon) listen(l config.Listener, tlsc *tls.Config) (link.Listener, error) {
	switch l.Transport {
	case config.UDP:
		return link.ListenUDP(l.Address)
	case config.WebSocket:
		return link.ListenWebSocket(l.Address, l.Path, tlsc, httpProblems(d.log))
	default:
		return link.ListenTCP(l.Address, tlsc)
	}
}

func dialer(p config.Peer, tlsc *tls.Config) (link.Dialer, error) {
	switch p.Transport {
	case config.UDP:
		return link.DialUDP(p.Address)
	case config.WebSocket:
		return link.DialWebSocket(p.Address, link.WebSocketOptions{TLS: tlsc, Header: p.ExtraHeader})
	default:
		return link.DialTCP(p.Address, tlsc), nil
	}
}

// transportName is how log lines name a transport.
func transportName(t config.Transport) string {
	if t == config.WebSocket {
		return "websocket"
	}
	return string(t)
}

func nodeIDs(ids []string) []wire.NodeID {
	if ids == nil {
		return nil // everyone; an empty list is nobody
	}
	out := make([]wire.NodeID, len(ids))
	for i, id := range ids {
		out[i] = wire.NodeID(id)
	}
	return out
}

func nodeCosts(costs map[string]float64) map[wire.NodeID]float64 {
	out := make(map[wire.NodeID]float64, len(costs))
	for id, cost := range costs {
		out[wire.NodeID(id)] = cost
	}
	return out
}
