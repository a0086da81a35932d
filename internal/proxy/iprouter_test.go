package proxy

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, prefix(s))
	}
	return all
}

// TestIPRouterConfig holds the texts that operators know, and the tags.
func TestIPRouterConfig(t *testing.T) {
	for _, bad := range []struct {
		c    IPRouter
		want string
	}{
		{IPRouter{LocalNet: prefix("10.0.0.0/30")}, "networkname is empty"},
		{IPRouter{NetworkName: "n"}, "localnet is empty"},
		{IPRouter{NetworkName: "n", LocalNet: prefix("10.0.0.0/24")}, "local network 10.0.0.0/24 must be a /30 CIDR"},
		{IPRouter{NetworkName: "n", LocalNet: prefix("fd00::/30")}, "local network fd00::/30 must be IPv4"},
		{IPRouter{NetworkName: "n", LocalNet: prefix("10.0.0.0/30"), Routes: make([]netip.Prefix, 1)}, "one of the routes is empty"},
	} {
		if _, err := bad.c.parse(); err == nil || err.Error() != bad.want {
			t.Errorf("%+v: %v, want %s", bad.c, err, bad.want)
		}
	}
	n, err := IPRouter{NetworkName: "net1", LocalNet: prefix("10.77.0.2/30"), Routes: prefixes("192.0.2.7/24", "2001:db8::/64")}.parse()
	if err != nil || n.self != netip.MustParseAddr("10.77.0.1") || n.gateway != netip.MustParseAddr("10.77.0.2") {
		t.Errorf("%+v, %v", n, err)
	}
	s := n.service()
	want := "map[network:net1 route_0:192.0.2.0/24 route_1:2001:db8::/64 route_local:10.77.0.0/30 type:IP Router]"
	if s.Name != "net1" || !s.Advertise || fmt.Sprint(s.Tags) != want {
		t.Errorf("service %+v, want tags %s", s, want)
	}
}

// TestIPTable: whose routes count, and which node a packet goes to.
func TestIPTable(t *testing.T) {
	n, err := IPRouter{NetworkName: "net", LocalNet: prefix("10.0.0.0/30"), Routes: prefixes("192.168.1.0/24")}.parse()
	if err != nil {
		t.Fatal(err)
	}
	advert := func(node wire.NodeID, typ, network string, routes ...string) wire.Advert {
		tags := map[string]string{"type": typ, "network": network}
		for i, r := range routes {
			tags[fmt.Sprintf("route_%d", i)] = r
		}
		return wire.Advert{NodeID: node, Tags: tags}
	}
	s := mesh.Status{
		ID:    "self",
		Costs: map[wire.NodeID]float64{"self": 0, "near": 1, "far": 2, "also": 2, "bad": 1},
		Adverts: []wire.Advert{
			advert("far", ipRouterType, "net", "10.0.1.0/30", "172.16.0.0/16", "fd00::1/64", "172.16.3.4/16"),
			advert("also", ipRouterType, "net", "172.16.0.0/12"),
			advert("near", ipRouterType, "net", "172.16.0.0/12"),
			advert("self", ipRouterType, "net", "10.9.0.0/16"),
			advert("gone", ipRouterType, "net", "10.10.0.0/16"),
			advert("near", ipRouterType, "other", "10.11.0.0/16"),
			advert("near", "TCP Proxy", "net", "10.12.0.0/16"),
			advert("bad", ipRouterType, "net", "nonsense", "192.168.1.7/24", "10.0.0.1/32", "127.0.0.0/8", "fe80::/64", "ff00::/8", "224.0.0.0/4"),
		},
	}
	table := n.members(s)
	for to, want := range map[string]wire.NodeID{
		"172.16.1.1": "near", "172.17.1.1": "near", "10.0.1.1": "far", "fd00::5": "far",
		"10.9.0.1": "", "10.10.0.1": "", "10.11.0.1": "", "10.12.0.1": "", "192.168.1.7": "", "10.0.0.1": "",
		"127.0.0.1": "", "fe80::1": "", "ff02::1": "", "8.8.8.8": "",
	} {
		if got, ok := table.find(netip.MustParseAddr(to)); got != want || ok != (want != "") {
			t.Errorf("packets to %s go to %q, want %q", to, got, want)
		}
	}
	if got := len(table.routes()); got != 4 {
		t.Errorf("%d routes: %v", got, table.routes())
	}
	if !table.equal(n.members(s)) {
		t.Error("the same status gives another table")
	}
	s.Costs["near"] = 3
	if again := n.members(s); table.equal(again) || again[0].node != "bad" || again[1].node != "also" {
		t.Errorf("with another cost: %v", again)
	}
	many := advert("near", ipRouterType, "net")
	for i := range maxIPRoutes + 1 {
		many.Tags[fmt.Sprintf("route_%d", i)] = fmt.Sprintf("11.%d.%d.0/24", i/256, i%256)
	}
	if got := n.members(mesh.Status{ID: "self", Costs: s.Costs, Adverts: []wire.Advert{many}}); len(got[0].routes) != maxIPRoutes {
		t.Errorf("%d routes, want the bound", len(got[0].routes))
	}
}

// TestDestination: packets that are none are dropped (weakness of ip_router.go).
func TestDestination(t *testing.T) {
	v4 := "45000014000000004001" + "0000" + "0a000001" + "0a000101"
	v6 := "6000000000003a40" + "fd000000000000000000000000000001" + "fd000000000000000000000000000002"
	for _, c := range []struct{ packet, want string }{
		{v4, "10.0.1.1"},
		{v6, "fd00::2"},
		{v4[:38], ""},
		{v6[:78], ""},
		{"", ""},
		{"45", ""},
		{strings.Repeat("00", 40), ""},
		{strings.Repeat("ff", 40), ""},
	} {
		b, err := hex.DecodeString(c.packet)
		if err != nil {
			t.Fatal(err)
		}
		to, ok := destination(b)
		if ok != (c.want != "") || ok && to.String() != c.want {
			t.Errorf("packet %s goes to %v, %v; want %q", c.packet, to, ok, c.want)
		}
	}
}
