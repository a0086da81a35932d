//go:build e2e

package e2e

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
)

// lineNumber is how many lines echo-sleep prints in these tests.
const lineNumber = 12

// echoSleep is the work type of the third demo, with shorter pauses.
const echoSleep = "- work-command: {worktype: echo-sleep, command: bash, params: \"-c 'for i in $(seq 1 12); do echo ${i}: $(date +%T); sleep 0.4; done'\"}\n"

// demo3 is the mesh of the third demo: controller and executor are both linked
// with two relays, the second of which costs more.
func demo3(t *testing.T) (c, e *harness.Node, relays [2]*harness.Node) {
	dir := harness.Dir(t)
	links := ""
	for i := range relays {
		cost, port := i+1, harness.FreePort(t)
		relays[i] = harness.New(t, programs, dir, fmt.Sprintf("relayer%02d", i+1),
			fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d, cost: %d.0}\n", port, cost))
		links += fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\", cost: %d.0}\n", port, cost)
	}
	c = harness.New(t, programs, dir, "controller01", links)
	e = harness.New(t, programs, dir, "executor01", links+harness.WorkTypes+echoSleep)
	for _, n := range []*harness.Node{relays[0], relays[1], c, e} {
		n.Start()
	}
	via(c, "relayer01")
	via(e, "relayer01")
	return c, e, relays
}

// via waits until the node's way to the other end leads through a relay.
func via(n *harness.Node, relay string) {
	other := map[string]string{"controller01": "executor01", "executor01": "controller01"}[n.ID]
	n.Eventually("have its route over "+relay, func() bool {
		answer, err := n.Ask("status")
		return err == nil && strings.Contains(answer, fmt.Sprintf("%q:%q", other, relay)) && n.Pings(other)
	})
}

// midway submits echo-sleep, and waits until the controller has a part of its output.
func midway(t *testing.T, c *harness.Node) string {
	t.Helper()
	unit := harness.Submit(t, c, "--node", "executor01", "--no-payload", "echo-sleep")
	c.Eventually("show some output", func() bool { r, _ := c.Unit(unit); return r.StdoutSize > 20 })
	return unit
}

// allLines holds that the unit succeeds, and each line came once.
func allLines(t *testing.T, c *harness.Node, unit string) {
	t.Helper()
	out := c.Run("work", "results", unit)
	want := ""
	for i := range lineNumber {
		want += fmt.Sprintf(`%d: \d\d:\d\d:\d\d\n`, i+1)
	}
	harness.Match(t, out, want)
	if r, _ := c.Unit(unit); r.StateName != "Succeeded" || r.Detail != "exit status 0" {
		t.Errorf("record %+v", r)
	}
}

// TestDemo3 is the third demo: faults during a command that prints now and then.
func TestDemo3(t *testing.T) {
	t.Run("normal", func(t *testing.T) {
		t.Parallel()
		c, _, _ := demo3(t)
		got := c.Run("work", "submit", "--node", "executor01", "--rm", "--follow", "--payload-literal", "Hello Receptor!", "echo-reply")
		if !strings.Contains(got, ": HELLO RECEPTOR!\n") {
			t.Errorf("echo-reply: %q", got)
		}
		unit := midway(t, c)
		allLines(t, c, unit)
	})
	t.Run("one relay stops and comes back", func(t *testing.T) {
		t.Parallel()
		c, _, relays := demo3(t)
		unit := midway(t, c)
		relays[0].Stop()
		via(c, "relayer02")
		allLines(t, c, unit)
		relays[0].Start()
		via(c, "relayer01")
	})
	t.Run("both relays stop, one comes back", func(t *testing.T) {
		t.Parallel()
		c, e, relays := demo3(t)
		unit := midway(t, c)
		relays[0].Stop()
		relays[1].Stop()
		c.Eventually("lose the route", func() bool { return !c.Pings("executor01") })
		if r, _ := c.Unit(unit); r.StateName != "Running" || r.StdoutSize == 0 {
			t.Errorf("without a route: %+v", r)
		}
		e.Eventually("finish", func() bool {
			for _, r := range e.Units() {
				return r.StateName == "Succeeded"
			}
			return false
		})
		relays[1].Start()
		allLines(t, c, unit)
	})
	t.Run("the controller is started again", func(t *testing.T) {
		t.Parallel()
		c, _, _ := demo3(t)
		unit := midway(t, c)
		c.Stop()
		c.Start()
		allLines(t, c, unit)
	})
	t.Run("the executor is started again", func(t *testing.T) {
		t.Parallel()
		c, e, _ := demo3(t)
		unit := midway(t, c)
		e.Stop()
		e.Start()
		allLines(t, c, unit)
	})
	t.Run("the executor dies with its command", func(t *testing.T) {
		t.Parallel()
		c, e, _ := demo3(t)
		unit := midway(t, c)
		e.KillAll()
		stdout, _ := filepath.Glob(filepath.Join(e.DataDir(), "*", "stdout"))
		if len(stdout) != 1 {
			t.Fatalf("outputs: %v", stdout)
		}
		wrote, _ := os.ReadFile(stdout[0])
		e.Start()
		c.Eventually("show the unit as failed", func() bool { r, _ := c.Unit(unit); return r.State > 1 })
		r, _ := c.Unit(unit)
		if r.StateName != "Failed" || !matches(r.Detail, lost.detail) {
			t.Errorf("record %+v", r)
		}
		if got := c.Try("work", "results", unit); got.Stdout != string(wrote) || got.Code == 0 {
			t.Errorf("results: %+v, want %q", got, wrote)
		}
		c.Run("work", "release", unit)
	})
}

// pair starts a controller and an executor, joined by a cable.
func pair(t *testing.T, transport, types string) (c, e *harness.Node, cable *harness.Cable) {
	s := &scene{t: t}
	dir := harness.Dir(t)
	s.c = harness.New(t, programs, dir, "controller01", "")
	s.e = harness.New(t, programs, dir, "executor01", types)
	s.link(s.c, s.e, transport)
	s.reach()
	return s.c, s.e, s.cable
}

// TestResultsThroughCuts fetches 64 MiB over a link that is cut five times at
// drawn points, closed or silent, and healed.
func TestResultsThroughCuts(t *testing.T) {
	t.Parallel()
	const size, cuts = 64 << 20, 5
	random := newRand(t)
	file := filepath.Join(harness.Dir(t), "data")
	c, _, cable := pair(t, "tcp", fmt.Sprintf("- work-command: {worktype: job, command: cat, params: %q}\n", file))
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(random.Uint32()), byte(random.Uint32())})
	source.Read(data)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	points := [cuts]int64{}
	for i := range points {
		points[i] = size/cuts/4 + random.Int64N(size/cuts/2)
	}
	reached := cable.HoldAfter(harness.FromListener, points[0])
	call := c.Begin("work", "submit", "--node", "executor01", "--no-payload", "--follow", "job")
	for i := range points {
		cable.WaitHeld(reached)
		if random.IntN(2) == 0 {
			cable.Cut()
		} else {
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond) // the silence
		}
		cable.Heal()
		if i+1 < cuts {
			reached = cable.HoldAfter(harness.FromListener, points[i+1])
		}
	}
	r := call.Wait()
	if r.Code != 0 || sha256.Sum256([]byte(r.Stdout)) != sha256.Sum256(data) {
		t.Errorf("code %d, %d bytes, want the %d of the file; %s", r.Code, len(r.Stdout), size, r.Stderr)
	}
}

// TestLongSilence cuts a link for so long that both nodes give it up: during a
// submission that is not answered, and while a command runs.
func TestLongSilence(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			gate := filepath.Join(harness.Dir(t), "gate")
			c, e, cable := pair(t, transport, gated(gate)+"- work-command: {worktype: cat, command: cat}\n")
			runs := harness.Submit(t, c, "--node", "executor01", "--no-payload", "gated")
			c.Eventually("show some output of a unit that runs", func() bool { // either may be known first
				r, _ := c.Unit(runs)
				return r.StdoutSize == 4 && r.StateName == "Running"
			})
			cable.Hold()
			call := c.Begin("work", "submit", "--node", "executor01", "--payload-literal", "late", "cat")
			for _, n := range []*harness.Node{c, e} {
				n.Eventually("give up the link", func() bool {
					answer, err := n.Ask("status")
					return err == nil && strings.Contains(answer, `"Connections":[]`) || strings.Contains(answer, `"Connections":null`)
				})
			}
			c.Within(3*harness.Patience, "say that the node is silent", func() bool { // up to 80 s
				r, _ := c.Unit(runs)
				return r.StateName == "Running" && matches(r.Detail, "Running: PID * (node executor01 not heard of since *: *)")
			})
			if r := call.Wait(); r.Code != 0 || !strings.HasPrefix(r.Stdout, "Result: Job Submitted\n") {
				t.Errorf("submit while the node is away: %+v", r)
			}
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			cable.Heal()
			if got := c.Run("work", "results", runs); got != "one\ntwo\n" {
				t.Errorf("results %q", got)
			}
			for id := range c.Units() {
				if got := c.Run("work", "results", id); id != runs && got != "late\n" {
					t.Errorf("results of the late unit: %q", got)
				}
			}
		})
	}
}
