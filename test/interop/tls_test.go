//go:build interop

package interop

import (
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/test/harness"
)

// TestTLS puts the peer into each role and each pair of roles of a chain whose links, control service and proxy speak TLS.
func TestTLS(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		for roles := 1; roles < 7; roles++ { // bits: controller, relay, executor
			by := [3]harness.Programs{ours, ours, ours}
			var names []string
			for i, name := range []string{"controller", "relay", "executor"} {
				if roles&(1<<i) != 0 {
					by[i] = peer(t)
					names = append(names, name)
				}
			}
			if transport != "tcp" && len(names) > 1 {
				continue
			}
			t.Run(transport+", peer is "+strings.Join(names, " and "), func(t *testing.T) {
				s := harness.SecureChain(t, pkitest.NewCA(t, "ca"), transport, by[0], by[1], by[2])
				harness.SecureScenes(t, s)
				for _, n := range s.Nodes() {
					if !n.Alive() {
						t.Errorf("%s ended:\n%s", n.ID, n.Log())
					}
				}
			})
		}
	}
}

// TestTLSStockClient drives our daemon over TLS with the Python CLI.
func TestTLSStockClient(t *testing.T) {
	by := stock(t, ours)
	harness.SecureScenes(t, harness.SecureChain(t, pkitest.NewCA(t, "ca"), "tcp", by, by, by))
}
