package pki

import (
	"testing"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
)

// FuzzPEM: whatever is in the files of certificates, keys and authorities, it is read
// or refused, and a pair always has a chain.
func FuzzPEM(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(""), []byte("-----BEGIN "))
	f.Add([]byte(pkitest.NewCA(f, "ca").PEM), []byte{})
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if p, err := parsePair(cert, key, "file", "node", "section"); err == nil && len(p.chain) == 0 {
			t.Error("a pair without a certificate")
		}
		if a, err := parseAuthorities(cert, "file"); err == nil && len(a.all) == 0 {
			t.Error("no authorities, and no error")
		}
	})
}
