package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
)

// The certificates in testdata/certs were made with ansible/receptor 1.5, but for foo-ec and the keys for signing work.

func certFile(name string) string { return filepath.Join("testdata", "certs", name) }

func readCert(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	cs, err := ReadCertificates(certFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return cs[0]
}

func readKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	key, err := ReadKey(certFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func readRequest(t testing.TB, name string) *x509.CertificateRequest {
	t.Helper()
	r, err := ReadRequest(certFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAuthoritiesAsMadeByTheOriginal makes an authority from the same inputs: signatures with RSA are the same each
// time, so all bytes must be.
func TestAuthoritiesAsMadeByTheOriginal(t *testing.T) {
	for _, name := range []string{"ca", "other-ca"} {
		want := readCert(t, name+".crt")
		got, err := newAuthority(want.Subject.CommonName, readKey(t, name+".key"), Validity{want.NotBefore, want.NotAfter}, want.SerialNumber)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("%s: made\n%x\nwant\n%x", name, got.Raw, want.Raw)
		}
	}
}

// byTheOriginal are the requests that were made with its tools.
func byTheOriginal(t *testing.T) []string {
	files, err := filepath.Glob(certFile("*.csr"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".csr"); name != "foo-ec" {
			names = append(names, name)
		}
	}
	if len(names) < 11 {
		t.Fatalf("only %d requests", len(names))
	}
	return names
}

func TestRequestsAsMadeByTheOriginal(t *testing.T) {
	for _, name := range byTheOriginal(t) {
		want := readRequest(t, name+".csr")
		names, others, err := RequestedNames(want)
		if err != nil || len(others) > 0 {
			t.Fatal(name, others, err)
		}
		if name == "noname" { // its key is not there
			san, err := names.marshal()
			if err != nil || !bytes.Equal(san, want.Extensions[0].Value) {
				t.Errorf("%s: %x, %v", name, san, err)
			}
			continue
		}
		got, err := NewRequest(want.Subject.CommonName, names, readKey(t, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("%s: made\n%x\nwant\n%x", name, got.Raw, want.Raw)
		}
	}
}

func TestCertificatesAsSignedByTheOriginal(t *testing.T) {
	for _, name := range byTheOriginal(t) {
		if name == "noname" {
			continue
		}
		authority := "ca"
		if strings.HasSuffix(name, "-otherca") {
			authority = "other-ca"
		}
		want := readCert(t, name+".crt")
		got, err := sign(readRequest(t, name+".csr"), readCert(t, authority+".crt"), readKey(t, authority+".key"),
			Validity{want.NotBefore, want.NotAfter}, want.SerialNumber)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("%s: made\n%x\nwant\n%x", name, got.Raw, want.Raw)
		}
	}
}

// TestKeysAsWrittenByTheOriginal compares the files.
func TestFilesAsWrittenByTheOriginal(t *testing.T) {
	dir := t.TempDir()
	key, err := KeyOutput(filepath.Join(dir, "foo.key"), readKey(t, "foo.key"))
	if err != nil {
		t.Fatal(err)
	}
	crt := CertificateOutput(filepath.Join(dir, "foo.crt"), readCert(t, "foo.crt"), 0o600)
	csr := RequestOutput(filepath.Join(dir, "foo.csr"), readRequest(t, "foo.csr"), 0o600)
	if err := Write(false, key, crt, csr); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"foo.key", "foo.crt", "foo.csr"} {
		got, err := readBounded(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := readBounded(certFile(name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}
