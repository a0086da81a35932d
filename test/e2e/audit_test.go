//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/test/harness"
)

// audited are the lines of a node's audit log, each of which is whole.
func audited(t *testing.T, file string) (entries []audit.Entry, text string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(data))); lines.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %q", err, lines.Text())
		}
		entries = append(entries, e)
	}
	return entries, string(data)
}

// asked is what was asked for and what came of it, in short.
func asked(e audit.Entry) string {
	return strings.Join(slices.DeleteFunc([]string{e.Command, e.WorkType, e.ToNode, e.Service, string(e.Result)}, func(s string) bool { return s == "" }), " ")
}

// TestAudit: who asked for what, and what came of it, is on record at the node that was asked and at the node
// that did it, of those who may and of those who may not; and nothing that is secret is.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := harness.SecureChain(t, pkitest.NewCA(t, "ca"), "tcp", programs, programs, programs)
	c, r, e := s.Controller, s.Relay, s.Executor
	dir := harness.Dir(t)
	private, public := harness.KeyPair(t, dir, "key", "rsa")
	uid, port := os.Getuid(), harness.FreePort(t)
	record := func(n *harness.Node) string { return filepath.Join(dir, "audit-"+n.ID) }
	log := func(n *harness.Node) string { return fmt.Sprintf("- audit-log: {filename: %q}\n", record(n)) }

	// Whoever comes to the port of the controller may look at the status and nothing else; at the executor work
	// of one type is for the controller, by its node and by its certificate.
	c.Reload(c.Config + log(c) + harness.Signing(private, "5m") + fmt.Sprintf(
		"- control-service: {service: tcpctl, tcplisten: \"127.0.0.1:%d\", accessrules: [{action: allow, commands: [status]}]}\n", port))
	e.Keys += fmt.Sprintf(", accessrules: [{action: allow, user: %d}, {action: allow, node: controller01, certname: controller01, worktypes: [signed, signed-wait]}]", uid)
	e.Reload(e.Config + log(e) + harness.Verification(public, "") + harness.SignedTypes)

	const parameter, payload, token = "hidden-parameter", "hidden-payload", "hidden-token"
	far := []string{"work", "submit", "--node", "executor01", "--tls-client", "cli", "--signwork", "--param", "secret_token=" + parameter}
	submit := func(n *harness.Node, more ...string) string {
		t.Helper()
		out := n.Run(append(append([]string{}, far...), more...)...)
		_, id, ok := strings.Cut(out, "Unit ID: ")
		if !ok {
			t.Fatalf("submit: %q", out)
		}
		return strings.TrimSpace(id)
	}
	done := submit(c, "--payload-literal", payload, "signed")
	c.Eventually("have the unit succeed", func() bool { u, _ := c.Unit(done); return u.State == 2 })
	long := submit(c, "--no-payload", "signed-wait")
	c.Eventually("run the unit", func() bool { u, _ := c.Unit(long); return u.StateName == "Running" })
	units := map[string]string{}
	for id, name := range map[string]string{done: "done", long: "long"} {
		u, _ := c.Unit(id)
		units[id], units[u.ExtraData.RemoteUnitID] = name, name
	}
	c.Run("work", "cancel", long)
	c.Run("work", "release", long)
	c.Run("work", "release", done)
	for request, want := range map[string]string{
		"connect executor01 control cli": "Connecting",
		"connect executor01 nosuch cli":  "ERROR: ",
		`{"command":"work","subcommand":"cancel","unitid":"nosuch01","signature":"` + token + `"}`:                    "ERROR: ",
		`{"command":"work","subcommand":"submit","node":"localhost","worktype":"nosuch","signature":"` + token + `"}`: "ERROR: ",
	} {
		if got, err := c.Ask(request); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, %v", request, got, err)
		}
	}

	// The executor refuses a type that the controller may not use: at once, and behind the acceptance of a stream.
	for _, stream := range []bool{false, true} {
		args := append(append([]string{}, far...), "--payload-literal", payload, "open")
		before := "ERROR: Remote error: permission denied: work-submit of work type open"
		if stream {
			args = append(args, "--stream")
		}
		got := c.Try(args...)
		if got.Code != 101 || got.Stdout != "" || !strings.Contains(got.Stderr, before) || !strings.Contains(got.Stderr, "hint: node executor01 refused work of type open\n") {
			t.Errorf("stream %v: %+v", stream, got)
		}
	}

	// Those who may not.
	stranger := func(args ...string) harness.Result {
		n := *c
		n.Socket = fmt.Sprintf("tcp://127.0.0.1:%d", port)
		return n.Try(args...)
	}
	if got := stranger("status"); got.Code != 0 {
		t.Errorf("status: %+v", got)
	}
	for _, args := range [][]string{
		append(append([]string{}, far...), "--payload-literal", payload, "signed"), {"work", "cancel", done}, {"work", "release", done},
		{"reload"}, {"connect", "executor01", "control"},
	} {
		if got := stranger(args...); got.Code == 0 || !strings.Contains(got.Stdout+got.Stderr, "permission denied: ") {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if got := r.Try("work", "submit", "--node", "executor01", "--tls-client", "cli", "--param", "secret_token="+parameter, "--payload-literal", payload, "open"); got.Code != 101 ||
		!strings.Contains(got.Stderr, "ERROR: Remote error: permission denied: work-submit of work type open on executor01 is not allowed for node relayer01") {
		t.Errorf("by the relay: %+v", got)
	}

	// Reloads, one of which is refused.
	c.Run("reload")
	was := c.Config
	c.Config += "- nonsense: {}\n"
	c.ReloadRefused()
	c.Config = was

	count := func(entries []audit.Entry) map[string]int {
		n := map[string]int{}
		for _, a := range entries {
			who := a.From.Node
			switch {
			case a.From.UID != nil && *a.From.UID == uint32(uid) && a.From.PID > 0 && strings.HasPrefix(a.From.Address, "unix:/"):
				who = "user"
			case strings.HasPrefix(a.From.Address, "127.0.0.1:"):
				who = "stranger"
			}
			key := who + ": " + asked(a)
			if name := units[a.Unit]; name != "" {
				key += " " + name
			}
			n[key]++
			if a.Result != audit.OK && (a.Error == "" || a.Result == audit.Denied && a.Code != "denied") || a.Time.IsZero() {
				t.Errorf("entry %+v", a)
			}
		}
		return n
	}
	has := func(n *harness.Node, want map[string]int) {
		t.Helper()
		var got map[string]int
		for key, times := range want {
			n.Within(harness.Patience, fmt.Sprintf("record %q %d times, but %v", key, times, got), func() bool {
				entries, _ := audited(t, record(n))
				got = count(entries)
				return got[key] == times
			})
		}
		for key, times := range got {
			if want[key] != times {
				t.Errorf("%s records %q %d times, want %d", n.ID, key, times, want[key])
			}
		}
	}
	has(c, map[string]int{
		"user: work-submit signed executor01 ok done":       1,
		"user: work-submit signed-wait executor01 ok long":  1,
		"user: work-cancel signed-wait executor01 ok long":  1,
		"user: work-release signed-wait executor01 ok long": 1,
		"user: work-release signed executor01 ok done":      1,
		"user: connect executor01 control ok":               1,
		"user: connect executor01 nosuch error":             1,
		"user: work-cancel controller01 error":              1,
		"user: work-submit nosuch controller01 denied":      1,
		"user: work-submit open executor01 denied":          1, // of the executor
		"user: work-submit open executor01 ok":              1, // and streamed:
		": work-submit open executor01 refused":             1,
		"stranger: work-submit signed executor01 denied":    1,
		"stranger: work-cancel controller01 denied done":    1,
		"stranger: work-release controller01 denied done":   1,
		"stranger: reload controller01 denied":              1,
		"stranger: connect executor01 control denied":       1,
		"user: reload controller01 ok":                      2,
		"user: reload controller01 error":                   1,
	})
	has(e, map[string]int{
		"controller01: work-submit signed executor01 ok done":       1,
		"controller01: work-submit signed-wait executor01 ok long":  1,
		"controller01: work-cancel signed-wait executor01 ok long":  1,
		"controller01: work-release signed-wait executor01 ok long": 1,
		"controller01: work-release signed executor01 ok done":      1,
		"controller01: work-submit open executor01 denied":          2,
		"relayer01: work-submit open executor01 denied":             1,
		"user: reload executor01 ok":                                1,
	})

	// The late refusal is tied to its submission, which says who it was; the certificate is on record, too.
	entries, atController := audited(t, record(c))
	late := slices.IndexFunc(entries, func(a audit.Entry) bool { return a.Result == audit.Refused })
	first := slices.IndexFunc(entries, func(a audit.Entry) bool { return a.Unit == entries[late].Unit && a.Result == audit.OK })
	if first < 0 || entries[first].Command != "work-submit" || entries[late].Code != "denied" || !strings.Contains(entries[late].Error, "permission denied: ") {
		t.Errorf("late refusal %+v", entries[late])
	}
	entries, atExecutor := audited(t, record(e))
	for _, a := range entries {
		if a.From.Node != "" && !slices.Contains(a.From.Certificate, a.From.Node) {
			t.Errorf("certificate of %+v", a)
		}
	}
	// "eyJ" begins what a token of a signature begins with.
	for _, secret := range []string{parameter, payload, token, "eyJ", "secret_token"} {
		for _, text := range []string{atController, atExecutor} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is on record:\n%s", secret, text)
			}
		}
	}
}
