package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
	"github.com/receptor-go/receptor/internal/pki/pkitest"
)

// alphaConf is the node of tls-cases.json: a link that wants certificates, and
// two control services on the mesh, of which one does.
const alphaConf = `
- node: {id: alpha, datadir: DIR/data}
- log-level: debug
- tls-server: {name: srv, cert: CERTS/alpha.crt, key: CERTS/alpha.key, requireclientcert: true, clientcas: CERTS/ca.crt}
- tls-server: {name: open, cert: CERTS/alpha.crt, key: CERTS/alpha.key}
- tls-client: {name: cli, cert: CERTS/alpha.crt, key: CERTS/alpha.key, rootcas: CERTS/ca.crt}
- control-service: {filename: DIR/s, tls: srv}
- control-service: {service: ctlsrv, tls: open}
- tcp-listener: {bindaddr: 127.0.0.1, port: PORT, tls: srv}
`

// tlsCases are the cases of tls-cases.json and how they end.
type tlsCases struct {
	t     *testing.T
	certs string
	addr  string // of alpha's listener
	alpha *testDaemon
	probe *mesh.Node // linked with alpha
}

// node runs a node of the mesh in this process until the test ends.
func (c *tlsCases) node(id wire.NodeID) (*mesh.Node, context.Context, *sync.WaitGroup) {
	c.t.Helper()
	n, err := mesh.New(mesh.Config{ID: id})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	running := &sync.WaitGroup{}
	c.t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { n.Run(ctx) })
	return n, ctx, running
}

// client is a configuration that verifies nothing, with the certificate of a
// name, or with none.
func (c *tlsCases) client(name string, curves ...tls.CurveID) *tls.Config {
	c.t.Helper()
	conf := &tls.Config{InsecureSkipVerify: true, CurvePreferences: curves}
	if name != "" {
		conf.Certificates = []tls.Certificate{c.pair(name)}
	}
	return conf
}

func (c *tlsCases) pair(name string) tls.Certificate {
	c.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.certs, name+".crt"), filepath.Join(c.certs, name+".key"))
	if err != nil {
		c.t.Fatal(err)
	}
	return pair
}

// join links a node with alpha, by the certificate of a name: "ok", or why not.
// If it stays, the link lasts until the test ends.
// A reset that overtakes the alert tells nothing: then it is tried again.
func (c *tlsCases) join(id wire.NodeID, cert string) (result string, n *mesh.Node) {
	for range 10 {
		if result, n = c.joinOnce(id, cert); !strings.Contains(result, "reset by peer") && !strings.Contains(result, "broken pipe") {
			break
		}
	}
	return result, n
}

func (c *tlsCases) joinOnce(id wire.NodeID, cert string) (string, *mesh.Node) {
	n, ctx, running := c.node(id)
	ended := make(chan error, 1)
	running.Go(func() {
		ended <- n.KeepLink(ctx, link.DialTCP(c.addr, c.client(cert)), mesh.LinkPolicy{Cost: 1}, false)
	})
	deadline := time.After(patience)
	for {
		select {
		case err := <-ended:
			return err.Error(), n
		case <-deadline:
			return "nothing in " + patience.String(), n
		case <-time.After(5 * time.Millisecond):
		}
		for _, have := range c.alpha.connections() {
			if have == string(id)+" 1" {
				return "ok", n
			}
		}
	}
}

// stream opens a stream from the probe and returns the greeting with the key
// exchange, or why there is none.
func (c *tlsCases) stream(service wire.Service, conf *tls.Config) string {
	var curve tls.CurveID
	conf.VerifyConnection = func(cs tls.ConnectionState) error { curve = cs.CurveID; return nil }
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	conn, err := c.probe.Dial(ctx, "alpha", service, conf)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q key exchange %v", strings.TrimSuffix(line, "\n"), curve)
}

// dialled has alpha open a stream to a service of the probe with the certificate
// of a name: what alpha replies, and what the service says and sees.
func (c *tlsCases) dialled(service wire.Service, cert, client string) string {
	c.t.Helper()
	seen := make(chan tls.ConnectionState, 1)
	ln, err := c.probe.Listen(mesh.Service{Name: service, Advertise: true, TLS: &tls.Config{
		Certificates: []tls.Certificate{c.pair(cert)}, ClientAuth: tls.RequestClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error { seen <- cs; return nil },
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer ln.Close()
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "hello")
			conn.Close()
		}
	})
	conn, err := net.Dial("unix", c.alpha.socket())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		c.t.Fatal(err)
	}
	fmt.Fprintf(conn, "connect probe %s%s\n", service, client)
	reply, err := r.ReadString('\n')
	if err != nil || reply != "Connecting\n" {
		return strings.TrimSuffix(reply, "\n")
	}
	line, err := r.ReadString('\n')
	cs := <-seen
	return fmt.Sprintf("%s%s, client certs %d, SNI %q\n%v", reply, strings.TrimSuffix(line, "\n"), len(cs.PeerCertificates), cs.ServerName, err)
}

// stricterTLS are the cases that end otherwise here, as patterns. Each is in
// docs/differences.md, word by word as in the value.
var stricterTLS = map[string]struct{ result, written string }{
	"join over a TLS backend as node imposter with a client certificate for node wrong": {
		"^remote node rejected the connection",
		"A certificate that names nodes has to name the neighbour that shows it on a link",
	},
}

// TestTLSCases: joins and streams with right and wrong certificates end as with
// ansible/receptor, but for those that are stricter.
func TestTLSCases(t *testing.T) {
	data, err := os.ReadFile("testdata/tls-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Rows []struct{ Case, Result string }
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors.Rows) != 12 {
		t.Fatalf("%d cases, %v", len(vectors.Rows), err)
	}
	c := &tlsCases{t: t, certs: t.TempDir()}
	ca := pkitest.NewCA(t, "ca")
	pkitest.File(t, c.certs+"/ca.crt", ca.PEM)
	for _, name := range []string{"alpha", "probe", "wrong"} {
		ca.Write(c.certs, name, pkitest.Template{})
	}
	port := freePort(t)
	c.addr = "127.0.0.1:" + port
	c.alpha = startDaemon(t, strings.ReplaceAll(in(c.certs, alphaConf), "PORT", port))
	run := map[string]func() string{
		"join over a TLS backend as node imposter with a client certificate for node wrong": func() string { r, _ := c.join("imposter", "wrong"); return r },
		"join over a TLS backend as node probe with a client certificate for node probe": func() string {
			r, n := c.join("probe", "probe")
			c.probe = n
			return r
		},
		"join over a TLS backend that requires client certificates, without one": func() string { r, _ := c.join("nobody", ""); return r },

		"stream to control (client certificate required), right certificate for node probe": func() string { return c.stream("control", c.client("probe")) },
		"stream to control, certificate for another node":                                   func() string { return c.stream("control", c.client("wrong")) },
		"stream to control, no client certificate":                                          func() string { return c.stream("control", c.client("")) },
		"stream to ctlsrv (server certificate only), no client certificate":                 func() string { return c.stream("ctlsrv", c.client("")) },
		"stream to ctlsrv, only X25519 offered":                                             func() string { return c.stream("ctlsrv", c.client("", tls.X25519)) },
		"stream to ctlsrv, only P-256 offered":                                              func() string { return c.stream("ctlsrv", c.client("", tls.CurveP256)) },

		"original dials our TLS service with its tls-client config, our certificate names node probe": func() string { return c.dialled("right", "probe", " cli") },
		"original dials our TLS service, our certificate names another node":                          func() string { return c.dialled("wrong", "wrong", " cli") },
		"original dials our TLS service without a tls-client config":                                  func() string { return c.dialled("plain", "probe", "") },
	}
	doc, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range vectors.Rows {
		f := run[row.Case]
		if f == nil {
			t.Fatalf("nothing does %q", row.Case)
		}
		// Behind the text may stand which certificate it is about.
		want := "^(dial alpha:\\w+: |receive: |send: )?" + regexp.QuoteMeta(row.Result) + `( \(.*\))?$`
		if s, ok := stricterTLS[row.Case]; ok {
			want = s.result
			if !strings.Contains(string(doc), s.written) {
				t.Errorf("docs/differences.md does not say that %s", s.written)
			}
		}
		if got := f(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q, want %s", row.Case, got, want)
		}
	}
	if t.Failed() {
		t.Log(c.alpha.logged())
	}
}
