package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki"
)

// tlsEntries are the sections tls-server and tls-client at work. They do not
// change; a reload makes new ones, which share what stays the same.
type tlsEntries struct {
	servers []tlsServer
	clients []tlsClient
}

type tlsServer struct {
	section config.TLSServer
	*pki.Server
}

type tlsClient struct {
	section config.TLSClient
	*pki.Client
}

// loadTLS reads the files of all TLS sections but for those that are at work
// already. All that fails is said.
func loadTLS(cfg *config.File, old *tlsEntries, log *slog.Logger) (*tlsEntries, error) {
	if old == nil {
		old = &tlsEntries{}
	}
	e := &tlsEntries{}
	var problems config.Problems
	for _, s := range cfg.TLSServers {
		i := slices.IndexFunc(old.servers, func(o tlsServer) bool { return equalSections(o.section, s) })
		if i >= 0 {
			e.servers = append(e.servers, tlsServer{s, old.servers[i].Server})
			continue
		}
		live, err := pki.NewServer(pki.ServerConfig{
			Name: s.Name, Node: cfg.Node.ID, Cert: s.Cert, Key: s.Key, RequireClientCert: s.RequireClientCert, ClientCAs: s.ClientCAs,
			Pins: s.PinnedClientCert, SkipNames: s.SkipReceptorNamesCheck, MinTLS13: s.MinTLS13, Logger: log,
		})
		if err != nil {
			problems = append(problems, s.Origin.Problem("", err.Error()))
		}
		e.servers = append(e.servers, tlsServer{s, live})
	}
	for _, s := range cfg.TLSClients {
		i := slices.IndexFunc(old.clients, func(o tlsClient) bool { return equalSections(o.section, s) })
		if i >= 0 {
			e.clients = append(e.clients, tlsClient{s, old.clients[i].Client})
			continue
		}
		live, err := pki.NewClient(pki.ClientConfig{
			Name: s.Name, Node: cfg.Node.ID, Cert: s.Cert, Key: s.Key, RootCAs: s.RootCAs, Pins: s.PinnedServerCert,
			InsecureSkipVerify: s.InsecureSkipVerify, SkipNames: s.SkipReceptorNamesCheck, MinTLS13: s.MinTLS13, Logger: log,
		})
		if err != nil {
			problems = append(problems, s.Origin.Problem("", err.Error()))
		}
		e.clients = append(e.clients, tlsClient{s, live})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return e, nil
}

// equalSections tells whether two sections say the same, wherever they stand.
func equalSections[T config.TLSServer | config.TLSClient | config.ControlService](a, b T) bool {
	for _, s := range []*T{&a, &b} {
		reflect.ValueOf(s).Elem().FieldByName("Origin").SetZero()
	}
	return reflect.DeepEqual(a, b)
}

// useTLS makes entries those that count from now on. Their files are read again
// soon, those that stay the same included.
func (d *daemon) useTLS(e *tlsEntries) {
	d.tls.Store(e)
	var servers []*pki.Server
	for _, s := range e.servers {
		servers = append(servers, s.Server)
	}
	var clients []*pki.Client
	for _, c := range e.clients {
		clients = append(clients, c.Client)
	}
	d.certificates.Watch(servers, clients)
}

// tlsServer finds a section tls-server.
func (d *daemon) tlsServer(name string) (*pki.Server, error) {
	for _, s := range d.tls.Load().servers {
		if s.section.Name == name {
			return s.Server, nil
		}
	}
	return nil, fmt.Errorf("unknown TLS config %s", name)
}

// tlsClient finds a section tls-client.
func (d *daemon) tlsClient(name string) (*pki.Client, error) {
	for _, c := range d.tls.Load().clients {
		if c.section.Name == name {
			return c.Client, nil
		}
	}
	return nil, fmt.Errorf("unknown TLS config %s", name)
}

// tcpServerTLS is the configuration of a TCP listener; nil for no name.
func (d *daemon) tcpServerTLS(name string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	s, err := d.tlsServer(name)
	if err != nil {
		return nil, err
	}
	return s.Link(), nil
}

// meshServerTLS is the configuration of a stream service; nil for no name.
func (d *daemon) meshServerTLS(name string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	s, err := d.tlsServer(name)
	if err != nil {
		return nil, err
	}
	return s.Mesh(helloNode), nil
}

func helloNode(h *tls.ClientHelloInfo) string { return string(mesh.HelloNode(h)) }

// tcpClientTLS is the configuration of TCP connections to an address,
// HOST:PORT; nil for no name.
func (d *daemon) tcpClientTLS(name, address string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	c, err := d.tlsClient(name)
	if err != nil {
		return nil, err
	}
	return c.Host(hostOf(address)), nil
}

// meshClientTLS is the configuration of streams to a node; nil for no name.
func (d *daemon) meshClientTLS(name, node string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	c, err := d.tlsClient(name)
	if err != nil {
		return nil, err
	}
	return c.Node(node), nil
}

// hostOf is the host part of HOST:PORT or of an URL.
func hostOf(address string) string {
	if strings.Contains(address, "://") {
		if u, err := url.Parse(address); err == nil {
			return u.Hostname()
		}
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address // the dial will say what is wrong with it
	}
	return host
}

// isSecure tells whether an URL asks for TLS.
func isSecure(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "wss"
}

// latest makes a configuration that looks its section up for each handshake, so
// that a changed section counts without a new listener.
func latest(find func() (*tls.Config, error)) (*tls.Config, error) {
	c, err := find()
	if c == nil || err != nil {
		return nil, err
	}
	c = c.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		now, err := find()
		if err != nil {
			return nil, err
		}
		return now.GetConfigForClient(hello)
	}
	return c, nil
}

// neighbourCheck is the check of who a neighbour says it is, for a mesh.LinkPolicy.
func neighbourCheck(check func(tls.ConnectionState, string) error) func(tls.ConnectionState, wire.NodeID) error {
	return func(state tls.ConnectionState, id wire.NodeID) error { return check(state, string(id)) }
}

// httpProblems is where the server of WebSocket links says what failed.
func httpProblems(to *slog.Logger) *log.Logger {
	return log.New(problemWriter{to}, "", 0)
}

type problemWriter struct{ log *slog.Logger }

func (w problemWriter) Write(line []byte) (int, error) {
	w.log.Warn("websocket server", "err", strings.TrimSpace(string(line)))
	return len(line), nil
}

// certificateStatus is what status shows of certificates.
func (d *daemon) certificateStatus() []controlproto.Certificate {
	out := []controlproto.Certificate{}
	for _, c := range d.certificates.Certificates() {
		out = append(out, controlproto.Certificate{
			Section: c.Section, Name: c.Entry, Use: c.Use, File: c.File, Subject: c.Subject, NotAfter: c.Until.UTC(), Problem: c.Problem,
		})
	}
	return out
}
