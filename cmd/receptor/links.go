package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/proxy"
)

// tlsClient finds a `tls-client` entry: none can be configured yet.
func tlsClient(name string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	return nil, fmt.Errorf("unknown TLS config %s", name)
}

// startLinks binds all listeners, then keeps all peers dialled.
func (d *daemon) startLinks() error {
	for _, l := range d.cfg.Listeners {
		ln, err := listen(l)
		if err != nil {
			return at(l.Origin, err)
		}
		d.log.Debug("listening", "link", transportName(l.Transport), "address", ln.Addr(), "path", l.Path)
		policy := mesh.LinkPolicy{Cost: l.Cost, NodeCost: nodeCosts(l.NodeCost), AllowedPeers: nodeIDs(l.AllowedPeers)}
		d.links.run(func(ctx context.Context) error { return d.node.ServeLinks(ctx, ln, policy) })
	}
	for _, p := range d.cfg.Peers {
		dialer, err := dialer(p)
		if err != nil {
			return at(p.Origin, err)
		}
		d.log.Debug("dialling", "link", transportName(p.Transport), "address", p.Address)
		policy := mesh.LinkPolicy{Cost: p.Cost, AllowedPeers: nodeIDs(p.AllowedPeers)}
		d.links.run(func(ctx context.Context) error {
			// Without redial the end of the link is no failure of the daemon.
			_ = d.node.KeepLink(ctx, dialer, policy, p.Redial)
			return nil
		})
	}
	return nil
}

func listen(l config.Listener) (link.Listener, error) {
	switch l.Transport {
	case config.UDP:
		return link.ListenUDP(l.Address)
	case config.WebSocket:
		return link.ListenWebSocket(l.Address, l.Path, nil)
	default:
		return link.ListenTCP(l.Address, nil)
	}
}

func dialer(p config.Peer) (link.Dialer, error) {
	switch p.Transport {
	case config.UDP:
		return link.DialUDP(p.Address)
	case config.WebSocket:
		return link.DialWebSocket(p.Address, link.WebSocketOptions{Header: p.ExtraHeader})
	default:
		return link.DialTCP(p.Address, nil), nil
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

// startProxies opens what is offered over the mesh besides work.
func (d *daemon) startProxies() error {
	for _, s := range d.cfg.TCPServers {
		ln, err := net.Listen("tcp", s.Address)
		if err != nil {
			return at(s.Origin, fmt.Errorf("error listening on TCP: %w", err))
		}
		d.proxies.run(func(ctx context.Context) error {
			return proxy.ServeIn(ctx, d.node, ln, wire.NodeID(s.RemoteNode), wire.Service(s.RemoteService), nil, d.log)
		})
	}
	for _, c := range d.cfg.TCPClients {
		ln, err := d.node.Listen(proxy.TCPService(wire.Service(c.Service), c.Address, nil))
		if err != nil {
			return at(c.Origin, err)
		}
		d.proxies.run(func(ctx context.Context) error { return proxy.ServeOut(ctx, ln, c.Address, nil, d.log) })
	}
	return nil
}
