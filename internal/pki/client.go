package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// maxNodes is how many nodes a Client keeps a configuration for. Those that are forgotten cost a handshake more.
const maxNodes = 4096

// Client is a section tls-client at work. Its configurations use what its files hold at the time of each handshake. All
// methods may be called from any goroutine.
type Client struct {
	c   ClientConfig
	log *slog.Logger
	*entry

	mu    sync.Mutex // guards nodes
	nodes map[string]*tls.Config
}

// NewClient reads the files and makes the checks of the start (spec certificates 3). Errors have the texts of
// ansible/receptor.
func NewClient(c ClientConfig) (*Client, error) {
	cl := &Client{c: c, log: logger(c.Logger), nodes: make(map[string]*tls.Config)}
	cl.entry = newEntry("tls-client", c.Name, c.Node, c.SkipNames, cl.log)
	err := errors.New("cert and key must both be supplied or neither")
	if (c.Cert == "") == (c.Key == "") {
		err = cl.load(c.Cert, c.Key, c.RootCAs, "error reading root CAs file")
	}
	if err != nil {
		return nil, fmt.Errorf("error preparing tls client config: %w", err)
	}
	return cl, nil
}

// Host is the configuration of links and of TCP to a host, by name or address, which the server has to prove to be.
func (cl *Client) Host(host string) *tls.Config {
	c := cl.config(func(check *check) *refusal {
		if err := check.chain(usageServer); err != nil {
			return err
		}
		return check.host(host)
	}, false)
	c.ServerName = host
	return c
}

// Node is the configuration of streams to a node, which the server has to prove to be. It is the same for the same node:
// streams with the same configuration may share a session.
func (cl *Client) Node(id string) *tls.Config {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if c := cl.nodes[id]; c != nil {
		return c
	}
	if len(cl.nodes) >= maxNodes {
		clear(cl.nodes)
	}
	c := cl.config(func(check *check) *refusal {
		if err := check.chain(usageServer); err != nil {
			return err
		}
		return check.node(id)
	}, true)
	cl.nodes[id] = c
	return c
}

// config is a configuration that verifies by trust, unless nothing is to be verified, and by the pins.
func (cl *Client) config(trust func(*check) *refusal, mesh bool) *tls.Config {
	c := protocol(cl.c.MinTLS13)
	c.InsecureSkipVerify = true // VerifyConnection takes its place: it knows the authorities of the moment
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		check := &check{entry: cl.entry, cas: cl.cas.Load(), pins: cl.c.Pins, mesh: mesh, certs: cs.PeerCertificates}
		err := check.pinned()
		if !cl.c.InsecureSkipVerify {
			if e := trust(check); e != nil {
				err = e
			}
		}
		if err == nil {
			return nil
		}
		if err.rvf || mesh {
			logRefusal(cl.log, err) // for links, the failure of the dial says it
		}
		return err
	}
	if cl.c.Cert != "" {
		c.GetClientCertificate = cl.certificate
	}
	return c
}

// certificate is what a server is shown that asks for a certificate: ours, if it is of an authority that the server
// names.
func (cl *Client) certificate(ask *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	p := cl.pair.Load()
	if err := ask.SupportsCertificate(p.cert); err != nil {
		cl.log.Warn("our certificate is not shown: the server accepts none like it, and will say that there is none", "section", cl.entry.String(),
			"file", p.file, "subject", short(p.chain[0].Subject.String()), "issuer", short(p.chain[0].Issuer.String()),
			"accepted", issuers(ask.AcceptableCAs), "err", err)
		return new(tls.Certificate), nil
	}
	return p.cert, nil
}

// CheckNeighbour judges who a neighbour says it is by the certificate that it has proven on the link: one that names
// nodes has to name it. One that names none is good for any. Without verification a certificate proves nothing.
func (cl *Client) CheckNeighbour(cs tls.ConnectionState, node string) error {
	if cl.c.SkipNames || cl.c.InsecureSkipVerify {
		return nil
	}
	return cl.entry.neighbour(cs, node)
}
