//go:build interop

package interop

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

	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// slowly bounds waits for an ansible/receptor node: its redial, its attempts
// with growing pauses, and its notice of a lost link.
const slowly = 120 * time.Second

// gatedWork are work types of which the test decides when they end: `gated NAME`
// prints, waits for a file dir/NAME, and prints again.
func gatedWork(dir string) string {
	return fmt.Sprintf(`
- work-command: {worktype: gated, command: sh, allowruntimeparams: true, params: "-c 'echo one; echo ran >>%[1]s/$0.ran; while [ ! -e %[1]s/$0 ]; do sleep 0.05; done; echo two'"}
- work-command: {worktype: cat, command: cat}
- work-command: {worktype: bad, command: sh, params: "-c 'echo bad; exit 3'"}
`, dir)
}

// gates opens what gatedWork waits for.
type gates struct {
	t   *testing.T
	dir string
}

func (g gates) open(name string) {
	if err := os.WriteFile(filepath.Join(g.dir, name), nil, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// runs is how often the command was started.
func (g gates) runs(name string) int {
	text, _ := os.ReadFile(filepath.Join(g.dir, name+".ran"))
	return strings.Count(string(text), "ran\n")
}

// pendingInput begins a submission that never ends, and returns the unit's id.
func pendingInput(t *testing.T, n *harness.Node) string {
	t.Helper()
	conn, err := net.Dial("unix", n.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintln(conn, `{"command":"work","subcommand":"submit","node":"localhost","worktype":"cat"}`)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if found := regexp.MustCompile(`with ID (\w+)\.`).FindStringSubmatch(lines.Text()); found != nil {
			fmt.Fprint(conn, "half of the inp")
			return found[1]
		}
	}
	t.Fatalf("no unit: %v", lines.Err())
	return ""
}

// state waits until a unit of n is in a state.
func state(t *testing.T, n *harness.Node, unit, want string) (last harness.Record) {
	t.Helper()
	for deadline := time.Now().Add(slowly); ; time.Sleep(50 * time.Millisecond) {
		last = harness.List(t, n)[unit]
		if last.StateName == want {
			return last
		}
		if time.Now().After(deadline) {
			t.Fatalf("unit %s of %s: %+v, want %s\n%s", unit, n.ID, last, want, n.Log())
		}
	}
}

// runner is the process of ansible/receptor that watches a local unit.
func runner(n *harness.Node, unit string) int {
	for _, pid := range n.Helpers() {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(args), "--command-runner") && strings.Contains(string(args), "/"+unit) {
			return pid
		}
	}
	return 0
}

// TestTakeover starts our program on the data directory of an ansible/receptor
// daemon that has gone, with units of each kind in each state, some of whose
// runners still run: each comes to its true end. Then the way back.
func TestTakeover(t *testing.T) {
	for _, how := range []string{"kill", "stop"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel() // it waits nearly all the time
			takeover(t, how)
		})
	}
}

func takeover(t *testing.T, how string) {
	theirs := peer(t)
	dir := harness.Dir(t)
	g := gates{t, harness.Dir(t)}
	work := gatedWork(g.dir)
	port := harness.FreePort(t)
	x := harness.New(t, theirs, dir, "x", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", port)+work)
	x.Start()
	executors := map[string]*harness.Node{}
	cables := map[string]*rig.Cable{}
	for id, by := range map[string]harness.Programs{"ours": ours, "theirs": theirs} {
		cables[id] = rig.NewCable(t, "tcp", port)
		executors[id] = harness.New(t, by, dir, id, fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", cables[id].Port())+work)
		executors[id].Start()
		x.Reach(executors[id])
	}

	// Units in every state. A gated unit's gate has the name under which it is kept here.
	units := map[string]string{}
	gatedUnit := func(node, name string, more ...string) {
		t.Helper()
		units[name] = harness.Submit(t, x, append([]string{"--node", node, "--no-payload", "--param", "params=" + name, "gated"}, more...)...)
	}
	running := []string{"runs", "ends meanwhile", "loses its runner", "is canceled", "is released"}
	var started []string
	for i, what := range running {
		name := fmt.Sprintf("local%d", i)
		gatedUnit("localhost", name)
		started = append(started, name)
		t.Logf("%s is the local unit that %s", name, what)
	}
	units["succeeded"] = strings.TrimSpace(harness.Submit(t, x, "--node", "localhost", "--payload-literal", "input", "cat"))
	units["failed"] = harness.Submit(t, x, "--node", "localhost", "--no-payload", "bad")
	gatedUnit("localhost", "canceled")
	state(t, x, units["canceled"], "Running")
	x.Run("work", "cancel", units["canceled"])
	state(t, x, units["canceled"], "Canceled")
	for id := range executors {
		for _, what := range []string{"runs", "meanwhile", "cut", "released"} {
			gatedUnit(id, id+"-"+what)
			started = append(started, id+"-"+what)
		}
		units[id+"-done"] = harness.Submit(t, x, "--node", id, "--payload-literal", "input", "cat")
		state(t, x, units[id+"-done"], "Succeeded")
	}
	for _, name := range started {
		state(t, x, units[name], "Running")
	}
	state(t, x, units["succeeded"], "Succeeded")
	state(t, x, units["failed"], "Failed")
	units["waiting"] = pendingInput(t, x)

	// Cut off: nobody tells x how these went on, nor the others of its release.
	for id, cable := range cables {
		cable.Cut(false)
		x.Within(slowly, "lose the route", func() bool { return x.Try("ping", "--count", "1", id).Code != 0 })
		g.open(id + "-cut")
		harness.Match(t, x.Run("work", "release", units[id+"-released"]), `Released:\n\(\w+, release pending\)\n`)
		out := x.Run("work", "submit", "--node", id, "--no-payload", "--ttl", "1h", "--param", "params="+id+"-ttl", "gated")
		harness.Match(t, out, `Result: Job Submitted\nUnit ID: \w+\n`)
		units[id+"-ttl"] = strings.TrimSpace(out[strings.LastIndex(out, ": ")+2:])
	}
	if how == "kill" {
		x.Kill()
	} else {
		x.Stop()
	}
	g.open("local1")
	for id := range executors {
		g.open(id + "-meanwhile")
	}

	// Our program takes over.
	x.Bin = ours.Receptor
	x.Start()
	for _, cable := range cables {
		cable.Heal()
	}
	succeeded := func(name string) {
		t.Helper()
		if got := x.Run("work", "results", units[name]); got != "one\ntwo\n" {
			t.Errorf("%s: results %q", name, got)
		}
		if u := state(t, x, units[name], "Succeeded"); u.StdoutSize != 8 {
			t.Errorf("%s: %+v", name, u)
		}
		if n := g.runs(name); n != 1 {
			t.Errorf("%s: its command was started %d times", name, n)
		}
	}
	state(t, x, units["local0"], "Running")
	g.open("local0")
	succeeded("local0")
	succeeded("local1")
	pid := runner(x, units["local2"])
	if pid == 0 {
		t.Fatal("the runner of local2 is not found")
	}
	harness.KillNow(pid)
	if u := state(t, x, units["local2"], "Failed"); !strings.Contains(u.Detail, "runner") {
		t.Errorf("local2: %+v", u)
	}
	g.open("local2") // its command goes on without the runner
	if r := x.Try("work", "results", units["local2"]); !strings.HasPrefix(r.Stdout, "one\n") {
		t.Errorf("local2: results %+v", r)
	}
	x.Run("work", "cancel", units["local3"])
	state(t, x, units["local3"], "Canceled")
	x.Run("work", "release", units["local4"])
	if _, ok := harness.List(t, x)[units["local4"]]; ok {
		t.Error("local4 is listed after its release")
	}
	if got := x.Run("work", "results", units["succeeded"]); got != "input\n" {
		t.Errorf("succeeded: results %q", got)
	}
	state(t, x, units["succeeded"], "Succeeded")
	if u := state(t, x, units["failed"], "Failed"); u.Detail != "exit status 3" {
		t.Errorf("failed: %+v", u)
	}
	state(t, x, units["canceled"], "Canceled")
	if u := state(t, x, units["waiting"], "Failed"); u.Detail != "Pending at restart" {
		t.Errorf("waiting: %+v", u)
	}
	x.Eventually("end the commands of canceled and released units", func() bool {
		for _, pid := range x.Helpers() {
			if !rig.IsSupervisor(pid) {
				return false
			}
		}
		return true
	})
	for id, e := range executors {
		x.Within(slowly, "reach "+id, func() bool { return x.Try("ping", "--count", "1", id).Code == 0 })
		g.open(id + "-runs")
		for _, what := range []string{"runs", "meanwhile", "cut"} {
			succeeded(id + "-" + what)
		}
		if got := x.Run("work", "results", units[id+"-done"]); got != "input\n" {
			t.Errorf("%s-done: results %q", id, got)
		}
		x.Within(slowly, "forget the released unit", func() bool {
			_, ok := harness.List(t, x)[units[id+"-released"]]
			return !ok
		})
		e.Within(slowly, "end the released unit", func() bool {
			for _, u := range harness.List(t, e) {
				if u.StateName == "Running" && g.runs(id+"-ttl") == 0 {
					return false
				}
			}
			return true
		})
		// What the original never handed on is either run once, or Failed with a reason.
		g.open(id + "-ttl")
		var u harness.Record
		x.Within(slowly, "end the unit with a ttl", func() bool {
			u = harness.List(t, x)[units[id+"-ttl"]]
			return u.State >= 2
		})
		t.Logf("%s-ttl: %s, %s", id, u.StateName, u.Detail)
		switch {
		case u.StateName == "Succeeded":
			succeeded(id + "-ttl")
		case u.StateName != "Failed" || u.Detail == "" || g.runs(id+"-ttl") != 0:
			t.Errorf("%s-ttl: %+v, started %d times", id, u, g.runs(id+"-ttl"))
		}
	}
	units["new"] = harness.Submit(t, x, "--node", "localhost", "--payload-literal", "of ours", "cat")
	units["new remote"] = harness.Submit(t, x, "--node", "ours", "--payload-literal", "of ours", "cat")
	for _, name := range []string{"new", "new remote"} {
		if got := x.Run("work", "results", units[name]); got != "of ours\n" {
			t.Errorf("%s: results %q", name, got)
		}
	}

	// The way back: what has ended stays as it is.
	type kept struct {
		harness.Record
		results string
	}
	before := map[string]kept{}
	for unit, u := range harness.List(t, x) {
		if u.StateName == "Succeeded" {
			before[unit] = kept{u, x.Run("work", "results", unit)}
		} else {
			before[unit] = kept{u, ""}
		}
	}
	x.Stop()
	x.Bin = theirs.Receptor
	x.Start()
	after := harness.List(t, x)
	for unit, was := range before {
		is := after[unit]
		// It overwrites the Detail of remote units that were not handed on (spec work 7.8).
		if is.State != was.State || is.StdoutSize != was.StdoutSize || is.Detail != was.Detail && was.StateName == "Succeeded" {
			t.Errorf("unit %s under ansible/receptor again: %+v, was %+v", unit, is, was.Record)
		}
		if was.StateName == "Succeeded" {
			if got := x.Run("work", "results", unit); got != was.results {
				t.Errorf("unit %s under ansible/receptor again: results %q, were %q", unit, got, was.results)
			}
		}
	}
	for _, name := range []string{"succeeded", "failed", "local0", "new"} {
		x.Run("work", "release", units[name])
		x.Eventually("release "+name, func() bool { _, ok := harness.List(t, x)[units[name]]; return !ok })
	}
}
