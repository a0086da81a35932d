package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/pki/pkitest"
)

const tlsHub = `
- node: {id: hub, datadir: DIR/data}
- log-level: debug
- control-service: {filename: DIR/s}
- tls-server: {name: srv, cert: CERTS/hub.crt, key: CERTS/hub.key, requireclientcert: true, clientcas: CERTS/ca.crt}
- tls-client: {name: cli, cert: CERTS/hub.crt, key: CERTS/hub.key, rootcas: CERTS/ca.crt}
`

const tlsLeaf = `
- node: {id: leaf, datadir: DIR/data}
- log-level: debug
- control-service: {filename: DIR/s, tls: srv}
- tls-server: {name: srv, cert: CERTS/leaf.crt, key: CERTS/leaf.key, requireclientcert: true, clientcas: CERTS/ca.crt}
- tls-client: {name: cli, cert: CERTS/leaf.crt, key: CERTS/leaf.key, rootcas: CERTS/ca.crt}
`

// in replaces CERTS by a directory.
func in(certs, conf string) string { return strings.ReplaceAll(conf, "CERTS", certs) }

// linked waits for the neighbours of a node.
func (d *testDaemon) linked(want ...string) {
	d.t.Helper()
	d.until("links to "+strings.Join(want, " and "), func() bool { return slices.Equal(d.connections(), want) })
}

// waitLog waits for texts in the log.
func (d *testDaemon) waitLog(texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		d.until("line "+text, func() bool { return strings.Contains(d.logged(), text) })
	}
}

// Nodes link over TCP and WebSocket with certificates of both sides, and a
// control service with TLS is reached with them.
func TestLinksWithTLS(t *testing.T) {
	certs := t.TempDir()
	ca := pkitest.NewCA(t, "ca")
	pkitest.File(t, certs+"/ca.crt", ca.PEM)
	ca.Write(certs, "hub", pkitest.Template{DNS: []string{"localhost"}})
	ca.Write(certs, "leaf", pkitest.Template{})
	for _, test := range []struct{ listener, peer string }{
		{"- tcp-listener: {bindaddr: 127.0.0.1, port: 2351, tls: srv}\n", "- tcp-peer: {address: 'localhost:2351', tls: cli}\n"},
		{"- ws-listener: {bindaddr: 127.0.0.1, port: 2351, tls: srv}\n", "- ws-peer: {address: 'wss://localhost:2351', tls: cli}\n"},
	} {
		h := startDaemon(t, in(certs, tlsHub)+test.listener)
		leaf := startDaemon(t, in(certs, tlsLeaf)+test.peer)
		h.linked("leaf 1")
		leaf.linked("hub 1")
		h.until("control service of leaf", func() bool { return strings.Contains(h.ask("status"), `"ConnType":2`) })
		if got := h.ask("connect leaf control cli"); !strings.Contains(got, "Connecting") {
			t.Errorf("with TLS: %s", got)
		}
		if got := h.ask("connect leaf control"); got != "ERROR: CRYPTO_ERROR 0x12a (local): insecure connection to secure service" {
			t.Errorf("without TLS: %s", got)
		}
		leaf.stop()
		h.stop()
	}
}

// site is a directory with certificates for the nodes hub and leaf.
func site(t *testing.T) (dir string, ca *pkitest.CA) {
	dir, ca = t.TempDir(), pkitest.NewCA(t, "ca")
	pkitest.File(t, dir+"/ca.crt", ca.PEM)
	ca.Write(dir, "hub", pkitest.Template{})
	ca.Write(dir, "leaf", pkitest.Template{})
	return dir, ca
}

// A neighbour whose certificate is that of another node is refused, and both
// sides say why, unless names are not to be checked. One without names of nodes
// is taken.
func TestNeighbourNeedsItsOwnCertificate(t *testing.T) {
	certs, ca := site(t)
	ca.Write(certs, "other", pkitest.Template{})
	ca.Write(certs, "nameless", pkitest.Template{Nodes: []string{}})
	for _, transport := range []struct{ listener, peer string }{
		{"- tcp-listener: {bindaddr: 127.0.0.1, port: 2361, tls: srv}\n", "- tcp-peer: {address: 'localhost:2361', tls: cli}\n"},
		{"- ws-listener: {bindaddr: 127.0.0.1, port: 2361, tls: srv}\n", "- ws-peer: {address: 'wss://localhost:2361', tls: cli}\n"},
	} {
		for _, test := range []struct {
			hub, leaf string // certificate and more, for either
			want      string // of the error in both logs
		}{
			{"hub", "other", `certificate "CN=other" of "CN=ca" is that of node other, and its holder says that it is node leaf: node leaf needs a certificate that names it, or who checks it (tls-server srv) needs skipreceptornamescheck`},
			{"other", "leaf", `certificate "CN=other" of "CN=ca" is that of node other, and its holder says that it is node hub: node hub needs a certificate that names it, or who checks it (tls-client cli) needs skipreceptornamescheck`},
			{"hub", "nameless", ""},
			{"nameless", "leaf", ""},
		} {
			entry := func(name string) string {
				return strings.ReplaceAll("cert: CERTS/NAME.crt, key: CERTS/NAME.key", "NAME", name)
			}
			// Who has a certificate of another node does not start unless it says that this is meant.
			skips := func(name, own string) string {
				if name == own {
					return ""
				}
				return ", skipreceptornamescheck: true"
			}
			h := startDaemon(t, in(certs, "- node: {id: hub, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tls-server: {name: srv, requireclientcert: true, clientcas: CERTS/ca.crt, "+
				entry(test.hub)+skips(test.hub, "hub")+"}\n"+transport.listener))
			leaf := startDaemon(t, in(certs, "- node: {id: leaf, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tls-client: {name: cli, rootcas: CERTS/ca.crt, "+
				entry(test.leaf)+skips(test.leaf, "leaf")+"}\n"+transport.peer))
			if test.want == "" {
				h.linked("leaf 1")
				leaf.linked("hub 1")
			} else {
				h.waitLog(test.want)
				leaf.waitLog(test.want)
				h.waitLog("ERROR")
				leaf.waitLog("ERROR")
				if len(h.connections())+len(leaf.connections()) > 0 {
					t.Error("the link is up")
				}
			}
			leaf.stop()
			h.stop()
		}
	}
	// What is meant is taken.
	h := startDaemon(t, in(certs, strings.Replace(tlsHub, "requireclientcert", "skipreceptornamescheck: true, requireclientcert", 1))+"- tcp-listener: {bindaddr: 127.0.0.1, port: 2361, tls: srv}\n")
	leaf := startDaemon(t, in(certs, strings.ReplaceAll(strings.ReplaceAll(tlsLeaf, "CERTS/leaf", "CERTS/other"), "{name: ", "{skipreceptornamescheck: true, name: "))+
		"- tcp-peer: {address: 'localhost:2361', tls: cli}\n")
	h.linked("leaf 1")
	leaf.linked("hub 1")
}

// The control service over TCP with TLS answers those who pass the handshake,
// and status says what ends soon.
func TestControlOverTLS(t *testing.T) {
	certs, ca := site(t)
	cert, key := ca.Write(certs, "client", pkitest.Template{})
	d := startDaemon(t, in(certs, tlsHub)+"- control-service: {service: tcpctl, tcplisten: 'HOST:2371', tcptls: srv}\n- tcp-listener: {bindaddr: HOST, port: 2372}\n")
	d.waitLog("Initialization complete") // the socket answers before the port is open
	if strings.Contains(d.ask("status"), "Certificates") {
		t.Error("status tells of certificates though none ends soon")
	}
	var all struct{ Certificates []controlproto.Certificate }
	if err := json.Unmarshal([]byte(d.ask(`{"command":"status","requested_fields":["Certificates"]}`)), &all); err != nil || len(all.Certificates) != 4 ||
		all.Certificates[0].Section != "tls-server" || all.Certificates[0].Name != "srv" || all.Certificates[0].Use != "certificate" || all.Certificates[0].File != certs+"/hub.crt" {
		t.Errorf("%+v, %v", all, err)
	}

	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	dial := func(c *tls.Config) (string, error) {
		c.RootCAs, c.ServerName = roots, "localhost"
		conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", d.fill("HOST:2371"))
		if err != nil {
			return "", err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		line, err := bufio.NewReader(conn).ReadString('\n')
		return line, err
	}
	if line, err := dial(&tls.Config{Certificates: []tls.Certificate{pair}}); line != "Receptor Control, node hub\n" {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := dial(&tls.Config{}); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
	d.waitLog("ERROR", "TLS handshake error: tls: client didn't provide a certificate. Closing socket.")

	// The section changes: the listener stays, and new clients meet what is new.
	ca.Write(certs, "hub", pkitest.Template{To: time.Now().Add(50 * time.Hour)})
	d.reload(in(certs, strings.Replace(tlsHub, "requireclientcert: true, clientcas: CERTS/ca.crt", "requireclientcert: false", 1)) +
		"- control-service: {service: tcpctl, tcplisten: 'HOST:2371', tcptls: srv}\n- tcp-listener: {bindaddr: HOST, port: 2372}\n")
	if line, err := dial(&tls.Config{}); line != "Receptor Control, node hub\n" {
		t.Errorf("after the reload: %q, %v", line, err)
	}
	d.waitLog("certificate ends soon")
	if s := d.ask("status"); !strings.Contains(s, `"Certificates":[{"Section":"tls-server"`) {
		t.Errorf("status does not warn: %s", s)
	}
}

// A proxy's port with TLS passes on who passes the handshake. Who does not is
// logged, and holds up nobody: the oldest of too many gives way.
func TestProxyOverTLS(t *testing.T) {
	certs, ca := site(t)
	cert, key := ca.Write(certs, "client", pkitest.Template{})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	d := startDaemon(t, in(certs, tlsHub)+"- control-service: {service: spare, filename: DIR/spare}\n"+
		"- tcp-server: {bindaddr: HOST, port: 2391, remotenode: hub, remoteservice: out, tlsserver: srv}\n"+
		"- unix-socket-client: {service: out, filename: DIR/spare}\n- tcp-listener: {bindaddr: HOST, port: 2392}\n")
	d.waitLog("Initialization complete")
	address := d.fill("HOST:2391")
	var silent []net.Conn
	for range 260 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	silent[0].SetDeadline(time.Now().Add(patience / 4)) // less than a handshake may take
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest is still there: %v", err)
	}
	c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "Receptor Control, node hub\n" {
		t.Errorf("%q, %v", line, err)
	}
	stranger, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err == nil { // TLS 1.3 tells it behind the handshake
		stranger.SetDeadline(time.Now().Add(patience))
		_, err = stranger.Read(make([]byte, 1))
		stranger.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
	d.waitLog("TLS handshake error: tls: client didn't provide a certificate. Closing socket.")
}

// A TLS section that changes takes down what uses it, and nothing else.
func TestReloadTLS(t *testing.T) {
	certs, _ := site(t)
	port, otherPort := freePort(t), freePort(t)
	tail := "- tls-server: {name: other, cert: CERTS/hub.crt, key: CERTS/hub.key}\n" +
		"- tcp-listener: {bindaddr: 127.0.0.1, port: " + port + ", tls: srv}\n- tcp-listener: {bindaddr: 127.0.0.1, port: " + otherPort + ", tls: other}\n"
	h := startDaemon(t, in(certs, tlsHub+tail))
	leaf := func(id, port, tls string) *testDaemon {
		return startDaemon(t, in(certs, strings.ReplaceAll("- node: {id: ID, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n"+
			"- tls-client: {name: cli, cert: CERTS/leaf.crt, key: CERTS/leaf.key, rootcas: CERTS/ca.crt}\n- tcp-peer: {address: 'localhost:"+port+"', tls: "+tls+"}\n", "ID", id)))
	}
	a := leaf("leaf", port, "cli")
	b := startDaemon(t, in(certs, "- node: {id: b, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tls-client: {name: cli, cert: '', key: '', rootcas: CERTS/ca.crt}\n"+
		"- tcp-peer: {address: 'localhost:"+otherPort+"', tls: cli}\n"))
	h.linked("b 1", "leaf 1")
	established := func(d *testDaemon) int { return strings.Count(d.logged(), "Connection established with ") }

	// What the link of leaf uses demands another certificate now.
	pin := "pinnedclientcert: ['" + strings.Repeat("00", 32) + "'], "
	h.reload(in(certs, strings.Replace(tlsHub, "requireclientcert", pin+"requireclientcert", 1)+tail))
	h.linked("b 1")
	h.waitLog("RVF failed: presented certificate does not match any pinned fingerprint")
	a.waitLog("Backend receiving error remote error: tls: bad certificate")
	if n := established(b); n != 1 {
		t.Errorf("the link of b came up %d times", n)
	}

	// What cannot be read is refused, and nothing changes.
	h.write(in(certs, tlsHub+strings.Replace(tail, "CERTS/hub.key", "CERTS/gone.key", 1)))
	if reply := h.ask("reload"); !strings.Contains(reply, "error preparing tls server config: open "+certs+"/gone.key") || !strings.Contains(reply, "ERRORCODE 4") {
		t.Error(reply)
	}
	h.reload(in(certs, tlsHub+tail))
	h.linked("b 1", "leaf 1")
	if n := established(b); n != 1 {
		t.Errorf("the link of b came up %d times", n)
	}
}
