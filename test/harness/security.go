package harness

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// NewSecurity prepares the scene of security with the programs that by gives for each node, and starts it. The
// certificates are made by ours.
func NewSecurity(t *testing.T, ours Programs, by func(id string) Programs) map[string]*Node {
	t.Helper()
	s := NewScene(t, "6-security", by)
	s.Prepare(ours)
	s.Start()
	return s.Nodes
}

// Security holds who may do what in the scene of security.
func Security(t *testing.T, nodes map[string]*Node) {
	c1, c2, c3, c4 := nodes["controller01"], nodes["controller02"], nodes["controller03"], nodes["controller04"]
	relay := nodes["relayer01"]
	e1, e2, e3 := nodes["executor01"], nodes["executor02"], nodes["executor03"]

	// Peers that are allowed. controller04 has a good certificate, but is not on the list.
	relay.Eventually("refuse controller04", func() bool {
		return relay.Logged("controller04", "it is not in the allowed peers list")
	})
	c1.Reach(e1, e2, e3)
	c2.Reach(e1, e3)
	if answer, err := c1.Ask("status"); err != nil || strings.Contains(answer, "controller04") {
		t.Errorf("controller01 knows controller04: %s %v", answer, err)
	}
	if answer, err := c4.Ask("status"); err != nil || strings.Contains(answer, "executor01") {
		t.Errorf("controller04 knows of executor01: %s %v", answer, err)
	}

	// The firewall of the relay, then that of executor02.
	blocked(c3, "executor01")
	blocked(c1, "controller02")
	blocked(c1, "relayer01")
	blocked(c2, "executor02")
	pending := c3.Begin("work", "submit", "--node", "executor01", "--payload-literal", "Hello", "echo-reply")
	c3.Eventually("keep the work", func() bool { return len(c3.Units()) == 1 })

	echo := func(c *Node, node, worktype string, args ...string) Result {
		return c.Try(append([]string{"work", "submit", "--node", node, "--rm", "--follow", "--payload-literal", "Hello Receptor!"}, append(args, worktype)...)...)
	}
	reply := regexp.MustCompile(`\AReply from \S+: HELLO RECEPTOR!\n\([0-9a-zA-Z]{8}, released\)\n\z`)
	runs := func(r Result) {
		t.Helper()
		if r.Code != 0 || !reply.MatchString(r.Stdout) {
			t.Errorf("work that is allowed: %+v", r)
		}
	}
	runs(echo(c1, "executor01", "echo-reply"))
	runs(echo(c1, "executor02", "echo-reply"))
	runs(echo(c2, "executor01", "echo-reply"))

	// The control service of executor03 wants a certificate.
	runs(echo(c1, "executor03", "echo-reply", "--tls-client", "client"))
	runs(echo(c2, "executor03", "echo-reply", "--tls-client", "client"))
	refused(t, c1, "TLS error connecting to remote service: * insecure connection to secure service*", "--node", "executor03", "echo-reply")

	// Work that is verified.
	runs(echo(c1, "executor01", "echo-verified-reply", "--signwork"))
	refused(t, c1, "*could not verify signature: signature is empty*", "--node", "executor01", "echo-verified-reply")
	refused(t, c2, "*could not verify signature: *verification error*", "--node", "executor01", "--signwork", "echo-verified-reply")
	refused(t, c1, "*work type did not expect a signature*", "--node", "executor01", "--signwork", "echo-reply")

	// What the firewall holds back is still pending, and goes when it is told to.
	if r := pending.Wait(); r.Code != 0 {
		t.Errorf("submit that is blocked: %+v", r)
	}
	for id, r := range c3.Units() {
		if r.StateName != "Pending" {
			t.Errorf("what the firewall holds back: %+v", r)
		}
		c3.Run("work", "release", "--force", id)
	}
	c3.Eventually("forget its work", func() bool { return len(c3.Units()) == 0 })
	for _, n := range nodes {
		if !n.Alive() {
			t.Errorf("%s ended:\n%s", n.ID, n.Log())
		}
	}
}

// blocked waits until a ping says that a firewall holds it back.
func blocked(c *Node, node string) {
	c.Eventually("be blocked on its way to "+node, func() bool {
		answer, err := c.Ask("ping " + node)
		return err == nil && strings.Contains(answer, "blocked by firewall")
	})
}

// refused submits work, and holds that it fails for a reason, which is a text with *.
func refused(t *testing.T, c *Node, reason string, args ...string) {
	t.Helper()
	before := c.Units()
	r := c.Try(append([]string{"work", "submit", "--payload-literal", "Hello"}, args...)...)
	want := regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(reason), `\*`, `.*`) + `\z`)
	found := fmt.Sprintf("%+v", r)
	// The refusal is the answer, or comes to the unit a little later.
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for id, u := range c.Units() {
			if _, old := before[id]; old {
				continue
			}
			found = fmt.Sprintf("%+v; unit: %+v", r, u)
			if u.StateName == "Failed" && want.MatchString(u.Detail) {
				c.Run("work", "release", "--force", id)
				return
			}
		}
	}
	t.Errorf("work submit %s: %s\nwant it to fail with: %s", strings.Join(args, " "), found, reason)
}
