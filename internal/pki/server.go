package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
)

// Server is a section tls-server at work. Its configurations use what its files hold at the time of each handshake. All
// methods may be called from any goroutine.
type Server struct {
	c   ServerConfig
	log *slog.Logger
	*entry
}

// NewServer reads the files and makes the checks of the start (spec certificates 3). Errors have the texts of
// ansible/receptor.
func NewServer(c ServerConfig) (*Server, error) {
	s := &Server{c: c, log: logger(c.Logger)}
	s.entry = newEntry("tls-server", c.Name, c.Node, c.SkipNames, s.log)
	err := s.load(c.Cert, c.Key, c.ClientCAs, "error reading client CAs file")
	if err != nil {
		return nil, fmt.Errorf("error preparing tls server config: %w", err)
	}
	return s, nil
}

// asks tells that clients need a certificate.
func (s *Server) asks() bool {
	return s.c.RequireClientCert || s.c.ClientCAs != "" || len(s.c.Pins) > 0
}

// chains tells that client certificates have to lead to an authority. Pins alone vouch for the very certificate.
func (s *Server) chains() bool { return s.c.RequireClientCert || s.c.ClientCAs != "" }

// Link is the configuration of listeners of links and of TCP.
func (s *Server) Link() *tls.Config {
	return s.config(func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.handshake(""), nil })
}

// Mesh is the configuration of stream services on the mesh. from tells which node a handshake comes from.
func (s *Server) Mesh(from func(*tls.ClientHelloInfo) string) *tls.Config {
	return s.config(func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		node := from(hello)
		if node == "" {
			return nil, errors.New("it is not known which node the stream comes from")
		}
		return s.handshake(node), nil
	})
}

func (s *Server) config(choose func(*tls.ClientHelloInfo) (*tls.Config, error)) *tls.Config {
	c := protocol(s.c.MinTLS13)
	c.GetConfigForClient = choose
	// It is never asked for, but servers want one.
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.pair.Load().cert, nil }
	return c
}

// handshake is the configuration of one handshake; node is where a stream comes from, and empty for TCP.
func (s *Server) handshake(node string) *tls.Config {
	c := protocol(s.c.MinTLS13)
	c.Certificates = []tls.Certificate{*s.pair.Load().cert}
	cas := s.cas.Load()
	switch {
	case !s.asks():
		return c
	case s.c.ClientCAs != "" && !s.c.RequireClientCert:
		c.ClientAuth = tls.RequestClientCert // its absence is found below, with the text of the original
	default:
		c.ClientAuth = tls.RequireAnyClientCert
	}
	c.ClientCAs = cas.pool // tells clients which certificate to choose
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		err := s.verify(cs, cas, node)
		if err == nil {
			return nil
		}
		if err.rvf || node != "" {
			logRefusal(s.log, err) // what the mesh refuses nobody else logs on this side
		}
		return err
	}
	return c
}

// verify judges the certificate of a client (spec certificates 4.2; pins always apply).
func (s *Server) verify(cs tls.ConnectionState, cas *authorities, node string) *refusal {
	check := check{entry: s.entry, cas: cas, pins: s.c.Pins, mesh: node != ""}
	if len(cs.PeerCertificates) == 0 {
		return &refusal{rvf: true, text: "RVF failed: peer certificate missing", advice: "the client has no certificate, or none of an authority in " +
			s.c.ClientCAs + ", which " + s.entry.String() + " trusts"}
	}
	check.certs = cs.PeerCertificates
	if s.chains() {
		if err := check.chain(usageClient); err != nil {
			return err
		}
	}
	if s.c.RequireClientCert && node != "" {
		if err := check.node(node); err != nil {
			return err
		}
	}
	return check.pinned()
}

// CheckNeighbour judges who a neighbour says it is by the certificate that it has proven on the link: one that names
// nodes has to name it. One that names none is good for any (spec certificates 4.2).
func (s *Server) CheckNeighbour(cs tls.ConnectionState, node string) error {
	if s.c.SkipNames || !s.asks() {
		return nil
	}
	return s.entry.neighbour(cs, node)
}
