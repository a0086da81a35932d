package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// IPRouter joins the networks of several nodes into one IP network (section
// ip-router): it makes a tun device, tells the mesh which networks are behind
// this node, and has the kernel send packets for those behind other nodes
// through the device. Each IP packet is one packet of the mesh, from and to the
// datagram service that has the name of the network.
//
// The advertisement has the tags `type` = `IP Router`, `network`,
// `route_local` (the network of the device) and `route_0`, `route_1` and so on.
// A packet goes to the nearest node, by path cost, that has its destination in
// one of its routes; the length of the prefix does not matter.
//
// A router that can be reached over the mesh decides where the packets of this
// machine go: whoever is in the mesh can advertise any route, or send packets
// into the device. Routes to networks of our own, to loopback, link-local and
// multicast addresses are ignored.
type IPRouter struct {
	NetworkName wire.Service   // also the name of the service
	Interface   string         // name of the device; empty lets the kernel pick tunN
	LocalNet    netip.Prefix   // IPv4, /30: its second address is ours, the third the other end of the device
	Routes      []netip.Prefix // networks behind this node
}

const (
	ipRouterType = "IP Router"
	// maxIPRoutes is how many routes a network may have; those of the farthest
	// nodes are ignored beyond that.
	maxIPRoutes = 4096
)

// ipNet is the network of an IPRouter that has been checked.
type ipNet struct {
	name          wire.Service
	local         netip.Prefix // of the device
	self, gateway netip.Addr   // the two ends of the device
	routes        []netip.Prefix
}

// parse checks the settings.
func (c IPRouter) parse() (ipNet, error) {
	n := ipNet{name: c.NetworkName}
	if c.NetworkName == "" {
		return n, errors.New("networkname is empty")
	}
	switch {
	case !c.LocalNet.IsValid():
		return n, errors.New("localnet is empty")
	case !c.LocalNet.Addr().Is4():
		return n, fmt.Errorf("local network %v must be IPv4", c.LocalNet)
	case c.LocalNet.Bits() != 30:
		return n, fmt.Errorf("local network %v must be a /30 CIDR", c.LocalNet)
	}
	n.local = c.LocalNet.Masked()
	n.self = n.local.Addr().Next()
	n.gateway = n.self.Next()
	for _, r := range c.Routes {
		if !r.IsValid() {
			return n, errors.New("one of the routes is empty")
		}
		n.routes = append(n.routes, r.Masked())
	}
	return n, nil
}

// service is what the mesh is told.
func (n ipNet) service() mesh.Service {
	tags := map[string]string{"type": ipRouterType, "network": string(n.name), "route_local": n.local.String()}
	for i, r := range n.routes {
		tags["route_"+strconv.Itoa(i)] = r.String()
	}
	return mesh.Service{Name: n.name, Advertise: true, Tags: tags}
}

// ipMember is another node with a router of the same network.
type ipMember struct {
	node   wire.NodeID
	cost   float64
	routes []netip.Prefix
}

// ipTable are the other members that can be reached, the nearest first.
type ipTable []ipMember

// members makes the table from what the node knows now. Equally near nodes
// come in the order of their names.
func (n ipNet) members(s mesh.Status) ipTable {
	var t ipTable
	for _, a := range s.Adverts {
		cost, reachable := s.Costs[a.NodeID]
		if a.NodeID == s.ID || !reachable || a.Tags["type"] != ipRouterType || a.Tags["network"] != string(n.name) {
			continue
		}
		m := ipMember{node: a.NodeID, cost: cost}
		for tag, value := range a.Tags {
			if p, err := netip.ParsePrefix(value); strings.HasPrefix(tag, "route") && err == nil && !n.ignores(p) {
				m.routes = append(m.routes, p.Masked())
			}
		}
		slices.SortFunc(m.routes, netip.Prefix.Compare)
		m.routes = slices.Compact(m.routes)
		t = append(t, m)
	}
	slices.SortStableFunc(t, func(a, b ipMember) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.node, b.node))
	})
	left := maxIPRoutes
	for i := range t {
		t[i].routes = t[i].routes[:min(left, len(t[i].routes))]
		left -= len(t[i].routes)
	}
	return t
}

// ignores tells whether a route of another node would take something away from
// this machine.
func (n ipNet) ignores(p netip.Prefix) bool {
	a := p.Masked().Addr()
	return a.Is4In6() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		inside(n.local, p) || slices.Contains(n.routes, p.Masked())
}

// inside tells whether outer contains all of p.
func inside(outer, p netip.Prefix) bool { return outer.Bits() <= p.Bits() && outer.Contains(p.Addr()) }

func (t ipTable) equal(u ipTable) bool {
	return slices.EqualFunc(t, u, func(a, b ipMember) bool {
		return a.node == b.node && slices.Equal(a.routes, b.routes)
	})
}

// find returns the node that a packet goes to.
func (t ipTable) find(to netip.Addr) (wire.NodeID, bool) {
	for i := range t {
		for _, r := range t[i].routes {
			if r.Contains(to) {
				return t[i].node, true
			}
		}
	}
	return "", false
}

// routes are the routes of all members, each once.
func (t ipTable) routes() map[netip.Prefix]bool {
	all := make(map[netip.Prefix]bool)
	for _, m := range t {
		for _, r := range m.routes {
			all[r] = true
		}
	}
	return all
}

// destination reads where an IP packet goes; ok is false if it is none.
func destination(packet []byte) (to netip.Addr, ok bool) {
	if len(packet) == 0 {
		return to, false
	}
	switch {
	case packet[0]>>4 == 4 && len(packet) >= 20:
		return netip.AddrFrom4([4]byte(packet[16:20])), true
	case packet[0]>>4 == 6 && len(packet) >= 40:
		return netip.AddrFrom16([16]byte(packet[24:40])), true
	}
	return to, false
}
