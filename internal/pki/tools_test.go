package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	testNow      = time.Date(2027, 7, 1, 12, 0, 0, 0, time.UTC)
	testValidity = Validity{testNow.Add(-time.Hour), testNow.AddDate(1, 0, 0)}
)

// TestKinds makes an authority of every kind of key and has it sign for every kind of key.
func TestKinds(t *testing.T) {
	keys := make(map[KeyKind]crypto.Signer)
	for _, kind := range KeyKinds() {
		if kind == RSA3072 || kind == RSA4096 {
			continue // slow to make, and no different
		}
		key, err := NewKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		keys[kind] = key
	}
	long := strings.Repeat("n", maxNodeID)
	names := Names{DNS: []string{"localhost"}, IPs: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("::1")}, NodeIDs: []string{"foo", long}}
	for caKind, caKey := range keys {
		ca, err := NewAuthority("test CA", caKey, testValidity)
		if err != nil {
			t.Fatal(caKind, err)
		}
		for kind, key := range keys {
			r, err := NewRequest("foo", names, key)
			if err != nil {
				t.Fatal(kind, err)
			}
			c, err := Sign(r, ca, caKey, testValidity)
			if err != nil {
				t.Fatalf("%s signs %s: %v", caKind, kind, err)
			}
			p := Purpose{Node: long, Server: true, Client: true, Host: "localhost", Key: key.Public(), Authorities: []*x509.Certificate{ca}}
			if found := Check(c, p, testNow); len(found) > 0 {
				t.Errorf("%s signs %s: %v", caKind, kind, found)
			}
			if got, others, err := NamesOf(c); err != nil || len(others) > 0 || !slices.Equal(got.NodeIDs, names.NodeIDs) || !slices.Equal(got.DNS, names.DNS) || len(got.IPs) != 2 {
				t.Errorf("names %v, %v, %v", got, others, err)
			}
		}
	}
}

func TestSerialNumbersDiffer(t *testing.T) {
	seen := make(map[string]bool)
	ca, caKey := readCert(t, "ca.crt"), readKey(t, "ca.key")
	add := func(c *x509.Certificate, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if n := c.SerialNumber; seen[n.String()] || n.Sign() <= 0 || n.BitLen() < 64 {
			t.Errorf("serial number %v", n)
		}
		seen[c.SerialNumber.String()] = true
	}
	for range 5 {
		add(NewAuthority("x", caKey, testValidity))
		add(Sign(readRequest(t, "foo.csr"), ca, caKey, testValidity))
	}
}

func TestRefusals(t *testing.T) {
	key, ca, caKey := readKey(t, "foo.key"), readCert(t, "ca.crt"), readKey(t, "ca.key")
	request := func(extensions ...pkix.Extension) *x509.CertificateRequest {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: extensions}, key)
		if err != nil {
			t.Fatal(err)
		}
		r, err := x509.ParseCertificateRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	san := func(n Names) pkix.Extension {
		der, err := n.marshal()
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: subjectAltName, Value: der}
	}
	email := pkix.Extension{Id: subjectAltName, Value: []byte{0x30, 0x05, 0x81, 0x03, 'a', '@', 'b'}}
	for name, c := range map[string]struct {
		r    *x509.CertificateRequest
		want string
	}{
		"no names":        {request(), ErrNoNames.Error()},
		"only an email":   {request(email), ErrNoNames.Error()},
		"no node ID":      {request(san(Names{NodeIDs: []string{""}})), "node ID of 0 bytes"},
		"a long node ID":  {request(san(Names{NodeIDs: []string{strings.Repeat("n", maxNodeID+1)}})), "node ID of 256 bytes"},
		"an odd node ID":  {request(san(Names{NodeIDs: []string{"a\nb"}})), "control characters"},
		"damaged node ID": {request(pkix.Extension{Id: subjectAltName, Value: append([]byte{0x30, 0x0d, 0xa0, 0x0b}, []byte("\x06\x09\x2b\x06\x01\x04\x01\x92\x08\x13\x01")...)}), "damaged"},
	} {
		if _, err := Sign(c.r, ca, caKey, testValidity); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}

	tampered := slices.Clone(readRequest(t, "foo.csr").Raw)
	copy(tampered[bytes.Index(tampered, []byte("foo test")):], "bar")
	r, err := x509.ParseCertificateRequest(tampered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(r, ca, caKey, testValidity); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("tampered: %v", err)
	}
	r = readRequest(t, "foo.csr")
	if _, err := Sign(r, readCert(t, "bar.crt"), readKey(t, "bar.key"), testValidity); err == nil || !strings.Contains(err.Error(), "not that of an authority") {
		t.Errorf("no authority: %v", err)
	}
	if _, err := Sign(r, ca, readKey(t, "other-ca.key"), testValidity); err == nil || err.Error() != "x509: provided PrivateKey doesn't match parent's PublicKey" {
		t.Errorf("wrong key: %v", err)
	}
	for _, n := range []Names{{DNS: []string{""}}, {DNS: []string{"a b"}}, {DNS: []string{"é"}}, {NodeIDs: []string{""}}, {NodeIDs: []string{strings.Repeat("n", 256)}}, {IPs: []net.IP{nil}}} {
		if _, err := NewRequest("x", n, key); err == nil {
			t.Errorf("%q is taken", n)
		}
	}
	if _, err := NewRequest("", Names{}, key); err == nil {
		t.Error("no common name is taken")
	}
	if _, err := NewAuthority("", key, testValidity); err == nil {
		t.Error("no common name is taken")
	}
	if _, err := NewKey("dsa"); err == nil || !strings.Contains(err.Error(), "ecdsa-p256") {
		t.Error(err)
	}
	if _, err := NewRSAKey(10); err == nil {
		t.Error("RSA of 10 bits")
	}
}

// TestOtherNamesAreSaid: what a request asks for besides, and would get, is shown.
func TestOtherNamesAreSaid(t *testing.T) {
	der := []byte("\x30\x1e\x82\x01a\x81\x03a@b\x86\x03x:y\x88\x01\x2a\xa0\x0c\x06\x03\x2a\x03\x04\xa0\x05\x0c\x03bar")
	der[1] = byte(len(der) - 2)
	n, others, err := parseNames(der)
	want := []string{"email a@b", "URI x:y", "name of kind 0x88: 2a", "other name of type 1.2.3.4: a0050c03626172"}
	if err != nil || !reflect.DeepEqual(n, Names{DNS: []string{"a"}}) || !slices.Equal(others, want) {
		t.Errorf("%v, %q, %v", n, others, err)
	}
}

func TestSignsWithTheAlgorithmOfTheRequest(t *testing.T) {
	ca, caKey := readCert(t, "ca.crt"), readKey(t, "ca.key")
	for requested, want := range map[x509.SignatureAlgorithm]x509.SignatureAlgorithm{
		x509.SHA512WithRSA: x509.SHA512WithRSA, x509.SHA256WithRSA: x509.SHA256WithRSA, x509.SHA1WithRSA: x509.SHA256WithRSA,
		x509.ECDSAWithSHA256: x509.SHA256WithRSA,
	} {
		r := readRequest(t, "foo.csr")
		c, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SignatureAlgorithm: signatureAlgorithm(requested, caKey)}, ca, r.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		if made, err := x509.ParseCertificate(c); err != nil || made.SignatureAlgorithm != want {
			t.Errorf("%v: %v, %v", requested, made.SignatureAlgorithm, err)
		}
	}
}

func TestDoubts(t *testing.T) {
	r, ca := readRequest(t, "foo.csr"), readCert(t, "ca.crt")
	for _, c := range []struct {
		v    Validity
		now  time.Time
		want string
	}{
		{testValidity, testNow, ""},
		{Validity{testNow, ca.NotAfter.AddDate(0, 0, 1)}, testNow, "ends on 2124-01-01"},
		{Validity{ca.NotBefore.Add(-time.Hour), testNow.AddDate(1, 0, 0)}, testNow, "begins on 2024-01-01"},
		{testValidity, ca.NotAfter.Add(time.Hour), "has ended on 2124-01-01"},
		{Validity{testNow, testNow}, testNow, "never be good"},
		{Validity{testNow.AddDate(-1, 0, 0), testNow.AddDate(0, 0, -1)}, testNow, "will have ended"},
	} {
		got := strings.Join(Doubts(r, ca, c.v, c.now), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.v, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	ca, other := []*x509.Certificate{readCert(t, "ca.crt")}, []*x509.Certificate{readCert(t, "other-ca.crt")}
	for _, c := range []struct {
		file string
		p    Purpose
		now  time.Time
		want string // empty: nothing is found
	}{
		{"foo.crt", Purpose{Node: "foo", Server: true, Client: true, Authorities: ca, Host: "127.0.0.1"}, testNow, ""},
		{"foo-ec.crt", Purpose{Node: "foo", Server: true, Client: true, Authorities: ca, Host: "127.0.0.1"}, testNow, ""},
		{"ca.crt", Purpose{Authorities: ca}, testNow, ""},
		{"foo.crt", Purpose{Node: "bar"}, testNow, "does not name the node bar, but foo"},
		{"nonode.crt", Purpose{Node: "bar"}, testNow, "but no node"},
		{"foo.crt", Purpose{Host: "example.org"}, testNow, "is valid for localhost, not example.org"},
		{"foo-nodns.crt", Purpose{Server: true}, testNow, "names no host"},
		{"foo.crt", Purpose{Authorities: other}, testNow, "signed by CN=receptor spec test CA"},
		{"foo.crt", Purpose{Key: readKey(t, "bar.key").Public()}, testNow, "key does not belong"},
		{"foo-expired.crt", Purpose{Authorities: ca}, testNow, "ended on 2024-02-01"},
		{"foo-future.crt", Purpose{Authorities: ca}, testNow, "not good before 2100-01-01"},
		{"foo-expired.crt", Purpose{}, time.Date(2024, 1, 20, 0, 0, 0, 0, time.UTC), "ends in 12 days"},
		{"foo-expired.crt", Purpose{DaysLeft: 13}, time.Date(2024, 1, 20, 0, 0, 0, 0, time.UTC), "ends in 12 days"},
	} {
		found := Check(readCert(t, c.file), c.p, c.now)
		if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Text, c.want)) {
			t.Errorf("%s for %+v: %v, want %q", c.file, c.p, found, c.want)
		}
		warning := c.file == "foo-nodns.crt" || c.file == "foo-expired.crt" && c.p.DaysLeft == 0 && c.p.Authorities == nil
		if len(found) == 1 && found[0].Problem == warning {
			t.Errorf("%s: %v", c.file, found)
		}
	}

	key := readKey(t, "foo.key")
	weird := func(template x509.Certificate) *x509.Certificate {
		template.NotBefore, template.NotAfter = testValidity.NotBefore, testValidity.NotAfter
		der, err := x509.CreateCertificate(rand.Reader, &template, ca[0], key.Public(), readKey(t, "ca.key"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct {
		c    *x509.Certificate
		p    Purpose
		want string
	}{
		{weird(x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), Purpose{Client: true}, "does not allow TLS clients"},
		{weird(x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), Purpose{}, "does not allow TLS clients"},
		{weird(x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), Purpose{Server: true}, "does not allow TLS servers"},
		{weird(x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}), Purpose{}, "neither"},
		{weird(x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment}), Purpose{Client: true}, "does not allow signatures"},
		{weird(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign}), Purpose{}, "not meant for signing"},
	} {
		found := Check(c.c, c.p, testNow)
		if !slices.ContainsFunc(found, func(f Finding) bool { return strings.Contains(f.Text, c.want) }) {
			t.Errorf("%v, want %q", found, c.want)
		}
	}

	again, err := NewAuthority(ca[0].Subject.CommonName, key, testValidity)
	if err != nil {
		t.Fatal(err)
	}
	if found := Check(readCert(t, "foo.crt"), Purpose{Authorities: []*x509.Certificate{again}}, testNow); len(found) != 1 || !strings.Contains(found[0].Text, "made anew") {
		t.Errorf("%v", found)
	}
}

// TestCheckAuthorityThatEndsFirst: what a certificate is trusted by ends before it does.
func TestCheckAuthorityThatEndsFirst(t *testing.T) {
	key := readKey(t, "ca.key")
	ca, err := NewAuthority("short", key, Validity{testNow.Add(-time.Hour), testNow.AddDate(0, 6, 0)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Sign(readRequest(t, "foo.csr"), ca, key, testValidity)
	if err != nil {
		t.Fatal(err)
	}
	found := Check(c, Purpose{Authorities: []*x509.Certificate{ca}}, testNow)
	if len(found) != 1 || found[0].Problem || !strings.Contains(found[0].Text, "ends before it does, on 2028-01-01") {
		t.Errorf("%v", found)
	}
}

func TestDaysLeft(t *testing.T) {
	c := &x509.Certificate{NotAfter: testNow}
	for left, want := range map[time.Duration]int{0: 0, time.Hour: 0, 24 * time.Hour: 1, 47 * time.Hour: 1, -time.Second: -1, -25 * time.Hour: -2} {
		if got := DaysLeft(c, testNow.Add(-left)); got != want {
			t.Errorf("%v: %d, want %d", left, got, want)
		}
	}
}

func TestReadItems(t *testing.T) {
	foo, err := os.ReadFile(certFile("foo.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(foo)
	key, err := os.ReadFile(certFile("foo.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data  string
		items int
		want  string // of the error
	}{
		"empty":            {"", 0, ""},
		"text":             {"hello", 0, "failed to decode PEM block"},
		"DER":              {string(block.Bytes), 0, "looks like DER"},
		"text around":      {"subject: foo\n" + string(foo) + "\n\nthe end\n", 1, ""},
		"two":              {string(foo) + string(key), 2, ""},
		"cut":              {string(foo[:len(foo)/2]), 0, "1 of 1 blocks are damaged"},
		"second cut":       {string(foo) + string(key[:len(key)/2]), 0, "1 of 2 blocks are damaged"},
		"wrong content":    {"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", 0, "block 1, CERTIFICATE: "},
		"unknown":          {"-----BEGIN X-----\naGVsbG8=\n-----END X-----\n", 1, ""},
		"encrypted":        {"-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n", 1, ""},
		"encrypted as old": {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n", 1, ""},
	} {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		items, err := ReadItems(file)
		if len(items) != c.items || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d items, %v", name, len(items), err)
		}
		if strings.HasPrefix(name, "encrypted") {
			if _, err := ReadKey(file); err == nil || !strings.Contains(err.Error(), "encrypted") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := ReadItems(filepath.Join(t.TempDir(), "f")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	big := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(big, make([]byte, MaxPEM+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadItems(big); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
	if err := os.Truncate(big, MaxPEM); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadItems(big); err != nil && strings.Contains(err.Error(), "larger than") {
		t.Errorf("the largest file: %v", err)
	}
	for _, f := range []func(string) error{
		func(n string) error { _, err := ReadCertificates(n); return err },
		func(n string) error { _, err := ReadRequest(n); return err },
	} {
		if err := f(certFile("foo.key")); err == nil || !strings.Contains(err.Error(), "begins with RSA PRIVATE KEY") {
			t.Error(err)
		}
	}
	if _, err := ReadKey(certFile("foo.crt")); err == nil || !strings.Contains(err.Error(), "begins with CERTIFICATE") {
		t.Error(err)
	}
	for _, name := range []string{"foo.key", "foo-ec.key", "sign-private-pkcs8.pem"} {
		if _, err := ReadKey(certFile(name)); err != nil {
			t.Error(err)
		}
	}
}

// TestOpenSSLReadsOurs: the names, and for every kind of key the signature.
func TestOpenSSLReadsOurs(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	dir := t.TempDir()
	for _, kind := range []KeyKind{RSA2048, ECDSAP256, ECDSAP384, Ed25519} {
		key, err := NewKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		ca, err := NewAuthority("openssl's CA", key, Validity{time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		id := strings.Repeat("n", 200)
		r, err := NewRequest("foo", Names{DNS: []string{"a.example"}, NodeIDs: []string{id, "foo"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Sign(r, ca, key, Validity{ca.NotBefore, ca.NotAfter})
		if err != nil {
			t.Fatal(err)
		}
		file := func(name string) string { return filepath.Join(dir, name) }
		keyOut, err := KeyOutput(file("key"), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(true, keyOut, CertificateOutput(file("ca"), ca, 0o600), RequestOutput(file("req"), r, 0o600), CertificateOutput(file("crt"), c, 0o600)); err != nil {
			t.Fatal(err)
		}
		openSSL := func(args ...string) string {
			out, err := exec.Command(openssl, args...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: openssl %q: %v\n%s", kind, args, err, out)
			}
			return string(out)
		}
		openSSL("verify", "-x509_strict", "-CAfile", file("ca"), file("crt"))
		openSSL("pkey", "-in", file("key"), "-noout")
		openSSL("req", "-in", file("req"), "-noout", "-verify")
		if text := openSSL("x509", "-in", file("crt"), "-noout", "-text"); !strings.Contains(text, "othername: 1.3.6.1.4.1.2312.19.1::"+id) || !strings.Contains(text, "DNS:a.example") {
			t.Errorf("%s: openssl reads\n%s", kind, text)
		}
	}
}

func FuzzParseItems(f *testing.F) {
	for _, name := range []string{"foo.crt", "foo.csr", "foo.key", "foo-ec.key", "sign-public.pem", "noname.csr"} {
		data, err := os.ReadFile(certFile(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(append([]byte("text\n"), append(data, data...)...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := ParseItems(data)
		if err != nil {
			if items != nil {
				t.Fatal("items with an error")
			}
			return
		}
		for _, i := range items {
			if i.PrivateKey != nil {
				if _, err := marshalKey(i.PrivateKey); err != nil && i.Block != blockKey {
					t.Fatal(err)
				}
			}
			if i.Certificate != nil {
				Check(i.Certificate, Purpose{Node: "foo", Server: true, Host: "a", Authorities: []*x509.Certificate{i.Certificate}}, testNow)
			}
		}
	})
}

// FuzzSign: whatever request is signed has the names that were shown, and only these.
func FuzzSign(f *testing.F) {
	ca, caKey := readCert(f, "ca.crt"), readKey(f, "ca.key")
	f.Add(readRequest(f, "foo.csr").Raw, readRequest(f, "multi.csr").Extensions[0].Value)
	key := readKey(f, "foo.key")
	f.Fuzz(func(t *testing.T, der, san []byte) {
		requests := make([]*x509.CertificateRequest, 0, 2)
		if r, err := x509.ParseCertificateRequest(der); err == nil {
			requests = append(requests, r)
		}
		made, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: subjectAltName, Value: san}}}, key)
		if err != nil {
			return
		}
		if r, err := x509.ParseCertificateRequest(made); err == nil {
			requests = append(requests, r)
		}
		for _, r := range requests {
			c, err := Sign(r, ca, caKey, testValidity)
			if err != nil {
				continue
			}
			shown, others, err := RequestedNames(r)
			if err != nil {
				t.Fatal(err)
			}
			got, gotOthers, err := NamesOf(c)
			if err != nil || !reflect.DeepEqual(got, shown) || !slices.Equal(others, gotOthers) {
				t.Fatalf("%v, %q became %v, %q, %v", shown, others, got, gotOthers, err)
			}
			if ids, err := NodeIDs(c); err != nil || !slices.Equal(ids, shown.NodeIDs) {
				t.Fatal(ids, err)
			}
		}
	})
}
