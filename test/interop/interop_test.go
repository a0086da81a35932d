//go:build interop

// Package interop runs the scenes of a user with an ansible/receptor binary in
// every role. RECEPTOR_PEER names that binary, RECEPTOR_PEER_CTL optionally its
// Python CLI; without the first the tests are skipped.
package interop

import (
	"os"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

var ours harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Build(m, &ours)) }

// peer is the ansible/receptor binary with our CLI.
func peer(t *testing.T) harness.Programs {
	bin := os.Getenv("RECEPTOR_PEER")
	if bin == "" {
		t.Skip("RECEPTOR_PEER names no ansible/receptor binary")
	}
	return harness.Programs{Receptor: bin, Receptorctl: ours.Receptorctl}
}

// stock is p with the Python CLI.
func stock(t *testing.T, p harness.Programs) harness.Programs {
	ctl := os.Getenv("RECEPTOR_PEER_CTL")
	if ctl == "" {
		t.Skip("RECEPTOR_PEER_CTL names no Python receptorctl")
	}
	p.Receptorctl = ctl
	return p
}

// TestRoles puts the peer into each role and each pair of roles of a chain.
func TestRoles(t *testing.T) {
	for _, transport := range []string{"tcp", "udp", "ws"} {
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
				c, r, e := harness.Chain(t, transport, by[0], by[1], by[2])
				harness.Scenes(t, c, e)
				for _, n := range []*harness.Node{c, r, e} {
					if !n.Alive() {
						t.Errorf("%s ended:\n%s", n.ID, n.Log())
					}
				}
			})
		}
	}
}

// TestStockClient drives our daemon with the Python CLI, and compares with what
// it prints when it drives its own.
func TestStockClient(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		by := stock(t, ours)
		c, _, e := harness.Chain(t, "tcp", by, by, by)
		harness.Scenes(t, c, e)
	})
	t.Run("its own", func(t *testing.T) {
		by := stock(t, peer(t))
		c, _, e := harness.Chain(t, "tcp", by, by, by)
		harness.Scenes(t, c, e)
	})
}
