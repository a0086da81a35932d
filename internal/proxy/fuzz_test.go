package proxy

import (
	"net/netip"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// FuzzDestination: whatever comes out of the device of an IP router.
func FuzzDestination(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45})
	f.Add([]byte("\x45\x00\x00\x14\x00\x00\x00\x00\x40\x01\x00\x00\x0a\x00\x00\x01\x0a\x00\x01\x01"))
	f.Add(append([]byte{0x60}, make([]byte, 39)...))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if to, ok := destination(packet); ok && (!to.IsValid() || len(packet) < 20) {
			t.Errorf("%x goes to %v", packet, to)
		}
	})
}

// FuzzIPTable: whatever other nodes advertise, routes that would take something away
// from this machine are none, and there are not too many.
func FuzzIPTable(f *testing.F) {
	for _, s := range []string{
		"10.1.0.0/16", "0.0.0.0/0", "127.0.0.1/8", "10.0.0.1/32", "192.168.1.0/24", "192.168.1.7/24", "::ffff:10.0.0.0/104", "fe80::1%eth0/64", "fe80::/10", "224.0.0.0/4",
		"2001:db8::/129", "10.1.0.0/-1", "10.1.0.0/016", "", "/", "::/0",
	} {
		f.Add("route_0", s, "route_1", "10.2.0.0/16", "10.2.3.4")
		f.Add("route", "10.0.0.0/8", "routes", s, "2001:db8::1")
	}
	n, err := IPRouter{NetworkName: "net", LocalNet: prefix("10.0.0.0/30"), Routes: prefixes("192.168.1.0/24")}.parse()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, tag1, value1, tag2, value2, to string) {
		tags := map[string]string{tag1: value1, tag2: value2}
		tags["type"], tags["network"] = ipRouterType, "net"
		table := n.members(mesh.Status{ID: "us", Costs: map[wire.NodeID]float64{"a": 1, "us": 0}, Adverts: []wire.Advert{
			{NodeID: "a", Tags: tags}, {NodeID: "us", Tags: tags}, {NodeID: "far", Tags: tags},
		}})
		if len(table) != 1 || table[0].node != "a" || len(table[0].routes) > 2 {
			t.Fatalf("%+v", table)
		}
		for _, r := range table[0].routes {
			if !r.IsValid() || r != r.Masked() || n.ignores(r) || r.Addr().IsLoopback() || r.Addr().IsMulticast() || r.Addr().Zone() != "" || r == n.routes[0] {
				t.Errorf("route %v of %q", r, tags)
			}
		}
		if addr, err := netip.ParseAddr(to); err == nil {
			if node, ok := table.find(addr); ok && node != "a" {
				t.Errorf("%v goes to %q", addr, node)
			}
		}
	})
}
