//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// gated is a work type whose command prints, waits for a file, and prints
// again: the test decides when it ends.
func gated(file string) string {
	return fmt.Sprintf("- work-command: {worktype: gated, command: sh, params: \"-c 'echo one; while [ ! -e %s ]; do sleep 0.05; done; echo two'\"}\n", file)
}

// TestDaemonKilledWhileCommandRuns holds that a command outlives its daemon,
// whichever way that ends, and that the next one has all of its output.
func TestDaemonKilledWhileCommandRuns(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"kill", "stop"} {
		for _, when := range []string{"before the restart", "after the restart"} {
			t.Run(how+", command ends "+when, func(t *testing.T) {
				dir := harness.Dir(t)
				gate := filepath.Join(dir, "gate")
				n := harness.New(t, programs, dir, "a", "- local-only:\n"+gated(gate))
				n.Start()
				unit := harness.Submit(t, n, "--no-payload", "gated")
				n.Eventually("run the command", func() bool {
					out, _ := os.ReadFile(filepath.Join(n.DataDir(), unit, "stdout"))
					return string(out) == "one\n"
				})
				if how == "kill" {
					n.Kill()
				} else if code := n.Stop(); code != 0 {
					t.Errorf("exit code %d", code)
				}
				open := func() {
					if err := os.WriteFile(gate, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if when == "before the restart" {
					open()
					n.Eventually("end the command", func() bool {
						out, _ := os.ReadFile(filepath.Join(n.DataDir(), unit, "stdout"))
						return string(out) == "one\ntwo\n"
					})
				}
				n.Start()
				if when != "before the restart" {
					n.Eventually("show the unit as running", func() bool { return harness.List(t, n)[unit].StateName == "Running" })
					open()
				}
				if got := n.Run("work", "results", unit); got != "one\ntwo\n" {
					t.Errorf("results %q", got)
				}
				if u := harness.List(t, n)[unit]; u.StateName != "Succeeded" || u.Detail != "exit status 0" || u.StdoutSize != 8 {
					t.Errorf("record %+v", u)
				}
			})
		}
	}
}

// TestGracefulStop holds that a stopped daemon leaves no process and no socket.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	c, r, e := harness.Chain(t, "tcp", programs, programs, programs)
	c.Run("work", "submit", "--node", "executor01", "-nf", "--rm", "gather-hostname")
	for _, n := range []*harness.Node{c, r, e} {
		if code := n.Stop(); code != 0 {
			t.Errorf("%s: exit code %d", n.ID, code)
		}
		n.Eventually("leave no process", func() bool { return len(n.Helpers()) == 0 })
		if _, err := os.Stat(n.Socket); err == nil {
			t.Errorf("%s left its socket", n.ID)
		}
	}
}

// TestMegabytes pipes a payload of 64 MiB through a unit two hops away.
func TestMegabytes(t *testing.T) {
	t.Parallel()
	c, _, e := harness.Chain(t, "tcp", programs, programs, programs)
	e.Stop()
	e.Config += "- work-command: {worktype: cat, command: cat}\n"
	e.Start()
	c.Reach(e)
	data := make([]byte, 64<<20)
	rand.Read(data)
	got := c.RunInput(string(data), "work", "submit", "--node", "executor01", "--follow", "--payload", "-", "cat")
	if sha256.Sum256([]byte(got)) != sha256.Sum256(data) {
		t.Errorf("got %d bytes, want %d the same as sent", len(got), len(data))
	}
}

// TestRelayCut holds that work goes on when its only relay is killed and comes back.
func TestRelayCut(t *testing.T) {
	t.Parallel()
	c, r, e := harness.Chain(t, "tcp", programs, programs, programs)
	gate := filepath.Join(harness.Dir(t), "gate")
	e.Stop()
	e.Config += gated(gate)
	e.Start()
	c.Reach(e)
	unit := harness.Submit(t, c, "--node", "executor01", "--no-payload", "gated")
	c.Eventually("show the unit as running", func() bool { return harness.List(t, c)[unit].StateName == "Running" })
	r.Kill()
	c.Eventually("lose the route", func() bool { return c.Try("ping", "--count", "1", "executor01").Code != 0 })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Start()
	if got := c.Run("work", "results", unit); got != "one\ntwo\n" {
		t.Errorf("results %q", got)
	}
}

// TestCancel ends a command with its children.
func TestCancel(t *testing.T) {
	t.Parallel()
	c, _, e := harness.Chain(t, "tcp", programs, programs, programs)
	e.Stop()
	e.Config += "- work-command: {worktype: nap, command: sh, params: \"-c 'sleep 1000 & sleep 1000; wait'\"}\n"
	e.Start()
	c.Reach(e)
	for _, node := range []string{"executor01"} {
		unit := harness.Submit(t, c, "--node", node, "--no-payload", "nap")
		e.Eventually("run the command", func() bool { return len(e.Helpers()) >= 4 }) // supervisor, sh, two sleeps
		harness.Match(t, c.Run("work", "cancel", unit), `Cancelled:\n\(`+unit+`, cancelled\)\n`)
		c.Eventually("show the unit as canceled", func() bool { return harness.List(t, c)[unit].StateName == "Canceled" })
		e.Eventually("end the command and its children", func() bool { return len(e.Helpers()) <= 1 })
		if r := c.Try("work", "results", unit); r.Code != 1 || !strings.Contains(r.Stderr, "cancel") {
			t.Errorf("results of a canceled unit: %+v", r)
		}
		harness.Match(t, c.Run("work", "release", unit), `Released:\n\(`+unit+`, released\)\n`)
	}
}

// TestDemo runs the demo, as it is and interrupted.
func TestDemo(t *testing.T) {
	t.Parallel()
	bin := filepath.Dir(programs.Receptor)
	for _, interrupt := range []bool{false, true} {
		t.Run(fmt.Sprintf("interrupted %v", interrupt), func(t *testing.T) {
			tmp := harness.Dir(t)
			cmd := exec.Command("sh", "../../demo/demo.sh", bin)
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if interrupt {
				cmd.Stdout = &trigger{text: "Reply from executor01 in", do: func() { cmd.Process.Signal(syscall.SIGTERM) }}
			}
			err := cmd.Run()
			if !interrupt && err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			if interrupt && cmd.ProcessState.ExitCode() != 143 {
				t.Errorf("exit %v, want 143", err)
			}
			if left, _ := os.ReadDir(tmp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			for _, w := range []string{"executor01   relayer01", "2: executor01 in", "Reply from executor01: Hello mesh!", "released)"} {
				if !interrupt && !strings.Contains(out.String(), w) {
					t.Errorf("output lacks %q:\n%s", w, out.String())
				}
			}
		})
	}
}

// trigger calls do once, when text was written to it.
type trigger struct {
	text string
	do   func()
	seen strings.Builder
	done bool
}

func (t *trigger) Write(p []byte) (int, error) {
	t.seen.Write(p)
	if !t.done && strings.Contains(t.seen.String(), t.text) {
		t.done = true
		t.do()
	}
	return len(p), nil
}
