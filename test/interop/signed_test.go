//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// TestSigned has the peer sign, relay and verify, in each mix with our nodes.
func TestSigned(t *testing.T) {
	for roles := 1; roles < 7; roles++ { // bits: controller, relay, executor
		by := [3]harness.Programs{ours, ours, ours}
		var names []string
		for i, name := range []string{"controller", "relay", "executor"} {
			if roles&(1<<i) != 0 {
				by[i] = peer(t)
				names = append(names, name)
			}
		}
		t.Run("peer is "+strings.Join(names, " and "), func(t *testing.T) {
			c, e, _ := signedChain(t, by, "")
			harness.SignedScenes(t, c, e)
		})
	}
}

// A strict node of ours takes the signatures of ours alone, also through the peer.
func TestSignedStrict(t *testing.T) {
	p := peer(t)
	c, e, _ := signedChain(t, [3]harness.Programs{ours, p, ours}, ", strict: true")
	harness.SignedScenes(t, c, e)
	c, e, _ = signedChain(t, [3]harness.Programs{p, ours, ours}, ", strict: true")
	r := c.TryInput("x\n", "work", "submit", "--node", e.ID, "--signwork", "--payload", "-", "signed")
	if r.Code == 0 || !strings.Contains(r.Stderr, "could not verify signature: token does not say what it is for") {
		t.Errorf("exit code %d, %q", r.Code, r.Stderr)
	}
}

// A wrong key is refused on both sides, and the right one is taken from its
// file at once.
func TestSignedWrongKey(t *testing.T) {
	p := peer(t)
	for name, by := range map[string][3]harness.Programs{"peer verifies": {ours, ours, p}, "peer signs": {p, ours, ours}} {
		t.Run(name, func(t *testing.T) {
			c, e, dir := signedChain(t, by, "")
			harness.KeyPair(t, dir, "key2", "rsa")
			submit := func() harness.Result {
				return c.TryInput("x\n", "work", "submit", "--node", e.ID, "--signwork", "--payload", "-", "--follow", "--rm", "signed")
			}
			if r := submit(); r.Code != 0 || !strings.HasPrefix(r.Stdout, "x\n") {
				t.Errorf("right key: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
			}
			harness.CopyFile(t, dir+"/key2", dir+"/key")
			if r := submit(); r.Code == 0 || !strings.Contains(r.Stderr, "could not verify signature: crypto/rsa: verification error") {
				t.Errorf("wrong key: exit code %d, %q", r.Code, r.Stderr)
			}
			harness.CopyFile(t, dir+"/key2.pub", dir+"/key.pub")
			if r := submit(); r.Code != 0 || !strings.HasPrefix(r.Stdout, "x\n") {
				t.Errorf("both replaced: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
			}
		})
	}
}

// TestStockClientSigns has the Python CLI ask our daemon to sign.
func TestStockClientSigns(t *testing.T) {
	by := stock(t, ours)
	c, e, _ := signedChain(t, [3]harness.Programs{by, by, by}, "")
	harness.SignedScenes(t, c, e)
}

func signedChain(t *testing.T, by [3]harness.Programs, strict string) (c, e *harness.Node, dir string) {
	t.Helper()
	dir = harness.Dir(t)
	private, public := harness.KeyPair(t, dir, "key", "rsa")
	port := harness.FreePort(t)
	r := harness.New(t, by[1], dir, "relayer01", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", port))
	peer := fmt.Sprintf("- tcp-peer: {address: '127.0.0.1:%d'}\n", port)
	c = harness.New(t, by[0], dir, "controller01", peer+harness.Signing(private, "5m"))
	e = harness.New(t, by[2], dir, "executor01", peer+harness.Verification(public, strict)+harness.SignedTypes)
	for _, n := range []*harness.Node{r, c, e} {
		n.Start()
	}
	c.Reach(r, e)
	e.Reach(c)
	return c, e, dir
}
