package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/proxy"
)

// openTCPServer binds a local port whose connections go to another node.
func (d *daemon) openTCPServer(s config.TCPServer) (opened, error) {
	local, err := d.tcpServerTLS(s.TLSServer)
	if err != nil {
		return opened{}, err
	}
	remote, err := d.meshClientTLS(s.TLSClient, s.RemoteNode)
	if err != nil {
		return opened{}, err
	}
	server := proxy.TCPServer{
		Address: s.Address, RemoteNode: wire.NodeID(s.RemoteNode), RemoteService: wire.Service(s.RemoteService), TLSClient: remote,
	}
	if local != nil {
		server.Secure = func(ln net.Listener) net.Listener { return pki.Listen(ln, local, d.log) }
	}
	return d.openService(server)
}

// openTCPClient takes the name of a service whose connections go to an address.
func (d *daemon) openTCPClient(c config.TCPClient) (opened, error) {
	local, err := d.meshServerTLS(c.TLSServer)
	if err != nil {
		return opened{}, err
	}
	remote, err := d.tcpClientTLS(c.TLSClient, c.Address)
	if err != nil {
		return opened{}, err
	}
	return d.openService(proxy.TCPClient{Service: wire.Service(c.Service), Address: c.Address, TLSServer: local, TLSClient: remote})
}

// openUDPServer binds a local port whose datagrams go to another node.
func (d *daemon) openUDPServer(s config.UDPServer) (opened, error) {
	return d.openService(proxy.UDPServer{
		Address: s.Address, RemoteNode: wire.NodeID(s.RemoteNode), RemoteService: wire.Service(s.RemoteService),
	})
}

// openUDPClient takes the name of a service whose datagrams go to an address.
func (d *daemon) openUDPClient(c config.UDPClient) (opened, error) {
	return d.openService(proxy.UDPClient{Service: wire.Service(c.Service), Address: c.Address})
}

// openUnixServer binds a socket whose connections go to another node.
func (d *daemon) openUnixServer(s config.UnixServer) (opened, error) {
	tlsc, err := d.meshClientTLS(s.TLS, s.RemoteNode)
	if err != nil {
		return opened{}, err
	}
	return d.openService(proxy.UnixServer{
		Filename: s.Filename, Permissions: s.Permissions, TLS: tlsc,
		RemoteNode: wire.NodeID(s.RemoteNode), RemoteService: wire.Service(s.RemoteService),
	})
}

// openUnixClient takes the name of a service whose connections go to a socket.
func (d *daemon) openUnixClient(c config.UnixClient) (opened, error) {
	tlsc, err := d.meshServerTLS(c.TLS)
	if err != nil {
		return opened{}, err
	}
	return d.openService(proxy.UnixClient{Service: wire.Service(c.Service), Filename: c.Filename, TLS: tlsc})
}

// openCommandService takes the name of a service that runs commands.
func (d *daemon) openCommandService(c config.CommandService) (opened, error) {
	tlsc, err := d.meshServerTLS(c.TLS)
	if err != nil {
		return opened{}, err
	}
	o, err := d.openService(proxy.CommandService{Service: wire.Service(c.Service), Command: c.Command, TLS: tlsc})
	o.ready = func() {
		d.log.Info("command service running", "service", c.Service, "command", c.Command, "tls", c.TLS)
	}
	return o, err
}

// openIPRouter makes a tun device and takes the name of the network.
func (d *daemon) openIPRouter(r config.IPRouter) (opened, error) {
	return d.openService(proxy.IPRouter{
		NetworkName: wire.Service(r.NetworkName), Interface: r.Interface, LocalNet: r.LocalNet, Routes: r.Routes,
	})
}

// openService opens what is offered over the mesh besides work.
func (d *daemon) openService(c interface {
	Open(*mesh.Node, *slog.Logger) (*proxy.Service, error)
},
) (opened, error) {
	s, err := c.Open(d.node, d.log)
	if err != nil {
		return opened{}, err
	}
	return opened{run: []func(context.Context) error{s.Run}, close: s.Close}, nil
}
