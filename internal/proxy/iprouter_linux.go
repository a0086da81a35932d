package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

const (
	tunDevice = "/dev/net/tun"
	// lookInterval is how soon a change in the mesh shows in the kernel's routes.
	lookInterval = time.Second
	// syncInterval is how soon a change that others make there is undone (spec
	// mesh-protocol 14).
	syncInterval = 10 * time.Second
	maxIPPacket  = 65535
	maxFound     = 4096 // destinations whose node is remembered
)

// Open makes the device, which needs CAP_NET_ADMIN, and listens on the mesh.
// Run and Close remove the device, and so its routes. A nil log discards.
func (c IPRouter) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	network, err := c.parse()
	if err != nil {
		return nil, err
	}
	tun, name, err := openTun(c.Interface)
	if err != nil {
		return nil, err
	}
	r := &ipRouter{node: n, net: network, tun: tun}
	if err := r.configure(name); err != nil {
		r.close()
		return nil, fmt.Errorf("set up device %s: %w", name, err)
	}
	if r.conn, err = n.ListenPacket(network.service()); err != nil {
		r.close()
		return nil, err
	}
	r.log = named(log).With("service", string(c.NetworkName), "device", name)
	r.out = &reporter{log: r.log, bad: "packets to the mesh are dropped", good: "packets to the mesh pass again", every: packetReports}
	r.in = &reporter{log: r.log, bad: "packets from the mesh are dropped", good: "packets from the mesh pass again", every: packetReports}
	r.sync = &reporter{log: r.log, bad: "routes cannot be set", good: "routes are set again"}
	r.log.Info("ip router is up", "address", network.self.String())
	return &Service{run: r.run, close: r.close, addr: r.conn.LocalAddr()}, nil
}

// openTun makes a device that takes and gives bare IP packets, and lives as
// long as the file. An empty name lets the kernel pick one.
func openTun(name string) (*os.File, string, error) {
	if len(name) >= unix.IFNAMSIZ {
		return nil, "", fmt.Errorf("interface %s: the name is longer than %d bytes", name, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return nil, "", fmt.Errorf("open %s: %w (load the kernel module tun, or give the device to the container)", tunDevice, err)
	case err != nil:
		return nil, "", fmt.Errorf("open %s: %w", tunDevice, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w (run as root, or with CAP_NET_ADMIN)", err)
		}
		return nil, "", fmt.Errorf("make tun device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), tunDevice), req.Name(), nil
}

type ipRouter struct {
	node  *mesh.Node
	net   ipNet
	tun   *os.File
	link  int             // index of the device
	nl    *netlink.Handle // used by one goroutine at a time
	conn  mesh.PacketConn
	table atomic.Pointer[ipTable]
	log   *slog.Logger

	out, in, sync *reporter
}

// configure gives the device its addresses and switches it on.
func (r *ipRouter) configure(name string) error {
	var err error
	if r.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	l, err := r.nl.LinkByName(name)
	if err != nil {
		return err
	}
	r.link = l.Attrs().Index
	err = r.nl.AddrAdd(l, &netlink.Addr{IPNet: host(r.net.self), Peer: host(r.net.gateway)})
	if err != nil {
		return fmt.Errorf("address %v: %w", r.net.self, err)
	}
	return r.nl.LinkSetUp(l)
}

// host is an address as a network of its own.
func host(a netip.Addr) *net.IPNet { return ipNetOf(netip.PrefixFrom(a, a.BitLen())) }

func ipNetOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (r *ipRouter) close() {
	r.tun.Close()
	if r.nl != nil {
		r.nl.Close()
	}
	if r.conn != nil {
		r.conn.Close()
	}
}

func (r *ipRouter) run(ctx context.Context) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.close()
	r.table.Store(&ipTable{})
	faults := make(chan error, 2)
	var parts sync.WaitGroup
	for _, part := range []func() error{r.toMesh, r.fromMesh} {
		// Ends when device and service are closed below; if it cannot go on
		// before that, neither can the rest.
		parts.Go(func() {
			err := part()
			if within.Err() == nil {
				faults <- err
			}
			cancel()
		})
	}
	r.keepRoutes(within)
	r.tun.Close()
	r.conn.Close()
	parts.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return <-faults // keepRoutes ends before ctx for no other cause
}

// toMesh sends what the kernel gives to the device.
func (r *ipRouter) toMesh() error {
	buf := make([]byte, maxIPPacket)
	table := r.table.Load()
	found := make(map[netip.Addr]wire.NodeID)
	for {
		n, err := r.tun.Read(buf)
		if err != nil {
			return fmt.Errorf("ip router: read from the tun device: %w", err)
		}
		to, ok := destination(buf[:n])
		if !ok {
			continue
		}
		if now := r.table.Load(); now != table {
			table = now
			clear(found)
		}
		node, ok := found[to]
		if !ok {
			if node, ok = table.find(to); !ok {
				continue // multicast, or a route that has just gone
			}
			if len(found) >= maxFound {
				clear(found)
			}
			found[to] = node
		}
		_, err = r.conn.WriteTo(buf[:n], mesh.Addr{Node: node, Service: r.net.name})
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("ip router: send: %w", err)
		}
		r.out.report(err)
	}
}

// fromMesh gives the kernel what other nodes send.
func (r *ipRouter) fromMesh() error {
	for {
		err := r.conn.Receive(func(packet []byte, _ mesh.Addr) {
			if _, ok := destination(packet); !ok {
				return // no IP packet
			}
			_, err := r.tun.Write(packet)
			if !errors.Is(err, os.ErrClosed) {
				r.in.report(err)
			}
		})
		if err != nil {
			return fmt.Errorf("ip router: receive: %w", err)
		}
	}
}

// keepRoutes makes the routes of the kernel follow the mesh until ctx ends.
func (r *ipRouter) keepRoutes(ctx context.Context) {
	var synced time.Time
	for ctx.Err() == nil {
		t := r.net.members(r.node.Status())
		changed := !t.equal(*r.table.Load())
		if changed {
			r.table.Store(&t)
			for _, m := range t {
				r.log.Info("ip routes", "node", string(m.node), "routes", m.routes)
			}
		}
		if changed || time.Since(synced) >= syncInterval {
			r.sync.report(r.setRoutes(t.routes()))
			synced = time.Now()
		}
		wait(ctx, lookInterval)
	}
}

// setRoutes makes the kernel's routes through the device those that are wanted.
// What stands in the network of the device, or is link-local, is the kernel's.
func (r *ipRouter) setRoutes(wanted map[netip.Prefix]bool) error {
	filter := &netlink.Route{LinkIndex: r.link, Table: unix.RT_TABLE_MAIN}
	var problems []error
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		have, err := r.nl.RouteListFiltered(family, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for i := range have {
			p := prefixOf(&have[i])
			switch {
			case wanted[p]:
				delete(wanted, p)
			case inside(r.net.local, p), p.Addr().IsLinkLocalUnicast(), p.Addr().IsMulticast():
			default:
				if err := r.nl.RouteDel(&have[i]); err != nil && !errors.Is(err, unix.ESRCH) {
					problems = append(problems, fmt.Errorf("remove route %v: %w", p, err))
				}
			}
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(wanted), netip.Prefix.Compare) {
		route := &netlink.Route{LinkIndex: r.link, Dst: ipNetOf(p)}
		if p.Addr().Is4() {
			route.Gw = r.net.gateway.AsSlice()
		}
		if err := r.nl.RouteAdd(route); err != nil {
			problems = append(problems, fmt.Errorf("add route %v: %w", p, err))
		}
	}
	return errors.Join(problems...)
}

// prefixOf is the destination of a route.
func prefixOf(r *netlink.Route) netip.Prefix {
	if r.Dst == nil {
		if r.Family == netlink.FAMILY_V6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(r.Dst.IP)
	if r.Family == netlink.FAMILY_V4 {
		a = a.Unmap()
	}
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(a, ones)
}
