//go:build interop

package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
)

// TestFirewall puts rules on each node of a chain, and programs of both kinds on
// the nodes with and without: a ping that is rejected is told so wherever that
// happens, one that is dropped is not, and what no rule matches passes.
func TestFirewall(t *testing.T) {
	for _, at := range []string{"controller01", "relayer01", "executor01"} {
		for _, with := range []string{"ours", "the peer"} {
			t.Run("rules at "+at+", "+with, func(t *testing.T) {
				t.Parallel()
				by, others := ours, peer(t)
				if with == "the peer" {
					by, others = others, by
				}
				dir, port := harness.Dir(t), harness.FreePort(t)
				nodes := map[string]*harness.Node{}
				for _, id := range []string{"relayer01", "controller01", "executor01"} {
					program, rules := others, "[]"
					if id == at {
						program = by
						rules = `[{action: accept, fromnode: executor01}, {action: Reject, FromNode: "/(?i)CONTROLLER.*/", tonode: executor01, toservice: /p.ng/}, {action: drop, tonode: "/relay.*/", toservice: ping}]`
					}
					links := fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", port)
					if id != "relayer01" {
						links = fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", port)
					}
					n := harness.Whole(t, program, dir, id, fmt.Sprintf(
						"- node: {id: %s, datadir: %q, firewallrules: %s}\n- log-level: debug\n- control-service: {filename: %q}\n",
						id, filepath.Join(dir, id, "data"), rules, filepath.Join(dir, id+".sock"))+links)
					n.Start()
					nodes[id] = n
				}
				c, e := nodes["controller01"], nodes["executor01"]
				e.Reach(c)
				ask := func(target string) string {
					answer, err := c.Ask("ping " + target)
					if err != nil {
						t.Fatal(err)
					}
					return answer
				}
				c.Eventually("be told", func() bool { return strings.Contains(ask("executor01"), "blocked by firewall") })
				began := time.Now()
				got := ask("relayer01")
				switch at {
				case "executor01": // the ping does not come by here
					if !strings.Contains(got, `"Success":true`) {
						t.Errorf("ping of the relay: %s", got)
					}
				default:
					if !strings.Contains(got, "timeout") || time.Since(began) < 5*time.Second {
						t.Errorf("ping that is dropped, after %v: %s", time.Since(began), got)
					}
				}
				if r := c.Try("ping", "executor01", "--count", "1"); !strings.Contains(r.Stdout+r.Stderr, "blocked by firewall") {
					t.Errorf("receptorctl ping: %+v", r)
				}
			})
		}
	}
}

// TestAccessOfStockController: a controller of ansible/receptor is held to the
// rules of our executor, and gets along with the smallest of them.
func TestAccessOfStockController(t *testing.T) {
	dir, port := harness.Dir(t), harness.FreePort(t)
	e := harness.Whole(t, ours, dir, "executor01", fmt.Sprintf(`
- node: {id: executor01, datadir: %q}
- tcp-listener: {bindaddr: 127.0.0.1, port: %d}
- control-service:
    filename: %q
    accessrules:
    - {action: allow, node: controller01, commands: [work-submit, work-list, work-results, work-cancel, work-release], worktypes: gather-hostname}
    - {action: deny, node: /.*/}
    - {action: allow}
`, filepath.Join(dir, "executor01", "data"), port, filepath.Join(dir, "executor01.sock"))+harness.WorkTypes)
	e.Start()
	c := harness.New(t, peer(t), dir, "controller01", fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", port))
	c.Start()
	c.Reach(e)
	if got := c.Run("work", "submit", "gather-hostname", "--node", "executor01", "--no-payload", "--follow", "--rm"); got == "" {
		t.Error("work that is allowed brings nothing")
	}
	e.Eventually("release the unit", func() bool { return len(e.Units()) == 0 })
	r := c.Try("work", "submit", "echo-reply", "--node", "executor01", "--payload-literal", "x", "--follow")
	if r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, "permission denied: work-submit of work type echo-reply") {
		t.Errorf("work that is not allowed: %+v", r)
	}
	if n := len(e.Units()); n != 0 {
		t.Errorf("%d units at the executor", n)
	}
}
