package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// tlsSettings are the TLS options of a call, from the command line or from an
// entry tls-client of a daemon's configuration.
type tlsSettings struct {
	rootcas    string
	key, cert  string // count only together
	skipVerify bool   // switches off the check of the host name, no more
	missing    string // what to tell if the entry asked for was not there
}

func (a *app) tlsSettings() (tlsSettings, error) {
	config, name := a.setting("config"), a.setting("tls-client")
	s := tlsSettings{
		rootcas:    a.setting("rootcas"),
		key:        a.setting("key"),
		cert:       a.setting("cert"),
		skipVerify: a.setting("insecureskipverify") == "true",
	}
	switch {
	case config == "":
		return s, nil
	case s.rootcas != "" || s.key != "" || s.cert != "":
		return s, fail(exitFailure, "Cannot specify both config and rootcas, key, cert",
			"--config and --tls-client take them from a daemon's configuration; give either those two or these three")
	case name == "":
		return s, fail(exitFailure, "Must specify both config and tlsclient",
			"--tls-client NAME before the command names a tls-client entry of that file")
	}
	return lookupTLSClient(config, name)
}

// config makes the configuration of a connection to host.
func (s tlsSettings) config(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if s.rootcas != "" {
		pem, err := os.ReadFile(s.rootcas)
		if err != nil {
			return nil, fmt.Errorf("file of CA certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("file of CA certificates: no certificate in %s", s.rootcas)
		}
	}
	if s.key != "" && s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if s.skipVerify {
		c.InsecureSkipVerify = true // replaced by the check below, which leaves out the name only
		c.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, c.RootCAs) }
	}
	return c, nil
}

// verifyChain checks a server's certificate against the CAs but not its name.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("tls: the server sent no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(o); err != nil {
		return fmt.Errorf("tls: failed to verify certificate: %w", err)
	}
	return nil
}

// hints tells what to do about a failure to connect.
func (s tlsSettings) hints(err error) []string {
	var hints []string
	if s.missing != "" {
		hints = append(hints, s.missing)
	}
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		hints = append(hints, "give the CA that signed the daemon's certificate with --rootcas FILE")
		if s.skipVerify {
			hints = append(hints, "--insecureskipverify leaves out the check of the host name only")
		}
	case errors.As(err, new(x509.HostnameError)):
		hints = append(hints, "use a name that the certificate holds, or --insecureskipverify true, which leaves out this check only")
	case errors.As(err, new(tls.RecordHeaderError)):
		hints = append(hints, "the other side does not speak TLS here: use tcp: instead of tls:, or another port")
	case errors.Is(err, fs.ErrNotExist):
		hints = append(hints, "check the names given with --rootcas, --cert and --key, or in the file of --config")
	}
	return hints
}

// certificateWanted tells that a server refused us for want of a certificate.
// crypto/tls has no type for alerts of the other side.
func certificateWanted(err error) bool {
	return strings.Contains(err.Error(), "remote error: tls: certificate required") ||
		strings.Contains(err.Error(), "remote error: tls: bad certificate")
}
