package config

import (
	"math"
	"slices"
	"strings"
)

// listeners checks the sections that accept links.
func (c *checker) listeners() {
	for _, l := range c.file.Listeners {
		c.cost(l.Origin, l.Cost)
		for _, id := range sortedKeys(l.NodeCost) {
			if !positive(l.NodeCost[id]) {
				c.wrong(l.Origin, "nodecost", "", "connection cost must be positive for %s", id)
			}
		}
		c.serverTLS(l.Origin, "tls", l.TLS)
		if l.Transport == WebSocket {
			c.path(l.Origin, l.Path)
		}
	}
}

// path checks where a WebSocket listener is found. Something before the first
// slash is a host name; without a slash nothing could ever match.
func (c *checker) path(o Origin, path string) {
	switch strings.Index(path, "/") {
	case 0:
	case -1:
		c.wrong(o, "path", "", "%q does not begin with a slash: no link could come up", path)
	default:
		c.warn(o, "path", "%q does not begin with a slash: it is taken as a host name and a path", path)
	}
}

// peers checks the sections that dial links.
func (c *checker) peers() {
	for i := range c.file.Peers {
		p := &c.file.Peers[i]
		c.cost(p.Origin, p.Cost)
		if p.ExtraHeader != "" {
			c.header(p.Origin, p.ExtraHeader)
		}
		if p.Transport == WebSocket && p.TLS == "" && isSecure(p.Address) {
			c.defaultTLS(p)
			continue
		}
		c.clientTLS(p.Origin, "tls", p.TLS)
		if p.Transport == WebSocket && p.TLS != "" && p.Address != "" && !isSecure(p.Address) {
			c.warn(p.Origin, "tls", "has no effect: the address is not wss://")
		}
	}
}

func isSecure(url string) bool { return len(url) > 3 && strings.EqualFold(url[:4], "wss:") }

// defaultTLS gives a wss:// peer without tls the tls-client named default,
// which has to be there (spec configuration 7.8).
func (c *checker) defaultTLS(p *Peer) {
	p.TLS = "default"
	if !c.clients.has[p.TLS] && !p.Origin.failed["tls"] {
		c.wrong(p.Origin, "address", "", "wss:// needs tls, or a tls-client named %q", p.TLS)
	}
}

func (c *checker) header(o Origin, header string) {
	name, _, ok := strings.Cut(header, ":")
	switch {
	case !ok || strings.TrimSpace(name) == "":
		c.wrong(o, "extraheader", "", `must be in the form "Name: value"`)
	case strings.ContainsAny(header, "\r\n\x00"):
		c.wrong(o, "extraheader", "", "must be one line")
	}
}

func positive(cost float64) bool { return cost > 0 && !math.IsInf(cost, 0) }

func (c *checker) cost(o Origin, cost float64) {
	if !positive(cost) {
		c.wrong(o, "cost", "", "connection cost must be positive")
	}
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// serverTLS checks a reference to a tls-server.
func (c *checker) serverTLS(o Origin, key, name string) {
	if name == "" || c.servers.has[name] {
		return
	}
	hint := didYouMean(name, c.servers.names)
	if c.clients.has[name] {
		hint = "it is a tls-client: what listens needs a tls-server"
	}
	c.wrong(o, key, hint, "unknown TLS config %s", name)
}

// clientTLS checks a reference to a tls-client.
func (c *checker) clientTLS(o Origin, key, name string) {
	if name == "" || c.clients.has[name] {
		return
	}
	hint := didYouMean(name, c.clients.names)
	if c.servers.has[name] {
		hint = "it is a tls-server: what dials needs a tls-client"
	}
	c.wrong(o, key, hint, "unknown TLS config %s", name)
}

// maxSocketPath is the longest name of a Unix socket that a system takes, in
// bytes (Linux; others less).
const maxSocketPath = 107

// controlServices checks the control services, each for itself.
func (c *checker) controlServices() {
	for _, s := range c.file.ControlServices {
		o := s.Origin
		if s.Service == "" && s.Filename == "" && s.TCPListen == "" {
			c.wrongSection(o, "give at least one of service, filename and tcplisten", "no listeners specified")
		}
		c.socket(o, s.Filename)
		c.serverTLS(o, "tls", s.TLS)
		switch {
		case s.TCPListen != "":
			c.serverTLS(o, "tcptls", s.TCPTLS)
			if s.TLS != "" && s.TCPTLS == "" {
				c.warn(o, "tcplisten", "Control service %s has TLS configured on the Receptor listener but not the TCP listener.", s.Service)
			}
		case s.TCPTLS != "":
			c.warn(o, "tcptls", "has no effect without tcplisten")
		}
	}
}

// proxies checks tcp-server and tcp-client sections, each for itself.
func (c *checker) proxies() {
	for _, s := range c.file.TCPServers {
		c.remote(s.Origin, s.RemoteNode, s.RemoteService)
		c.serverTLS(s.Origin, "tlsserver", s.TLSServer)
		c.clientTLS(s.Origin, "tlsclient", s.TLSClient)
	}
	for _, s := range c.file.TCPClients {
		c.notEmpty(s.Origin, "service", s.Service)
		c.serverTLS(s.Origin, "tlsserver", s.TLSServer)
		c.clientTLS(s.Origin, "tlsclient", s.TLSClient)
	}
}
