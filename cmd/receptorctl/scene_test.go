package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scene is a directory with a fake daemon's socket and the files that a
// recorded call was made with, and the names that stand for them in it.
type scene struct {
	t     *testing.T
	dir   string
	fake  *fake
	names []string // old, new, old, new
}

func newScene(t *testing.T, v vector, version int) *scene {
	dir, err := os.MkdirTemp("", "ctl") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Chdir(dir)
	s := &scene{t: t, dir: dir, fake: newFake(t, version, v.conns)}
	if v.name == "cli-results-cancelled-local" { // its state is asked for while the stream is silent
		s.fake.exchanges = append(s.fake.exchanges, &exchange{
			request: requestKey([]byte("work status CaVg0qJV")),
			replies: []string{`{"Detail":"Canceled","ExtraData":null,"State":4,"StateName":"Canceled","StdoutSize":21,"WorkType":"sleep-loop"}` + "\n"},
		})
	}
	writeFile(t, "payload.txt", "line one\nline two\n")
	writeFile(t, "params.txt", "from a file")

	stale := s.socket("stale.sock").(*net.UnixListener)
	stale.SetUnlinkOnClose(false)
	stale.Close()
	s.rename("/run/mesh/backend/controller01.sock", filepath.Join(dir, "stale.sock"))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	s.rename("27999", port(closed))

	ln := s.socket("daemon.sock")
	for _, name := range []string{"/run/mesh/controller01.sock", "/run/mesh/front.sock", "/run/mesh/fake.sock"} {
		s.rename(name, filepath.Join(dir, "daemon.sock"))
	}
	s.rename("/run/mesh/missing.sock", filepath.Join(dir, "missing.sock"))
	if v.name == "cli-not-receptor" {
		s.fake.greeting = "220 mail.example.org ESMTP\n"
	}
	if strings.Contains(v.command, ":2730") {
		ln.Close()
		ln = s.tls(v, version)
	}
	s.fake.listen(ln)
	return s
}

func (s *scene) socket(name string) net.Listener {
	ln, err := net.Listen("unix", filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return ln
}

func (s *scene) rename(old, new string) { s.names = append(s.names, old, new) }

func (s *scene) replace(text string) string { return strings.NewReplacer(s.names...).Replace(text) }

func port(ln net.Listener) string {
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// tls makes the certificates and the listener of the recordings over TLS, whose
// wire is not shown: each is a call of version, or a submit of cat.
func (s *scene) tls(v vector, version int) net.Listener {
	recorded := "testdata/vectors/cli-version.txt"
	if strings.Contains(v.command, "submit") {
		recorded = "testdata/vectors/cli-submit-payload-stdin.txt"
	}
	conns := readVector(s.t, filepath.Join(packageDir, recorded)).conns
	if strings.Contains(v.command, "submit") {
		conns[0] = withPayload(conns[0], string(v.stdin))
		conns[1] = withResults(conns[1], string(v.stdin))
	}
	if v.exit != 0 {
		conns = nil
	}
	s.fake = newFake(s.t, version, conns)

	ca := newCA(s.t, "ca")
	ca.write("/run/mesh/pki/ca.crt", "", s)
	newCA(s.t, "other").write("/run/mesh/pki/otherca.crt", "", s)
	ca.issue(s.t, "controller01").write("/run/mesh/pki/controller01.crt", "/run/mesh/pki/controller01.key", s)
	server := ca.issue(s.t, "localhost")
	config := &tls.Config{Certificates: []tls.Certificate{server.pair()}}
	if strings.Contains(v.command, ":27303") {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AddCert(ca.cert)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		s.t.Fatal(err)
	}
	if v.name == "tls-cli-plain-to-tls" {
		ln = impatient{ln}
	}
	s.rename("27302", port(ln))
	s.rename("27303", port(ln))
	writeFile(s.t, "controller01.yml", s.replace(`
- node:
    id: controller01
- local-only
- tls-client:
    name: other
    rootcas: /nowhere
- TLS-Client:
    name: mesh-client
    rootCAs: /run/mesh/pki/ca.crt
    cert: /run/mesh/pki/controller01.crt
    key: /run/mesh/pki/controller01.key
`))
	s.rename("/run/mesh/controller01.yml", "controller01.yml")
	return ln
}

func withPayload(conn []event, payload string) []event {
	var out []event
	for _, e := range conn {
		if e.client && !e.end && !strings.HasPrefix(e.data, "{") {
			if payload == "" {
				continue
			}
			e.data, payload = payload, ""
		}
		out = append(out, e)
	}
	return out
}

func withResults(conn []event, results string) []event {
	return []event{conn[0], conn[1], conn[2], {data: results}, {end: true}}
}

// impatient is a TLS server that gives up a handshake at once: a client that
// waits for a greeting in the clear is closed.
type impatient struct{ net.Listener }

func (l impatient) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		conn.SetDeadline(time.Now())
	}
	return conn, err
}

// keyPair is a certificate and its key; a CA's can issue others.
type keyPair struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string) *keyPair { return newPair(t, name, nil) }

func (ca *keyPair) issue(t *testing.T, name string) *keyPair { return newPair(t, name, ca) }

func newPair(t *testing.T, name string, ca *keyPair) *keyPair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	} else {
		template.IsCA, template.BasicConstraintsValid = true, true
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &keyPair{t: t, cert: cert, key: key}
}

func (p *keyPair) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}
}

// write writes the certificate and, if it has a name, the key; the names are
// those of the recording.
func (p *keyPair) write(cert, key string, s *scene) {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	s.rename(cert, filepath.Base(cert))
	writeFile(p.t, filepath.Join(s.dir, filepath.Base(cert)), string(block))
	if key == "" {
		return
	}
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	block = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	s.rename(key, filepath.Base(key))
	writeFile(p.t, filepath.Join(s.dir, filepath.Base(key)), string(block))
}
