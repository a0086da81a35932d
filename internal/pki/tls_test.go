package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
)

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// shake makes a handshake over a connection and exchanges a byte each way, as refused client certificates are
// seen by the client afterwards.
func shake(t *testing.T, server, client *tls.Config) (cs, ss tls.ConnectionState, atServer, atClient error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(20 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	s, c := tls.Server(a, server), tls.Client(b, client)
	var both sync.WaitGroup
	end := func(conn *tls.Conn, err *error, state *tls.ConnectionState) {
		if *err = conn.Handshake(); *err == nil {
			*state = conn.ConnectionState()
			if conn == s {
				conn.Write([]byte{1})
			} else {
				_, *err = conn.Read(make([]byte, 1))
			}
		}
	}
	both.Go(func() { end(s, &atServer, &ss) })
	both.Go(func() { end(c, &atClient, &cs) })
	both.Wait()
	return
}

// site has what the tests of verification need.
type site struct {
	dir      string
	ca, evil *pkitest.CA
}

func newSite(t *testing.T) *site {
	s := &site{dir: t.TempDir(), ca: pkitest.NewCA(t, "ca"), evil: pkitest.NewCA(t, "evil")}
	pkitest.File(t, s.dir+"/ca.crt", s.ca.PEM)
	pkitest.File(t, s.dir+"/evil-ca.crt", s.evil.PEM)
	year := time.Hour * 24 * 365
	for name, c := range map[string]pkitest.Template{
		"foo": {}, "bar": {},
		"nonode":  {Nodes: []string{}},
		"multi":   {Nodes: []string{"foo", "bar"}},
		"nodns":   {Nodes: []string{"foo"}, NoHosts: true},
		"expired": {Nodes: []string{"foo"}, From: time.Now().Add(-2 * year), To: time.Now().Add(-year)},
		"future":  {Nodes: []string{"foo"}, From: time.Now().Add(year), To: time.Now().Add(2 * year)},
		"client":  {Nodes: []string{"foo"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		"server":  {Nodes: []string{"bar"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
	} {
		s.ca.Write(s.dir, name, c)
	}
	s.evil.Write(s.dir, "evil", pkitest.Template{Nodes: []string{"foo"}})
	return s
}

func (s *site) file(name string) string {
	if name == "" {
		return ""
	}
	return s.dir + "/" + name
}

// pin is a fingerprint of a certificate of the site.
func (s *site) pin(t *testing.T, name string, long bool) []byte {
	t.Helper()
	b, err := readFile(s.file(name + ".crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if long {
		d := sha512.Sum512(block.Bytes)
		return d[:]
	}
	d := sha256.Sum256(block.Bytes)
	return d[:]
}

// TestVerification goes through the tables of spec certificates 4. Stricter than these: pins always count.
func TestVerification(t *testing.T) {
	s := newSite(t)
	pins := func(names ...string) (all [][]byte) {
		for i, n := range names {
			all = append(all, s.pin(t, n, i%2 == 1))
		}
		return all
	}
	const (
		mismatch = "RVF failed: presented certificate does not match any pinned fingerprint"
		bad      = "remote error: tls: bad certificate"
	)
	type server struct {
		cert, cas string
		require   bool
		pins      [][]byte
		skip      bool
	}
	type client struct {
		cert, cas string
		insecure  bool
		pins      [][]byte
	}
	plain := server{cert: "foo"}
	mutual := server{cert: "foo", cas: "ca.crt", require: true}
	trusting := client{cas: "ca.crt"}
	for _, test := range []struct {
		name     string
		server   server
		client   client
		host     string // "" is localhost; "mesh" is a stream from bar to foo
		atServer string // parts of the errors, "" for none
		atClient string
	}{
		{"server alone", plain, trusting, "", "", ""},
		{"by address", plain, trusting, "127.0.0.1", "", ""},
		{"by IPv6", plain, trusting, "::1", "", ""},
		{"another host", plain, trusting, "example.com", bad, "tls: failed to verify certificate: x509: certificate is valid for localhost, not example.com (certificate \"CN=foo\" of \"CN=ca\"; use an address that it names"},
		{"no host", plain, trusting, "none", bad, "x509: certificate is valid for localhost, not  ("},
		{"names of nodes are no hosts", server{cert: "nodns"}, trusting, "foo", bad, "is not valid for any names, but wanted to match foo"},
		{"foreign authority", server{cert: "evil"}, trusting, "", bad, "tls: failed to verify certificate: x509: certificate signed by unknown authority (certificate \"CN=evil\" of \"CN=evil\"; tls-client c trusts the authorities of " + s.dir + "/ca.crt"},
		{"system's authorities", plain, client{}, "", bad, "trusts the authorities of the system"},
		{"expired", server{cert: "expired"}, trusting, "", bad, "x509: certificate has expired or is not yet valid: current time "},
		{"not yet valid", server{cert: "future"}, trusting, "", bad, "renew it, or set the clocks right"},
		{"for clients", server{cert: "client"}, trusting, "", bad, "it is not made for this use"},
		{"the node of a server does not matter on links", server{cert: "bar", skip: true}, trusting, "", "", ""},
		{"pin", plain, client{cas: "ca.crt", pins: pins("foo")}, "", "", ""},
		{"second pin, SHA-512", plain, client{cas: "ca.crt", pins: pins("bar", "foo")}, "", "", ""},
		{"wrong pin", plain, client{cas: "ca.crt", pins: pins("bar")}, "", bad, mismatch},
		{"pin does not replace the chain", server{cert: "evil"}, client{cas: "ca.crt", pins: pins("evil")}, "", bad, "unknown authority"},
		{"insecure", server{cert: "evil"}, client{cas: "ca.crt", insecure: true}, "elsewhere", "", ""},
		{"insecure, pin", server{cert: "evil"}, client{insecure: true, pins: pins("evil")}, "elsewhere", "", ""},
		{"insecure, wrong pin", plain, client{insecure: true, pins: pins("bar")}, "", bad, mismatch},

		{"mutual", mutual, client{cert: "bar", cas: "ca.crt"}, "", "", ""},
		{"mutual, nobody asks for the node", mutual, client{cert: "nonode", cas: "ca.crt"}, "", "", ""},
		{"mutual, none", mutual, trusting, "", "tls: client didn't provide a certificate", "remote error: tls: certificate required"},
		{"mutual, of a foreign authority: is not shown", mutual, client{cert: "evil", cas: "ca.crt"}, "", "tls: client didn't provide a certificate", "certificate required"},
		{"mutual, expired", mutual, client{cert: "expired", cas: "ca.crt"}, "", "x509: certificate has expired or is not yet valid", bad},
		{"mutual, for servers", mutual, client{cert: "server", cas: "ca.crt"}, "", "it is not made for this use", bad},
		{"mutual without authorities", server{cert: "foo", require: true}, client{cert: "bar", cas: "ca.crt"}, "", "x509: certificate signed by unknown authority", bad},
		{"clientcas alone", server{cert: "foo", cas: "ca.crt"}, client{cert: "bar", cas: "ca.crt"}, "", "", ""},
		{"clientcas alone, none", server{cert: "foo", cas: "ca.crt"}, trusting, "", "RVF failed: peer certificate missing", bad},
		{"client's pin", server{cert: "foo", cas: "ca.crt", require: true, pins: pins("bar")}, client{cert: "bar", cas: "ca.crt"}, "", "", ""},
		{"client's pin, wrong", server{cert: "foo", cas: "ca.crt", require: true, pins: pins("multi")}, client{cert: "bar", cas: "ca.crt"}, "", mismatch, bad},
		{"client's pin alone", server{cert: "foo", pins: pins("evil")}, client{cert: "evil", cas: "ca.crt"}, "", "", ""},
		{"client's pin alone, wrong", server{cert: "foo", pins: pins("bar")}, client{cert: "evil", cas: "ca.crt"}, "", mismatch, bad},
		{"client's pin alone, none", server{cert: "foo", pins: pins("bar")}, trusting, "", "tls: client didn't provide a certificate", "certificate required"},

		{"stream", plain, trusting, "mesh", "", ""},
		{"stream, one of several nodes", server{cert: "multi"}, trusting, "mesh", "", ""},
		{"stream, no host names", server{cert: "nodns"}, trusting, "mesh", "", ""},
		{"stream, another node", server{cert: "bar", skip: true}, trusting, "mesh", bad, "x509: certificate is valid for Receptor node ID bar, not foo (certificate \"CN=bar\" of \"CN=ca\"; node foo needs a certificate that names it)"},
		{"stream, no node", server{cert: "nonode", skip: true}, trusting, "mesh", bad, "x509: certificate is not valid for any Receptor node IDs, but wanted to match foo"},
		{"stream, foreign authority", server{cert: "evil"}, trusting, "mesh", bad, "x509: certificate signed by unknown authority ("},
		{"stream, insecure", server{cert: "bar", skip: true}, client{insecure: true}, "mesh", "", ""},
		{"stream, insecure, wrong pin", plain, client{insecure: true, pins: pins("bar")}, "mesh", bad, mismatch},
		{"stream, wrong pin", plain, client{cas: "ca.crt", pins: pins("bar")}, "mesh", bad, mismatch},
		{"stream, mutual", mutual, client{cert: "bar", cas: "ca.crt"}, "mesh", "", ""},
		{"stream, mutual, another node", mutual, client{cert: "foo", cas: "ca.crt"}, "mesh", "x509: certificate is valid for Receptor node ID foo, not bar", bad},
		{"stream, mutual, no node", mutual, client{cert: "nonode", cas: "ca.crt"}, "mesh", "not valid for any Receptor node IDs", bad},
		{"stream, mutual, wrong pin", server{cert: "foo", cas: "ca.crt", require: true, pins: pins("multi")}, client{cert: "bar", cas: "ca.crt"}, "mesh", mismatch, bad},
		{"stream, clientcas alone, another node", server{cert: "foo", cas: "ca.crt"}, client{cert: "foo", cas: "ca.crt"}, "mesh", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log lines
			sv, err := NewServer(ServerConfig{
				Name: "s", Node: "foo", Cert: s.file(test.server.cert + ".crt"), Key: s.file(test.server.cert + ".key"), ClientCAs: s.file(test.server.cas),
				RequireClientCert: test.server.require, Pins: test.server.pins, SkipNames: test.server.skip, Logger: log.logger(),
			})
			if err != nil {
				t.Fatal(err)
			}
			cc := ClientConfig{Name: "c", RootCAs: s.file(test.client.cas), InsecureSkipVerify: test.client.insecure, Pins: test.client.pins, SkipNames: true, Logger: log.logger()}
			if test.client.cert != "" {
				cc.Cert, cc.Key = s.file(test.client.cert+".crt"), s.file(test.client.cert+".key")
			}
			cl, err := NewClient(cc)
			if err != nil {
				t.Fatal(err)
			}
			host := test.host
			switch host {
			case "":
				host = "localhost"
			case "none":
				host = ""
			}
			server, client := sv.Link(), cl.Host(host)
			if host == "mesh" {
				server, client = sv.Mesh(func(*tls.ClientHelloInfo) string { return "bar" }), cl.Node("foo")
			}
			_, _, atServer, atClient := shake(t, server, client)
			for _, side := range []struct {
				name, want string
				got        error
			}{{"server", test.atServer, atServer}, {"client", test.atClient, atClient}} {
				if side.want == "" && side.got != nil || side.want != "" && (side.got == nil || !strings.Contains(side.got.Error(), side.want)) {
					t.Errorf("at the %s: %v, want %q", side.name, side.got, side.want)
				}
			}
			if mine := test.atServer; host == "mesh" && mine != "" && mine != bad && !strings.Contains(log.String(), "certificate refused") {
				t.Errorf("the server's log does not say so: %s", log.String())
			}
			if strings.HasPrefix(test.atServer+test.atClient, "RVF") && !strings.Contains(log.String(), "RVF failed: ") {
				t.Errorf("no line of RVF: %s", log.String())
			}
		})
	}
}

// TestProtocols holds which versions, groups and suites are spoken (spec certificates 2).
func TestProtocols(t *testing.T) {
	s := newSite(t)
	for _, strict := range []bool{false, true} {
		sv, err := NewServer(ServerConfig{Name: "s", Node: "foo", Cert: s.file("foo.crt"), Key: s.file("foo.key"), MinTLS13: strict})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name         string
			change       func(*tls.Config)
			good, goodAt bool // without and with mintls13
		}{
			{"1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }, false, false},
			{"1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true, false},
			{"1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, true, true},
			{"X25519 alone", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, false, true},
			{"P-521 alone", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }, true, true},
			{"another suite", func(c *tls.Config) {
				c.MaxVersion = tls.VersionTLS12
				c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
			}, false, false},
			{"the suite for EC", func(c *tls.Config) {
				c.MaxVersion = tls.VersionTLS12
				c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			}, true, false},
		} {
			client := &tls.Config{InsecureSkipVerify: true}
			test.change(client)
			want := test.good
			if strict {
				want = test.goodAt
			}
			if _, _, _, err := shake(t, sv.Link(), client); (err == nil) != want {
				t.Errorf("%s, mintls13 %v: %v", test.name, strict, err)
			}
		}
	}
}

// TestNeighbours: a certificate that names nodes has to name the neighbour.
func TestNeighbours(t *testing.T) {
	s := newSite(t)
	mutual := ServerConfig{Name: "s", Node: "foo", Cert: s.file("foo.crt"), Key: s.file("foo.key"), ClientCAs: s.file("ca.crt"), RequireClientCert: true}
	for _, test := range []struct {
		name           string
		server, client func(*ServerConfig, *ClientConfig)
		cert           string
		wantServer     bool // accepts node bar
		wantClient     bool // accepts node foo
	}{
		{"right", nil, nil, "bar", true, true},
		{"several", nil, nil, "multi", true, true},
		{"none", nil, nil, "nonode", true, true},
		{"wrong", nil, nil, "foo", false, true},
		{"wrong, names are skipped", func(s *ServerConfig, _ *ClientConfig) { s.SkipNames = true }, nil, "foo", true, true},
		{"server is another node", func(c *ServerConfig, _ *ClientConfig) {
			c.Node, c.Cert, c.Key = "bar", s.file("bar.crt"), s.file("bar.key")
		}, nil, "bar", true, false},
		{"server is another node, insecure client", func(c *ServerConfig, cl *ClientConfig) {
			c.Node, c.Cert, c.Key = "bar", s.file("bar.crt"), s.file("bar.key")
			cl.InsecureSkipVerify = true
		}, nil, "bar", true, true},
		{"nobody asks for a certificate", func(c *ServerConfig, _ *ClientConfig) { c.ClientCAs, c.RequireClientCert = "", false }, nil, "foo", true, true},
	} {
		sc, cc := mutual, ClientConfig{Name: "c", Cert: s.file(test.cert + ".crt"), Key: s.file(test.cert + ".key"), RootCAs: s.file("ca.crt")}
		if test.server != nil {
			test.server(&sc, &cc)
		}
		sv, err := NewServer(sc)
		if err != nil {
			t.Fatal(err)
		}
		cl, err := NewClient(cc)
		if err != nil {
			t.Fatal(err)
		}
		cs, ss, atServer, atClient := shake(t, sv.Link(), cl.Host("localhost"))
		if atServer != nil || atClient != nil {
			t.Fatal(test.name, atServer, atClient)
		}
		if err := sv.CheckNeighbour(ss, "bar"); (err == nil) != test.wantServer {
			t.Errorf("%s: the server says %v", test.name, err)
		} else if err != nil && !strings.Contains(err.Error(), `certificate "CN=foo" of "CN=ca" is that of node foo, and its holder says that it is node bar`) {
			t.Error(err)
		}
		if err := cl.CheckNeighbour(cs, "foo"); (err == nil) != test.wantClient {
			t.Errorf("%s: the client says %v", test.name, err)
		}
	}
}

// TestStartChecks has the refusals of spec certificates 3, with their texts.
func TestStartChecks(t *testing.T) {
	s := newSite(t)
	pkitest.File(t, s.dir+"/empty.crt")
	for _, test := range []struct {
		c    ServerConfig
		want string
	}{
		{ServerConfig{Cert: "foo.crt", Key: "foo.key"}, ""},
		{ServerConfig{Cert: "multi.crt", Key: "multi.key"}, ""},
		{ServerConfig{Cert: "expired.crt", Key: "expired.key", ClientCAs: "empty.crt"}, ""},
		{ServerConfig{}, "error preparing tls server config: open : no such file or directory"},
		{ServerConfig{Cert: "gone.crt", Key: "foo.key"}, "error preparing tls server config: open DIR/gone.crt: no such file or directory"},
		{ServerConfig{Cert: "foo.crt", Key: "bar.key"}, "error preparing tls server config: tls: private key does not match public key"},
		{ServerConfig{Cert: "bar.crt", Key: "bar.key"}, "error preparing tls server config: nodeID=foo not found in certificate name(s); names found=[bar]; cfg section=s; server cert=DIR/bar.crt"},
		{ServerConfig{Cert: "bar.crt", Key: "bar.key", SkipNames: true}, ""},
		{ServerConfig{Cert: "nonode.crt", Key: "nonode.key"}, "names found=[]"},
		{ServerConfig{Cert: "foo.crt", Key: "foo.key", ClientCAs: "gone.crt"}, "error preparing tls server config: error reading client CAs file: open DIR/gone.crt"},
	} {
		test.c.Name, test.c.Node = "s", "foo"
		test.c.Cert, test.c.Key, test.c.ClientCAs = s.file(test.c.Cert), s.file(test.c.Key), s.file(test.c.ClientCAs)
		want := strings.ReplaceAll(test.want, "DIR", s.dir)
		if _, err := NewServer(test.c); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", test.c, err, want)
		}
	}
	for _, test := range []struct {
		c    ClientConfig
		want string
	}{
		{ClientConfig{}, ""},
		{ClientConfig{Cert: "foo.crt"}, "error preparing tls client config: cert and key must both be supplied or neither"},
		{ClientConfig{Cert: "bar.crt", Key: "bar.key"}, "nodeID=foo not found in certificate name(s)"},
		{ClientConfig{RootCAs: "gone.crt"}, "error preparing tls client config: error reading root CAs file: open "},
	} {
		test.c.Name, test.c.Node = "c", "foo"
		test.c.Cert, test.c.Key, test.c.RootCAs = s.file(test.c.Cert), s.file(test.c.Key), s.file(test.c.RootCAs)
		if _, err := NewClient(test.c); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %s", test.c, err, test.want)
		}
	}
}

// TestOneConfigPerNode: sessions are shared by configuration.
func TestOneConfigPerNode(t *testing.T) {
	cl, err := NewClient(ClientConfig{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	a := cl.Node("a")
	if again := cl.Node("a"); again != a || cl.Node("b") == a {
		t.Error("configurations are not one for each node")
	}
	for i := range 3 * maxNodes {
		cl.Node(strings.Repeat("n", i%250) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)))
	}
	if len(cl.nodes) > maxNodes {
		t.Errorf("%d are kept", len(cl.nodes))
	}
}

// TestListen: who does not pass the handshake costs little and holds up nobody.
func TestListen(t *testing.T) {
	s := newSite(t)
	sv, err := NewServer(ServerConfig{Name: "s", Node: "foo", Cert: s.file("foo.crt"), Key: s.file("foo.key")})
	if err != nil {
		t.Fatal(err)
	}
	open := func(limit int, timeout time.Duration) (*listener, *lines) {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		log := &lines{}
		ln := newListener(tcp, sv.Link(), log.logger(), limit, timeout)
		t.Cleanup(func() { ln.Close() })
		return ln, log
	}
	dial := func(ln *listener) net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	closed := func(c net.Conn) {
		t.Helper()
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v, want a connection that is closed without a word", n, err)
		}
	}
	passes := func(ln *listener) {
		t.Helper()
		c := tls.Client(dial(ln), &tls.Config{InsecureSkipVerify: true})
		go c.Write([]byte{7})
		a, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if n, err := a.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}

	t.Run("silent", func(t *testing.T) {
		ln, log := open(10, 50*time.Millisecond)
		closed(dial(ln))
		plain := dial(ln)
		plain.Write([]byte("status\n"))
		closed(plain)
		for _, want := range []string{"TLS handshake failed", "first record does not look like a TLS handshake", "context deadline exceeded"} {
			until(t, want, log, func() bool { return strings.Contains(log.String(), want) })
		}
	})
	t.Run("flood", func(t *testing.T) {
		ln, _ := open(4, 20*time.Second)
		first := dial(ln)
		for range 4 {
			dial(ln)
		}
		closed(first)
		passes(ln)
	})
	t.Run("end", func(t *testing.T) {
		ln, _ := open(4, 20*time.Second)
		c := dial(ln)
		ended := make(chan error)
		go func() { _, err := ln.Accept(); ended <- err }()
		ln.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		closed(c)
	})
}
