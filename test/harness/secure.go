package harness

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
)

// Secure is a chain like that of Chain, whose links speak TLS with certificates of both sides, as do the control
// service of the executor and a proxy from the controller to it.
type Secure struct {
	Controller, Relay, Executor *Node

	dir           string
	proxy, target int // port of the proxy, and where it leads
	control       int // port of the relay's control service over TCP with TLS
}

// SecureChain starts controller01 - relayer01 - executor01 and waits until the ends reach each other. Each has files of
// its own: tls.crt and tls.key of an authority, and ca.crt, which it trusts.
func SecureChain(t *testing.T, ca *pkitest.CA, transport string, controllerBy, relayBy, executorBy Programs) *Secure {
	t.Helper()
	dir := Dir(t)
	s := &Secure{dir: dir, proxy: FreePort(t), target: FreePort(t), control: FreePort(t)}
	port := FreePort(t)
	address := fmt.Sprintf("localhost:%d", port)
	if transport == "ws" {
		address = "wss://" + address
	}
	peer := fmt.Sprintf("- %s-peer: {address: %q, tls: cli}\n", transport, address)
	s.Relay = New(t, relayBy, dir, "relayer01", s.sections("relayer01")+
		fmt.Sprintf("- %s-listener: {bindaddr: 127.0.0.1, port: %d, tls: srv}\n", transport, port)+
		fmt.Sprintf("- control-service: {service: ctltcp, tcplisten: \"127.0.0.1:%d\", tcptls: srv}\n", s.control))
	s.Controller = New(t, controllerBy, dir, "controller01", s.sections("controller01")+peer+
		fmt.Sprintf("- tcp-server: {bindaddr: 127.0.0.1, port: %d, remotenode: executor01, remoteservice: echo, tlsserver: srv, tlsclient: cli}\n", s.proxy))
	s.Executor = New(t, executorBy, dir, "executor01", s.sections("executor01")+peer+WorkTypes+
		fmt.Sprintf("- tcp-client: {service: echo, address: \"localhost:%d\", tlsserver: srv, tlsclient: cli}\n", s.target))
	s.Executor.Keys = ", tls: srv"
	for _, n := range s.Nodes() {
		if err := os.MkdirAll(s.files(n.ID), 0o700); err != nil {
			t.Fatal(err)
		}
		s.Trust(t, n, ca)
		s.Certify(t, n, ca)
	}
	for _, n := range s.Nodes() {
		n.Start()
	}
	s.Controller.Reach(s.Relay, s.Executor)
	s.Executor.Reach(s.Controller)
	return s
}

// Nodes are all of them.
func (s *Secure) Nodes() []*Node { return []*Node{s.Relay, s.Controller, s.Executor} }

// files is where a node has its certificate.
func (s *Secure) files(id string) string { return filepath.Join(s.dir, "tls-"+id) }

func (s *Secure) sections(id string) string {
	pair := fmt.Sprintf("cert: %q, key: %q", s.files(id)+"/tls.crt", s.files(id)+"/tls.key")
	ca := s.files(id) + "/ca.crt"
	return fmt.Sprintf("- tls-server: {name: srv, %s, requireclientcert: true, clientcas: %q}\n- tls-client: {name: cli, %s, rootcas: %q}\n", pair, ca, pair, ca)
}

// Trust writes the authorities that a node trusts.
func (s *Secure) Trust(t *testing.T, n *Node, cas ...*pkitest.CA) {
	t.Helper()
	var bundle [][]byte
	for _, ca := range cas {
		bundle = append(bundle, ca.PEM)
	}
	pkitest.File(t, s.files(n.ID)+"/ca.crt", bundle...)
}

// Certify gives a node a new certificate.
func (s *Secure) Certify(t *testing.T, n *Node, ca *pkitest.CA) {
	t.Helper()
	cert, key := ca.Sign(n.ID, pkitest.Template{Nodes: []string{n.ID}})
	pkitest.File(t, s.files(n.ID)+"/tls.crt", cert)
	pkitest.File(t, s.files(n.ID)+"/tls.key", key)
}

// client is what a client at the relay would use.
func (s *Secure) client(t *testing.T) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(s.files("relayer01")+"/tls.crt", s.files("relayer01")+"/tls.key")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(s.files("relayer01") + "/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "localhost"}
}

// SecureScenes runs what a user of TLS does.
func SecureScenes(t *testing.T, s *Secure) {
	t.Run("work needs the TLS client", func(t *testing.T) { s.work(t) })
	t.Run("connect", func(t *testing.T) { s.connect(t) })
	t.Run("proxy", func(t *testing.T) { s.Proxy(t) })
	t.Run("control over TCP", func(t *testing.T) { s.Control(t) })
}

func (s *Secure) work(t *testing.T) {
	c := s.Controller
	id := Submit(t, c, "gather-hostname", "--node", "executor01", "--no-payload", "--tls-client", "cli")
	if out := c.Run("work", "results", id); out != Hostname(t) {
		t.Errorf("got %q, want %q", out, Hostname(t))
	}
	// A program of either kind may answer the submission with the error, or keep a unit that fails.
	r := c.Try("work", "submit", "gather-hostname", "--node", "executor01", "--no-payload")
	_, id, submitted := strings.Cut(r.Stdout, "Unit ID: ")
	if !submitted {
		if !strings.Contains(r.Stdout+r.Stderr, "insecure connection to secure service") {
			t.Errorf("without TLS: %+v", r)
		}
		return
	}
	c.Eventually("fail work without TLS", func() bool {
		u, _ := c.Unit(strings.TrimSpace(id))
		return u.State == 3 && strings.HasPrefix(u.Detail, "TLS error connecting to remote service: CRYPTO_ERROR 0x12a (local): insecure connection to secure service")
	})
}

func (s *Secure) connect(t *testing.T) {
	for request, want := range map[string]string{
		"connect executor01 control cli":  "Connecting",
		"connect executor01 control":      "ERROR: CRYPTO_ERROR 0x12a (local): insecure connection to secure service",
		"connect executor01 control nope": "ERROR: unknown TLS config nope",
	} {
		if got, err := s.Controller.Ask(request); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, %v; want %q", request, got, err, want)
		}
	}
}

// Proxy sends something through the proxy, with TLS on each of its four sides, and back.
func (s *Secure) Proxy(t *testing.T) {
	t.Helper()
	target, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.target), s.client(t))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() { // ends with the listener
		for {
			c, err := target.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 5)
			io.ReadFull(c, b)
			c.Write([]byte(strings.ToUpper(string(b))))
			c.Close()
		}
	}()
	s.Controller.Eventually("carry bytes through the proxy", func() bool {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: Patience}, Config: s.client(t)}
		c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.proxy))
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(Patience))
		io.WriteString(c, "bytes")
		b := make([]byte, 5)
		_, err = io.ReadFull(c, b)
		return err == nil && string(b) == "BYTES"
	})
}

// Control asks the relay for its status over TCP with TLS, by the CLI.
func (s *Secure) Control(t *testing.T) {
	t.Helper()
	address := fmt.Sprintf("tls://localhost:%d", s.control)
	file := func(name string) string { return s.files("relayer01") + "/" + name }
	good := []string{"--socket", address, "--rootcas", file("ca.crt"), "--cert", file("tls.crt"), "--key", file("tls.key"), "status"}
	out, err := exec.Command(s.Relay.Ctl, good...).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "Node ID: relayer01\n") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command(s.Relay.Ctl, "--socket", address, "--rootcas", file("ca.crt"), "status").CombinedOutput()
	if err == nil {
		t.Errorf("without a certificate: %s", out)
	}
}
