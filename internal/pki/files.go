package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxFile bounds a file of certificates, in bytes: the authorities of a whole system take about a quarter of a megabyte.
const maxFile = 16 << 20

// keyPair is a certificate with its key, as it was read.
type keyPair struct {
	cert   *tls.Certificate
	chain  []*x509.Certificate // all of the file, our own first
	file   string              // of the certificate
	digest [sha256.Size]byte   // of both files
}

// authorities are what certificates have to lead to, as they were read.
type authorities struct {
	pool   *x509.CertPool // nil: those of the system
	all    []*x509.Certificate
	file   string // empty: those of the system
	digest [sha256.Size]byte
}

func (a *authorities) String() string {
	if a.file == "" {
		return "the system"
	}
	return a.file
}

// readFile reads a file of certificates or keys.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("read %s: over %d bytes", name, maxFile)
	}
	return b, err
}

// digestOf tells contents apart.
func digestOf(parts ...[]byte) (d [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range parts {
		one := sha256.Sum256(p)
		h.Write(one[:])
	}
	h.Sum(d[:0])
	return d
}

// parsePair makes a pair of the contents of its files. The certificate has to name the node, unless that is empty.
func parsePair(cert, key []byte, file, node, section string) (*keyPair, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	p := &keyPair{cert: &pair, file: file, digest: digestOf(cert, key)}
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p.chain = append(p.chain, c)
	}
	if node == "" {
		return p, nil
	}
	ids, err := NodeIDs(p.chain[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if !slices.Contains(ids, node) {
		return nil, fmt.Errorf("nodeID=%s not found in certificate name(s); names found=[%s]; cfg section=%s; server cert=%s; use a certificate that names this node, or set skipreceptornamescheck",
			node, list(ids), section, file)
	}
	return p, nil
}

// errNoCertificate is a file of authorities without any.
var errNoCertificate = errors.New("there is no certificate in it")

// parseAuthorities makes authorities of the contents of a file. With an error they are those that could be read.
func parseAuthorities(b []byte, file string) (*authorities, error) {
	a := &authorities{pool: x509.NewCertPool(), file: file, digest: digestOf(b)}
	var problem error
	rest := b
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			problem = fmt.Errorf("certificate %d in it: %w", len(a.all)+1, err)
			continue
		}
		a.pool.AddCert(c)
		a.all = append(a.all, c)
	}
	switch {
	case len(a.all) == 0 && problem == nil:
		problem = errNoCertificate
	case torn(b):
		problem = errTorn
	}
	return a, problem
}

// errTorn is a file that is just being written.
var errTorn = errors.New("it ends in the middle of a certificate")

// torn tells whether a PEM file ends within a block.
func torn(b []byte) bool {
	s := string(b)
	return strings.LastIndex(s, "-----BEGIN ") > strings.LastIndex(s, "-----END ")
}
