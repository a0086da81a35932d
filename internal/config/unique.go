package config

import (
	"fmt"
	"path/filepath"
	"unicode"
	"unicode/utf8"
)

// taken finds two sections that want the same thing.
type taken struct {
	c  *checker
	by map[string]Origin
}

// claim notes that a key of a section wants something that only one may have.
func (t taken) claim(o Origin, key, what, problem string) {
	if o.failed[key] {
		return
	}
	if first, twice := t.by[what]; twice {
		t.c.wrong(o, key, fmt.Sprintf("see section %q at %v", first.Section, first), "%s", problem)
		return
	}
	t.by[what] = o
}

// addresses checks what is listened on, over all sections: services of the
// mesh, Unix sockets, and ports.
func (c *checker) addresses() {
	services := taken{c: c, by: make(map[string]Origin)}
	sockets := taken{c: c, by: make(map[string]Origin)}
	ports := taken{c: c, by: make(map[string]Origin)}
	for _, l := range c.file.Listeners {
		network := "tcp"
		if l.Transport == UDP {
			network = "udp"
		}
		ports.claimPort(l.Origin, "port", network, l.Address)
	}
	for _, s := range c.file.ControlServices {
		services.claimService(s.Origin, "service", s.Service)
		if s.Filename != "" {
			sockets.claim(s.Origin, "filename", filepath.Clean(s.Filename), fmt.Sprintf("socket %s is already in use", s.Filename))
		}
		if s.TCPListen != "" {
			ports.claimPort(s.Origin, "tcplisten", "tcp", s.TCPListen)
		}
	}
	for _, m := range c.file.Metrics {
		ports.claimPort(m.Origin, "address", "tcp", m.Address)
	}
	for _, s := range c.file.TCPServers {
		ports.claimPort(s.Origin, "port", "tcp", s.Address)
	}
	for _, s := range c.file.UDPServers {
		ports.claimPort(s.Origin, "port", "udp", s.Address)
	}
	for _, s := range c.file.UnixServers {
		sockets.claim(s.Origin, "filename", filepath.Clean(s.Filename), fmt.Sprintf("socket %s is already in use", s.Filename))
	}
	for _, s := range c.file.TCPClients {
		services.claimService(s.Origin, "service", s.Service)
	}
	for _, s := range c.file.UDPClients {
		services.claimService(s.Origin, "service", s.Service)
	}
	for _, s := range c.file.UnixClients {
		services.claimService(s.Origin, "service", s.Service)
	}
	for _, s := range c.file.CommandServices {
		services.claimService(s.Origin, "service", s.Service)
	}
	for _, s := range c.file.IPRouters {
		services.claimService(s.Origin, "networkname", s.NetworkName)
	}
}

// claimService checks the name of a service that we offer. That there must be
// one is checked elsewhere.
func (t taken) claimService(o Origin, key, name string) {
	switch {
	case name == "":
	case len(name) > maxService:
		t.c.wrong(o, key, fmt.Sprintf("at most %d bytes", maxService), "service name %s too long", name)
	case name == "ping" || name == "unreach":
		t.c.wrong(o, key, "the name is reserved", "service %s is already listening", name)
	case !utf8.ValidString(name) || containsControl(name):
		t.c.wrong(o, key, "", "service name %q has control characters or is not UTF-8", name)
	default:
		t.claim(o, key, name, fmt.Sprintf("service %s is already listening", name))
	}
}

func containsControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

// claimPort checks an address to bind. Addresses that overlap without being
// the same (all of them, and one) are left to the system to judge.
func (t taken) claimPort(o Origin, key, network, address string) {
	host, port := splitBind(address)
	if port == "0" {
		return // the system picks
	}
	if o.failed["bindaddr"] {
		return
	}
	switch host {
	case "", "0.0.0.0", "::":
		host = "*"
	}
	t.claim(o, key, network+" "+host+" "+port, fmt.Sprintf("address %s is already in use", address))
}
