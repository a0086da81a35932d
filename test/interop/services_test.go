//go:build interop

package interop

import (
	"os"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// ends runs a test with the peer at either end.
func ends(t *testing.T, f func(t *testing.T, a, b harness.Programs)) {
	t.Run("peer is a", func(t *testing.T) { f(t, peer(t), ours) })
	t.Run("peer is b", func(t *testing.T) { f(t, ours, peer(t)) })
}

// TestTCPProxy carries 64 MiB and 100 connections at once, or 1 GiB and 500 if
// RECEPTOR_LARGE is set.
func TestTCPProxy(t *testing.T) {
	size, conns := int64(64<<20), 100
	if os.Getenv("RECEPTOR_LARGE") != "" {
		size, conns = 1<<30, 500
	}
	t.Run("peer is the way in", func(t *testing.T) { harness.TCPProxy(t, peer(t), ours, ours, size, conns) })
	t.Run("peer is the relay", func(t *testing.T) { harness.TCPProxy(t, ours, peer(t), ours, size, conns) })
	t.Run("peer is the way out", func(t *testing.T) { harness.TCPProxy(t, ours, ours, peer(t), size, conns) })
}

func TestUDPProxy(t *testing.T) {
	ends(t, func(t *testing.T, a, b harness.Programs) { harness.UDPProxy(t, a, b, 1, 1000, 16000) })
}

func TestUnixProxy(t *testing.T) { ends(t, harness.UnixProxy) }

func TestCommandService(t *testing.T) { ends(t, harness.Command) }

func TestCommandEnds(t *testing.T) { harness.CommandEnds(t, peer(t), ours) }

func TestNginx(t *testing.T) { ends(t, harness.Nginx) }
