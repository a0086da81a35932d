package mesh_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// logBuffer is a log that may be read meanwhile.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startLogged runs a node until the end of the test.
func startLogged(t *testing.T, id wire.NodeID) (*mesh.Node, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	n, err := mesh.New(mesh.Config{ID: id, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) }) // ends with the test
	t.Cleanup(func() { cancel(); running.Wait() })
	return n, log
}

// TestVerify: a policy that verifies refuses who is not who it says, both ends say why, and a link without TLS is
// refused altogether.
func TestVerify(t *testing.T) {
	server, client := &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "a")}}, &tls.Config{InsecureSkipVerify: true}
	impostor := errors.New("certificate of somebody else")
	for _, test := range []struct {
		name           string
		server, client *tls.Config
		verify         error
		up             bool
		here, there    string // in the logs
	}{
		{"good", server, client, nil, true, "link up", "link up"},
		{"impostor", server, client, impostor, false, "certificate of somebody else", "certificate of somebody else"},
		{"no TLS", nil, nil, nil, false, "its link does not speak TLS", "link rejected by peer"},
	} {
		a, logA := startLogged(t, "a")
		b, logB := startLogged(t, "b")
		ln, err := link.ListenTCP("127.0.0.1:0", test.server)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		policy := mesh.LinkPolicy{Verify: func(state tls.ConnectionState, id wire.NodeID) error {
			if id != "b" || !state.HandshakeComplete {
				t.Errorf("%s, %v", id, state.HandshakeComplete)
			}
			return test.verify
		}}
		running.Go(func() { a.ServeLinks(ctx, ln, policy) })
		running.Go(func() { b.KeepLink(ctx, link.DialTCP(ln.Addr(), test.client), mesh.LinkPolicy{}, true) })
		for end := time.Now().Add(20 * time.Second); !strings.Contains(logA.String(), test.here) || !strings.Contains(logB.String(), test.there); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the logs are\n%s\n%s", test.name, logA, logB)
			}
		}
		if up := len(a.Status().Connections) > 0; up != test.up {
			t.Errorf("%s: up is %v", test.name, up)
		}
		cancel()
		running.Wait()
	}
}
