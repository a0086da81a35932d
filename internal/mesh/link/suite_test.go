package link_test

import (
	"crypto/tls"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/link/linktest"
)

// proxy is what HTTP_PROXY names. The environment is read once per process, so
// it is set before all tests; it does not apply to loopback addresses.
var proxy net.Listener

func TestMain(m *testing.M) {
	var err error
	if proxy, err = net.Listen("tcp", anyPort); err != nil {
		panic(err)
	}
	os.Setenv("HTTP_PROXY", "http://"+proxy.Addr().String())
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		proxy.Close()
		os.Exit(code)
	}))
}

const anyPort = "127.0.0.1:0"

// keys returns a server configuration for 127.0.0.1 and a client configuration that trusts it.
func keys(t testing.TB) (server, client *tls.Config) { return link.TestKeys(t) }

func listening(t testing.TB) func(link.Listener, error) link.Listener {
	return func(ln link.Listener, err error) link.Listener {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
}

func dialing(t testing.TB) func(link.Dialer, error) link.Dialer {
	return func(d link.Dialer, err error) link.Dialer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func openTCP(t *testing.T) (link.Listener, link.Dialer) {
	ln := listening(t)(link.ListenTCP(anyPort, nil))
	return ln, link.DialTCP(ln.Addr(), nil)
}

func openTLS(t *testing.T) (link.Listener, link.Dialer) {
	server, client := keys(t)
	ln := listening(t)(link.ListenTCP(anyPort, server))
	return lazy{ln}, link.DialTCP(ln.Addr(), client)
}

func openUDP(t *testing.T) (link.Listener, link.Dialer) {
	ln := listening(t)(link.ListenUDP(anyPort))
	return ln, dialing(t)(link.DialUDP(ln.Addr()))
}

func openWS(t *testing.T) (link.Listener, link.Dialer) {
	ln := listening(t)(link.ListenWebSocket(anyPort, "/mesh", nil, nil))
	return ln, dialing(t)(link.DialWebSocket("ws://"+ln.Addr()+"/mesh", link.WebSocketOptions{}))
}

func openWSS(t *testing.T) (link.Listener, link.Dialer) {
	server, client := keys(t)
	ln := listening(t)(link.ListenWebSocket(anyPort, "", server, nil))
	return ln, dialing(t)(link.DialWebSocket("wss://"+ln.Addr(), link.WebSocketOptions{TLS: client}))
}

func openPipe(o link.PipeOptions) linktest.Open {
	return func(*testing.T) (link.Listener, link.Dialer) { return link.ListenPipe(o) }
}

func TestSuite(t *testing.T) {
	for name, open := range map[string]linktest.Open{
		"tcp":          openTCP,
		"tcp tls":      openTLS,
		"udp":          openUDP,
		"ws":           openWS,
		"wss":          openWSS,
		"pipe":         openPipe(link.PipeOptions{}),
		"pipe delayed": openPipe(link.PipeOptions{Delay: 100 * time.Microsecond, Queue: 16}),
		"pipe small":   openPipe(link.PipeOptions{Queue: 2}),
		"pipe lossy":   openPipe(link.PipeOptions{Reorder: 1e-9}), // lossy in name: nothing is lost but overflow
	} {
		t.Run(name, func(t *testing.T) { linktest.Run(t, open) })
	}
}

// lazy begins to read what it accepts: the handshake is made in the first read
// or write, and the dialer waits for it.
type lazy struct{ link.Listener }

func (l lazy) Accept() (link.Link, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, link.Handshake(c)
}
