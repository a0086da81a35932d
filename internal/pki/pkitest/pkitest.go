// Package pkitest makes certificates for tests: authorities, and certificates with names of nodes, good and bad ones.
package pkitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is an authority.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte
}

// Template is what is special about a certificate.
type Template struct {
	Nodes    []string
	DNS      []string // none: localhost, 127.0.0.1 and ::1, unless NoHosts
	NoHosts  bool
	From, To time.Time // zero: from an hour ago, for a year
	Usage    []x509.ExtKeyUsage
}

// NewCA makes an authority of that common name.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	return NewCAUntil(t, name, time.Now().AddDate(10, 0, 0))
}

// NewCAUntil is NewCA with the time of its end.
func NewCAUntil(t testing.TB, name string, until time.Time) *CA {
	t.Helper()
	ca := &CA{t: t, key: newKey(t)}
	c := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, ca.key.Public(), ca.key)
	if err == nil {
		ca.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

// Sign makes a certificate and its key, both as PEM. Its common name is name.
func (ca *CA) Sign(name string, s Template) (cert, key []byte) {
	ca.t.Helper()
	c := &x509.Certificate{
		SerialNumber: serial(ca.t), Subject: pkix.Name{CommonName: name}, NotBefore: s.From, NotAfter: s.To,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: s.Usage,
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	if c.ExtKeyUsage == nil {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	if names := s.names(ca.t); names != nil {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}
	}
	private := newKey(ca.t)
	der, err := x509.CreateCertificate(rand.Reader, c, ca.cert, private.Public(), ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		ca.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// Write makes a certificate with the files DIR/NAME.crt and DIR/NAME.key, for
// the node of that name if the template names none.
func (ca *CA) Write(dir, name string, s Template) (cert, key string) {
	ca.t.Helper()
	if s.Nodes == nil {
		s.Nodes = []string{name}
	}
	c, k := ca.Sign(name, s)
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	File(ca.t, cert, c)
	File(ca.t, key, k)
	return cert, key
}

// File writes a file as a careful operator does: whole, in one step.
func File(t testing.TB, name string, contents ...[]byte) string {
	t.Helper()
	var all []byte
	for _, c := range contents {
		all = append(all, c...)
	}
	if err := os.WriteFile(name+".new", all, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	return name
}

// names is the value of the subject alternative name; nil for none.
func (s Template) names(t testing.TB) []byte {
	var names []asn1.RawValue
	add := func(tag int, b []byte) {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: b})
	}
	for _, n := range s.DNS {
		add(2, []byte(n))
	}
	if s.DNS == nil && !s.NoHosts {
		add(2, []byte("localhost"))
		add(7, net.IPv4(127, 0, 0, 1).To4())
		add(7, net.IPv6loopback)
	}
	for _, n := range s.Nodes {
		value := must(asn1.MarshalWithParams(n, "utf8"))(t)
		value = must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: value}))(t)
		oid := must(asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 2312, 19, 1}))(t)
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: append(oid, value...)})
	}
	if names == nil {
		return nil
	}
	return must(asn1.Marshal(names))(t)
}

func must(b []byte, err error) func(testing.TB) []byte {
	return func(t testing.TB) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
