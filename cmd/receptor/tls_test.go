package main

import (
	"slices"
	"strings"
	"testing"

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
