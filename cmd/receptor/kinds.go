package main

import (
	"path/filepath"

	"github.com/receptor-go/receptor/internal/config"
)

// allKinds are the sections that start and end on their own. A new section of
// that sort has its line here.
func (d *daemon) allKinds() []sections {
	return []sections{
		&kind[config.Listener]{
			stage: d.links, open: d.openListener, holds: listenerHolds,
			list:   func(f *config.File) *[]config.Listener { return &f.Listeners },
			delta:  func(d *config.Difference) config.Delta[config.Listener] { return d.Listeners },
			origin: func(l config.Listener) config.Origin { return l.Origin },
		},
		&kind[config.Peer]{
			stage: d.links, open: d.openPeer, holds: peerHolds,
			list:   func(f *config.File) *[]config.Peer { return &f.Peers },
			delta:  func(d *config.Difference) config.Delta[config.Peer] { return d.Peers },
			origin: func(p config.Peer) config.Origin { return p.Origin },
		},
		&kind[config.TCPServer]{
			stage: d.proxies, open: d.openTCPServer,
			holds:  func(s config.TCPServer) []string { return portHeld("tcp", s.Address) },
			list:   func(f *config.File) *[]config.TCPServer { return &f.TCPServers },
			delta:  func(d *config.Difference) config.Delta[config.TCPServer] { return d.TCPServers },
			origin: func(s config.TCPServer) config.Origin { return s.Origin },
		},
		&kind[config.TCPClient]{
			stage: d.proxies, open: d.openTCPClient,
			holds:  func(s config.TCPClient) []string { return serviceHeld(s.Service) },
			list:   func(f *config.File) *[]config.TCPClient { return &f.TCPClients },
			delta:  func(d *config.Difference) config.Delta[config.TCPClient] { return d.TCPClients },
			origin: func(s config.TCPClient) config.Origin { return s.Origin },
		},
		&kind[config.UDPServer]{
			stage: d.proxies, open: d.openUDPServer,
			holds:  func(s config.UDPServer) []string { return portHeld("udp", s.Address) },
			list:   func(f *config.File) *[]config.UDPServer { return &f.UDPServers },
			delta:  func(d *config.Difference) config.Delta[config.UDPServer] { return d.UDPServers },
			origin: func(s config.UDPServer) config.Origin { return s.Origin },
		},
		&kind[config.UDPClient]{
			stage: d.proxies, open: d.openUDPClient,
			holds:  func(s config.UDPClient) []string { return serviceHeld(s.Service) },
			list:   func(f *config.File) *[]config.UDPClient { return &f.UDPClients },
			delta:  func(d *config.Difference) config.Delta[config.UDPClient] { return d.UDPClients },
			origin: func(s config.UDPClient) config.Origin { return s.Origin },
		},
		&kind[config.UnixServer]{
			stage: d.proxies, open: d.openUnixServer,
			holds:  func(s config.UnixServer) []string { return socketHeld(s.Filename) },
			list:   func(f *config.File) *[]config.UnixServer { return &f.UnixServers },
			delta:  func(d *config.Difference) config.Delta[config.UnixServer] { return d.UnixServers },
			origin: func(s config.UnixServer) config.Origin { return s.Origin },
		},
		&kind[config.UnixClient]{
			stage: d.proxies, open: d.openUnixClient,
			holds:  func(s config.UnixClient) []string { return serviceHeld(s.Service) },
			list:   func(f *config.File) *[]config.UnixClient { return &f.UnixClients },
			delta:  func(d *config.Difference) config.Delta[config.UnixClient] { return d.UnixClients },
			origin: func(s config.UnixClient) config.Origin { return s.Origin },
		},
		&kind[config.CommandService]{
			stage: d.proxies, open: d.openCommandService,
			holds:  func(s config.CommandService) []string { return serviceHeld(s.Service) },
			list:   func(f *config.File) *[]config.CommandService { return &f.CommandServices },
			delta:  func(d *config.Difference) config.Delta[config.CommandService] { return d.CommandServices },
			origin: func(s config.CommandService) config.Origin { return s.Origin },
		},
		&kind[config.IPRouter]{
			stage: d.proxies, open: d.openIPRouter,
			holds:  func(s config.IPRouter) []string { return routerHolds(s) },
			list:   func(f *config.File) *[]config.IPRouter { return &f.IPRouters },
			delta:  func(d *config.Difference) config.Delta[config.IPRouter] { return d.IPRouters },
			origin: func(s config.IPRouter) config.Origin { return s.Origin },
		},
		&kind[config.Metrics]{
			stage: d.control, open: d.openMetrics,
			holds:  func(m config.Metrics) []string { return portHeld("tcp", m.Address) },
			list:   func(f *config.File) *[]config.Metrics { return &f.Metrics },
			delta:  func(d *config.Difference) config.Delta[config.Metrics] { return d.Metrics },
			origin: func(m config.Metrics) config.Origin { return m.Origin },
		},
		&kind[config.ControlService]{
			stage: d.control, open: d.openControl, holds: controlHolds,
			list:   func(f *config.File) *[]config.ControlService { return &f.ControlServices },
			delta:  func(d *config.Difference) config.Delta[config.ControlService] { return d.ControlServices },
			origin: func(c config.ControlService) config.Origin { return c.Origin },
		},
	}
}

// serviceHeld is a name on the mesh.
func serviceHeld(name string) []string { return []string{"service " + name} }

// socketHeld is a Unix socket.
func socketHeld(filename string) []string { return []string{"socket " + filepath.Clean(filename)} }

// routerHolds are the name on the mesh, the device and its network.
func routerHolds(r config.IPRouter) []string {
	held := append(serviceHeld(r.NetworkName), "network "+r.LocalNet.Masked().String())
	if r.Interface != "" {
		held = append(held, "device "+r.Interface)
	}
	return held
}
