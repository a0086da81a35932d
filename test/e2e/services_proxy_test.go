//go:build e2e

package e2e

import (
	"os"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// TestTCPProxy carries 256 MiB, or 1 GiB if RECEPTOR_LARGE is set, and 500
// connections at once over three nodes.
func TestTCPProxy(t *testing.T) {
	size := int64(256 << 20)
	if os.Getenv("RECEPTOR_LARGE") != "" {
		size = 1 << 30
	}
	harness.TCPProxy(t, programs, programs, programs, size, 500)
}

func TestUDPProxy(t *testing.T) { harness.UDPProxy(t, programs, programs, 0, 1, 1000, 16000, 65000) }

func TestUnixProxy(t *testing.T) { harness.UnixProxy(t, programs, programs) }

func TestCommandService(t *testing.T) { harness.Command(t, programs, programs) }

func TestCommandEnds(t *testing.T) { harness.CommandEnds(t, programs, programs) }

func TestNginx(t *testing.T) { harness.Nginx(t, programs, programs) }
