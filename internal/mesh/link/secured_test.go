package link_test

import (
	"crypto/tls"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/link/linktest"
)

// TestSecured: once a frame was read, both ends of a link with TLS have the outcome of the handshake, and what a
// configuration chooses for a client has all that the listener needs.
func TestSecured(t *testing.T) {
	server, client := keys(t)
	pair := server.Certificates[0]
	chosen := &tls.Config{Certificates: server.Certificates, ClientAuth: tls.RequireAnyClientCert, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384}}
	server = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }}
	client.Certificates = []tls.Certificate{pair}
	client.MaxVersion = tls.VersionTLS12
	tcp := listening(t)(link.ListenTCP(anyPort, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: chosen.Certificates, ClientAuth: tls.RequireAnyClientCert}, nil
	}}))
	// The suite of the configuration does not fit the key; the one that WebSocket listeners add does.
	ws := listening(t)(link.ListenWebSocket(anyPort, "", server, nil))
	plain := listening(t)(link.ListenTCP(anyPort, nil))
	for _, test := range []struct {
		name   string
		ln     link.Listener
		dialer link.Dialer
		secure bool
	}{
		{"tcp", lazy{tcp}, link.DialTCP(tcp.Addr(), client), true},
		{"ws", ws, dialing(t)(link.DialWebSocket("wss://"+ws.Addr(), link.WebSocketOptions{TLS: client})), true},
		{"plain", plain, link.DialTCP(plain.Addr(), nil), false},
	} {
		a, b := linktest.Connect(t, test.ln, test.dialer)
		for _, pair := range [][2]link.Link{{a, b}, {b, a}} {
			if err := pair[0].WriteFrames([]*link.Frame{link.FrameOf([]byte("frame"))}); err != nil {
				t.Fatal(test.name, err)
			}
			f, err := pair[1].ReadFrame()
			if err != nil {
				t.Fatal(test.name, err)
			}
			f.Release()
			state, ok := pair[1].(link.Secured).TLS()
			if ok != test.secure || ok && (len(state.PeerCertificates) != 1 || !state.HandshakeComplete) {
				t.Errorf("%s: %v, %d certificates", test.name, ok, len(state.PeerCertificates))
			}
		}
	}
}
