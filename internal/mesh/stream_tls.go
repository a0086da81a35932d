package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// What both ends agree on (spec mesh-protocol 12.1, 13.1).
const (
	alpnOurs      = "receptor/2" // many streams share a session
	alpnOriginal  = "netceptor"  // one stream per session
	anonymousName = "netceptor-insecure-common-name"
)

// alpn is what we offer and accept, best first.
var alpn = []string{alpnOurs, alpnOriginal}

// errInsecure is the failure of a dial without TLS to a service with TLS.
var errInsecure = errors.New("insecure connection to secure service")

// anonymousCert makes the certificate of services without TLS. Nobody checks
// more of it than its common name.
func anonymousCert() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("anonymous certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: anonymousName},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("anonymous certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// checkAnonymous is the verification of the dialer without TLS: one of the
// certificates must have the well-known name.
func checkAnonymous(raw [][]byte, _ [][]*x509.Certificate) error {
	for _, der := range raw {
		if c, err := x509.ParseCertificate(der); err == nil && c.Subject.CommonName == anonymousName {
			return nil
		}
	}
	return errInsecure
}

// clientTLS is the configuration of a dial. Curves that ansible/receptor takes
// everywhere come with the first message, which saves a round trip.
func (st *streams) clientTLS(given *tls.Config) *tls.Config {
	if given == nil {
		return &tls.Config{
			InsecureSkipVerify:    true, // the check below takes its place
			VerifyPeerCertificate: checkAnonymous,
			ServerName:            string(st.n.ID), // as the original does; it has no meaning
			NextProtos:            alpn,
			CurvePreferences:      []tls.CurveID{tls.CurveP256},
			MinVersion:            tls.VersionTLS13,
		}
	}
	c := given.Clone()
	c.NextProtos = alpn
	c.MinVersion = tls.VersionTLS13
	if c.CurvePreferences == nil {
		c.CurvePreferences = []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
	return c
}

// serverTLS is the configuration of a service. The anonymous certificate is
// made when the first client comes.
func (st *streams) serverTLS(given *tls.Config) *tls.Config {
	if given == nil {
		return &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				cert, err := st.cert()
				return &cert, err
			},
			NextProtos:             alpn,
			MinVersion:             tls.VersionTLS13,
			SessionTicketsDisabled: true,
		}
	}
	c := given.Clone()
	c.NextProtos = alpn
	c.MinVersion = tls.VersionTLS13
	if choose := given.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return chosen, err
			}
			chosen = chosen.Clone()
			chosen.NextProtos = alpn
			chosen.MinVersion = tls.VersionTLS13
			return chosen, nil
		}
	}
	return c
}

// HelloNode tells which node the handshake of a stream service comes from, as
// the function GetConfigForClient of its configuration is given it; empty for
// other handshakes.
func HelloNode(hello *tls.ClientHelloInfo) wire.NodeID {
	if hello.Conn == nil {
		return ""
	}
	if r, ok := hello.Conn.RemoteAddr().(*remote); ok {
		return r.Node
	}
	return ""
}
