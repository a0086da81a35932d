//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/test/harness"
)

// TestTLS has what users do with certificates, over both kinds of links.
func TestTLS(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			harness.SecureScenes(t, harness.SecureChain(t, pkitest.NewCA(t, "ca"), transport, programs, programs, programs))
		})
	}
}

// TestRotation changes the authority and all certificates of a running mesh while a unit runs: first every node
// trusts both authorities, then each gets a certificate of the new one, then the old authority goes. The links are cut
// after each step, so that every one is made anew by the new files. Nothing is restarted, and nothing is lost.
func TestRotation(t *testing.T) {
	t.Parallel()
	old, fresh := pkitest.NewCA(t, "old"), pkitest.NewCA(t, "fresh")
	s := harness.SecureChain(t, old, "tcp", programs, programs, programs)
	go1 := filepath.Join(harness.Dir(t), "go")
	s.Executor.Config += fmt.Sprintf(`- work-command: {worktype: wait, command: sh, params: "-c 'echo begun; while [ ! -e %s ]; do sleep 0.1; done; echo ended'"}`+"\n", go1)
	s.Executor.Reload(s.Executor.Config)
	id := harness.Submit(t, s.Controller, "wait", "--node", "executor01", "--no-payload", "--tls-client", "cli")
	s.Controller.Eventually("hear of the unit's begin", func() bool { u, _ := s.Controller.Unit(id); return u.StdoutSize == len("begun\n") })
	pids := map[string]int{}
	for _, n := range s.Nodes() {
		pids[n.ID] = n.Pid()
	}

	logged := func(n *harness.Node, what string, times int) {
		t.Helper()
		n.Eventually(fmt.Sprintf("log %q %d times", what, times), func() bool {
			log, err := os.ReadFile(n.LogFile())
			return err == nil && strings.Count(string(log), what) >= times
		})
	}
	authorities, certificates := 0, 0
	step := func(what string, change func(*harness.Node)) {
		t.Helper()
		for _, n := range s.Nodes() {
			up, down := linkLines(t, n)
			change(n)
			logged(n, "authorities renewed", authorities)
			logged(n, "certificate renewed", certificates)
			if u, d := linkLines(t, n); u != up || d != down {
				t.Errorf("%s at %s: links came and went with the change itself", what, n.ID)
			}
			// A node at a time: its links are made anew with what the others have still, or have already.
			begin := time.Now()
			cut(t, n)
			s.Controller.Reach(s.Relay, s.Executor)
			t.Logf("%s at %s: all are reached %v after the cut", what, n.ID, time.Since(begin).Round(time.Millisecond))
		}
		s.Proxy(t)
		s.Control(t)
		if out := s.Controller.Run("work", "submit", "gather-hostname", "--node", "executor01", "--no-payload", "--tls-client", "cli", "--follow"); out != harness.Hostname(t) {
			t.Errorf("%s: a new unit gives %q", what, out)
		}
	}
	authorities += 2 // of tls-server and tls-client
	step("both authorities", func(n *harness.Node) { s.Trust(t, n, old, fresh) })
	certificates += 2
	step("new certificates", func(n *harness.Node) { s.Certify(t, n, fresh) })
	authorities += 2
	step("the new authority alone", func(n *harness.Node) { s.Trust(t, n, fresh) })

	if err := os.WriteFile(go1, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := s.Controller.Run("work", "results", id); out != "begun\nended\n" {
		t.Errorf("the unit that ran all the time gives %q", out)
	}
	s.Controller.Eventually("have the unit succeed", func() bool { u, _ := s.Controller.Unit(id); return u.State == 2 })
	for _, n := range s.Nodes() {
		if !n.Alive() || n.Pid() != pids[n.ID] {
			t.Errorf("%s was restarted", n.ID)
		}
	}
	// Who still has a certificate of the old authority gets nowhere.
	s.Certify(t, s.Executor, old)
	logged(s.Executor, "certificate renewed", certificates+2)
	cut(t, s.Executor)
	logged(s.Relay, "tls: client didn't provide a certificate", 1)
}

// TestAuthorityRemoved: an authority that is taken out of the files is not good for the next handshake; what is
// open stays open, as docs/tls.md says, and so do the ways to end it: other keys of the section for links, a restart
// for all.
func TestAuthorityRemoved(t *testing.T) {
	t.Parallel()
	old, fresh := pkitest.NewCA(t, "old"), pkitest.NewCA(t, "fresh")
	s := harness.SecureChain(t, old, "tcp", programs, programs, programs)
	c, r, e := s.Controller, s.Relay, s.Executor
	dir := harness.Dir(t)
	clients := func(n *harness.Node) string { return filepath.Join(dir, n.ID+".crt") }
	trust := func(n *harness.Node, ca *pkitest.CA) {
		t.Helper()
		pkitest.File(t, clients(n), ca.PEM)
	}
	renewed := func(n *harness.Node, times int) {
		t.Helper()
		n.Eventually("use the new authorities", func() bool {
			log, err := os.ReadFile(n.LogFile())
			return err == nil && strings.Count(string(log), "authorities renewed") >= times
		})
	}
	// The authorities of clients are in a file of their own.
	for _, n := range []*harness.Node{r, e} {
		trust(n, old)
		n.Reload(regexp.MustCompile(`clientcas: "[^"]*"`).ReplaceAllString(n.Config, fmt.Sprintf("clientcas: %q", clients(n))))
	}
	c.Reach(r, e)

	// A connection to the control service of the executor, over the mesh.
	conn, err := net.Dial("unix", c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * harness.Patience))
	lines := bufio.NewReader(conn)
	say := func(request, want string) {
		t.Helper()
		if request != "" {
			fmt.Fprintln(conn, request)
		}
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%s: %q, %v, want %q", request, line, err, want)
		}
	}
	say("", "Receptor Control, node controller01")
	say("connect executor01 control cli", "Connecting")
	say("", "Receptor Control, node executor01")
	say("status", "{")

	up, down := linkLines(t, r)
	trust(r, fresh)
	trust(e, fresh)
	renewed(r, 1)
	renewed(e, 1)
	say("status", "{")
	if u, d := linkLines(t, r); u != up || d != down {
		t.Errorf("links came or went: %d and %d, before %d and %d", u, d, up, down)
	}

	// The executor forgets whom it has let in.
	e.Stop()
	e.Start()
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("still connected: %q", line)
	}
	// Its own link is one that the relay has to let in, which it does no more.
	r.Eventually("refuse the old authority", func() bool {
		log, err := os.ReadFile(r.LogFile())
		return err == nil && strings.Contains(string(log), "tls: client didn't provide a certificate")
	})
	if c.Pings("executor01") {
		t.Error("the executor is reached by a certificate of the old authority")
	}
	if !c.Pings("relayer01") {
		t.Error("the link of the controller is gone, too")
	}
	// Another name of the file, and the links are made anew: nobody passes any more.
	moved := filepath.Join(dir, "other.crt")
	pkitest.File(t, moved, fresh.PEM)
	r.Reload(strings.ReplaceAll(r.Config, clients(r), moved))
	c.Eventually("be shut out", func() bool { return !c.Pings("relayer01") })
	c.Eventually("be told so", func() bool {
		log, err := os.ReadFile(c.LogFile())
		return err == nil && strings.Contains(string(log), "remote error: tls: certificate required")
	})
}

// cut takes the links of a node down for a moment: a reload changes who may link, to the same effect, and back.
func cut(t *testing.T, n *harness.Node) {
	t.Helper()
	config := n.Config
	changed := strings.ReplaceAll(config, "-peer: {", "-peer: {allowedpeers: [relayer01], ")
	changed = strings.ReplaceAll(changed, "tcp-listener: {", "tcp-listener: {allowedpeers: [controller01, executor01], ")
	n.Reload(changed)
	n.Reload(config)
}
