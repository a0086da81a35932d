package config

// remote checks where something is carried to.
func (c *checker) remote(o Origin, node, service string) {
	c.notEmpty(o, "remotenode", node)
	c.notEmpty(o, "remoteservice", service)
	if len(service) > maxService {
		c.warn(o, "remoteservice", "service name %s too long: connections will fail", service)
	}
}

// socket checks the name of a Unix socket.
func (c *checker) socket(o Origin, filename string) {
	if len(filename) > maxSocketPath {
		c.wrong(o, "filename", "", "%d bytes are too long for the name of a socket: at most %d are possible", len(filename), maxSocketPath)
	}
}

// services checks what is offered on the mesh beside TCP and work, each section
// for itself.
func (c *checker) services() {
	f := c.file
	for _, s := range f.UDPServers {
		c.remote(s.Origin, s.RemoteNode, s.RemoteService)
	}
	for _, s := range f.UDPClients {
		c.notEmpty(s.Origin, "service", s.Service)
	}
	for _, s := range f.UnixServers {
		c.notEmpty(s.Origin, "filename", s.Filename)
		c.socket(s.Origin, s.Filename)
		c.remote(s.Origin, s.RemoteNode, s.RemoteService)
		c.clientTLS(s.Origin, "tls", s.TLS)
	}
	for _, s := range f.UnixClients {
		c.notEmpty(s.Origin, "service", s.Service)
		c.notEmpty(s.Origin, "filename", s.Filename)
		c.socket(s.Origin, s.Filename)
		c.serverTLS(s.Origin, "tls", s.TLS)
	}
	for _, s := range f.CommandServices {
		c.notEmpty(s.Origin, "service", s.Service)
		if s.Command == "" {
			c.warn(s.Origin, "command", "is empty: connections will fail")
		}
		c.serverTLS(s.Origin, "tls", s.TLS)
	}
	for _, s := range f.IPRouters {
		c.notEmpty(s.Origin, "networkname", s.NetworkName)
	}
}
