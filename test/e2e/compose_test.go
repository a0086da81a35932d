//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// The scenes of compose/ as plain processes: the same configurations, the outcomes that their READMEs tell. Each has a
// check.sh, which holds the same with containers.

// ours gives every node the programs under test.
func ours(string) harness.Programs { return programs }

// compose starts a scene with our programs.
func compose(t *testing.T, name string, env ...string) map[string]*harness.Node {
	s := harness.NewScene(t, name, ours, env...)
	s.Start()
	return s.Nodes
}

// runs submits work without a payload, follows and releases it, and holds that its output is this.
func runs(t *testing.T, c *harness.Node, node, worktype, want string, args ...string) {
	t.Helper()
	args = append([]string{"work", "submit", "--node", node, "--rm", "--follow", "--no-payload", worktype}, args...)
	harness.Match(t, c.Run(args...), regexp.QuoteMeta(want)+`\([0-9a-zA-Z]{8}, released\)\n`)
}

// routes tells whether the node's way to another one leads over a neighbour.
func routes(n *harness.Node, to, neighbour string) bool {
	answer, err := n.Ask("status")
	return err == nil && strings.Contains(answer, fmt.Sprintf("%q:%q", to, neighbour))
}

// eventuallyMatch waits until what receptorctl prints matches the pattern as a whole.
func eventuallyMatch(t *testing.T, c *harness.Node, pattern string, args ...string) {
	t.Helper()
	whole, out := regexp.MustCompile(`(?s)\A`+pattern+`\z`), ""
	defer func() {
		if t.Failed() {
			t.Logf("receptorctl %s printed last:\n%s\nwant a match of:\n%s", strings.Join(args, " "), out, pattern)
		}
	}()
	c.Eventually("print what is wanted", func() bool { out = c.Run(args...); return whole.MatchString(out) })
}

// offers waits until the node knows that another one offers a work type.
func offers(c *harness.Node, node, worktype string) {
	line := regexp.MustCompile(`(?m)^` + node + ` .*\b` + worktype + `\b`)
	c.Eventually("know "+worktype+" of "+node, func() bool {
		_, list, _ := strings.Cut(c.Run("status"), "Work Types")
		return line.MatchString(list)
	})
}

func TestComposeThreeNodes(t *testing.T) {
	t.Parallel()
	nodes := compose(t, "1-three-nodes")
	c := nodes["controller01"]
	c.Reach(nodes["executor01"])
	offers(c, "executor01", "gather-hostname")
	eventuallyMatch(t, c, `Node ID: controller01
Version: \S+
System CPU Count: \d+
System Memory MiB: \d+

Connection   Cost
relayer01    1

Known Node   Known Connections
controller01 relayer01: 1 
executor01   relayer01: 1 
relayer01    controller01: 1 executor01: 1 

Route        Via
executor01   relayer01
relayer01    relayer01

Node         Service   Type       Last Seen             Tags
(\S+ +control   Stream     \d{4}-\d\d-\d\d \d\d:\d\d:\d\d   \{'type': 'Control Service'\}\n){2}
Node         Work Types
controller01 gather-hostname
executor01   gather-hostname
`, "status")
	harness.Match(t, c.Run("ping", "--delay", "0", "executor01"), `(Reply from executor01 in [0-9.]+(µs|ms)\n){4}`)
	harness.Match(t, c.Run("traceroute", "executor01"), `0: controller01 in \S+s\n1: relayer01 in \S+s\n2: executor01 in \S+s\n`)
	name := harness.Hostname(t)
	runs(t, c, "executor01", "gather-hostname", name)
	runs(t, c, "controller01", "gather-hostname", name)
	for _, line := range []string{
		"Running control service control\n", "Initialization complete\n", "Connection established with relayer01\n",
		"Known Connections:\n", "   executor01: relayer01(1.00) \n", "Routing Table:\n", "   executor01 via relayer01\n",
	} {
		if log, _ := os.ReadFile(c.LogFile()); !strings.Contains(string(log), line) {
			t.Errorf("not logged: %s", line)
		}
	}
	relay := nodes["relayer01"]
	relay.Stop()
	c.Eventually("say that the relay is away", func() bool {
		return c.Logged("Backend connection failed (will retry): dial tcp ", "connection refused")
	})
	relay.Start()
	c.Reach(nodes["executor01"])
}

func TestComposeParametersAndPayload(t *testing.T) {
	t.Parallel()
	nodes := compose(t, "2-parameters-and-payload")
	c := nodes["controller01"]
	c.Reach(nodes["executor01"])
	harness.Parameters(t, c)
	harness.Payload(t, c)
	if r := c.Try("work", "submit", "--node", "executor01", "--no-payload", "--rm", "--follow", "echo-reply", "--", "more"); r.Code == 0 {
		t.Errorf("a work type without allowruntimeparams took parameters: %+v", r)
	}
}

// TestComposeFaults holds that the configurations of the third scene do what its README says; TestDemo3 makes each
// fault happen.
func TestComposeFaults(t *testing.T) {
	t.Parallel()
	nodes := compose(t, "3-faults", "PAUSE=0.3")
	c, relay := nodes["controller01"], nodes["relayer01"]
	via(c, "relayer01")
	via(nodes["executor01"], "relayer01")
	unit := harness.Submit(t, c, "--node", "executor01", "--payload-literal", "Hello Receptor!", "echo-reply")
	want := "Reply from " + strings.TrimSpace(harness.Hostname(t)) + ": HELLO RECEPTOR!\n"
	if got := c.Run("work", "results", unit); got != want {
		t.Errorf("results %q, want %q", got, want)
	}
	remote := harness.List(t, c)[unit].ExtraData.RemoteUnitID
	for _, dir := range []string{filepath.Join(c.DataDir(), unit), filepath.Join(nodes["executor01"].DataDir(), remote)} {
		for file, want := range map[string]string{"stdin": "Hello Receptor!\n", "stdout": want} {
			if got, err := os.ReadFile(filepath.Join(dir, file)); string(got) != want {
				t.Errorf("%s of %s: %q, %v", file, dir, got, err)
			}
		}
	}
	unit = midway(t, c)
	relay.Stop()
	via(c, "relayer02")
	allLines(t, c, unit)
	relay.Start()
	via(c, "relayer01")
	c.Run("work", "release", "--all")
	for _, n := range []*harness.Node{c, nodes["executor01"]} {
		n.Eventually("remove all unit directories", func() bool {
			left, _ := filepath.Glob(filepath.Join(n.DataDir(), "[0-9a-zA-Z]*"))
			return len(left) == 0
		})
	}
}

func TestComposeTenNodes(t *testing.T) {
	t.Parallel()
	nodes := compose(t, "4-ten-nodes")
	if len(nodes) != 10 {
		t.Fatalf("there are %d nodes", len(nodes))
	}
	c, executor := nodes["west-controller01"], nodes["east-executor01"]
	for id := range nodes {
		if id != c.ID {
			c.Eventually("route "+id, func() bool { return routes(c, id, "west-relayer03") })
		}
	}
	for _, node := range []string{"east-executor01", "west-executor01", "west-executor02"} {
		offers(c, node, "gather-hostname")
	}
	c.Reach(executor)
	eventuallyMatch(t, c, `Node ID: west-controller01
.*
Connection        Cost
west-relayer03    1

Known Node        Known Connections
controller01      east-relayer01: 1 east-relayer02: 1 west-relayer01: 1 west-relayer02: 1 
east-executor01   east-relayer01: 1 east-relayer02: 1 
east-relayer01    controller01: 1 east-executor01: 1 
east-relayer02    controller01: 1 east-executor01: 1 
west-controller01 west-relayer03: 1 
west-executor01   west-relayer03: 1 
west-executor02   west-relayer01: 1 west-relayer02: 1 
west-relayer01    controller01: 1 west-executor02: 1 west-relayer03: 1 
west-relayer02    controller01: 1 west-executor02: 1 
west-relayer03    west-controller01: 1 west-executor01: 1 west-relayer01: 1 

Route             Via
(\S+ +west-relayer03\n){9}
Node              Service   Type       Last Seen             Tags
(\S+ +control   Stream     \S+ \S+ +\{'type': 'Control Service'\}\n){5}
Node              Work Types
east-executor01   gather-hostname
west-executor01   gather-hostname
west-executor02   gather-hostname
`, "status")
	name := harness.Hostname(t)
	used := hops(t, c, "east-relayer0[12]")
	for _, node := range []string{"east-executor01", "west-executor01", "west-executor02"} {
		runs(t, c, node, "gather-hostname", name)
	}

	spare := map[string]string{"east-relayer01": "east-relayer02", "east-relayer02": "east-relayer01"}[used]
	nodes[used].Kill()
	nodes["controller01"].Eventually("take the other way", func() bool { return routes(nodes["controller01"], "east-executor01", spare) })
	c.Reach(executor)
	hops(t, c, spare)
	runs(t, c, "east-executor01", "gather-hostname", name)

	// The west's left half hangs on west-relayer01; west-executor02 has another relay.
	nodes["west-relayer01"].Kill()
	c.Eventually("be cut off from the east", func() bool { return !c.Pings("east-executor01") })
	c.Reach(nodes["west-executor01"])
	root := nodes["controller01"]
	root.Eventually("take the other way", func() bool { return routes(root, "west-executor02", "west-relayer02") })
	runs(t, root, "west-executor02", "gather-hostname", name)
	nodes["west-relayer01"].Start()
	nodes[used].Start()
	c.Reach(executor, nodes["west-executor02"])
	runs(t, c, "east-executor01", "gather-hostname", name)
}

// hops holds that the way to east-executor01 has five hops, over such an east relay, and returns that relay.
func hops(t *testing.T, c *harness.Node, east string) string {
	t.Helper()
	way := regexp.MustCompile(`\A0: west-controller01 in \S+
1: west-relayer03 in \S+
2: west-relayer01 in \S+
3: controller01 in \S+
4: (` + east + `) in \S+
5: east-executor01 in \S+
\z`)
	out := c.Run("traceroute", "east-executor01")
	m := way.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("traceroute:\n%s\nwant the fourth hop to be %s", out, east)
	}
	return m[1]
}

// TestComposeLiveReconfiguration has relayer01 read, change and reload its own configuration through work that
// controller01 submits.
func TestComposeLiveReconfiguration(t *testing.T) {
	t.Parallel()
	s := harness.NewScene(t, "5-live-reconfiguration", ours)
	s.Prepare(programs)
	s.Start()
	c, relay, executor := s.Nodes["controller01"], s.Nodes["relayer01"], s.Nodes["executor01"]
	c.Reach(relay)
	if c.Pings("executor01") {
		t.Fatal("executor01 is reached before anybody dials it")
	}
	onRelay := func(payload, worktype string) harness.Result {
		return c.TryInput(payload, "work", "submit", "--node", "relayer01", "--signwork", "--rm", "--follow", "--payload", "-", worktype)
	}
	if r := c.Try("work", "submit", "--node", "relayer01", "--rm", "--follow", "--no-payload", "reload"); r.Code == 0 ||
		!strings.Contains(r.Stderr, "could not verify signature: signature is empty") {
		t.Errorf("unsigned work: %+v", r)
	}
	done := func(r harness.Result, want string) {
		t.Helper()
		if r.Code != 0 {
			t.Fatalf("%+v", r)
		}
		harness.Match(t, r.Stdout, regexp.QuoteMeta(want)+`\([0-9a-zA-Z]{8}, released\)\n`)
	}
	done(onRelay("", "print-configuration"), relay.Config)

	more := s.Read("executor01.yml")
	done(onRelay(more, "append-configuration"), more)
	done(onRelay("", "print-configuration"), relay.Config+more)
	if c.Pings("executor01") {
		t.Error("the peer counts before the reload")
	}
	done(onRelay("", "reload"), "Reload successful\n")
	c.Reach(executor)
	harness.Match(t, c.Run("traceroute", "executor01"), `0: controller01 in \S+s\n1: relayer01 in \S+s\n2: executor01 in \S+s\n`)
	if up, down := linkLines(t, c); up != 1 || down != 0 {
		t.Errorf("controller01 had %d links and lost %d, want the one that it began with", up, down)
	}
	offers(c, "executor01", "echo-reply")
	got := c.Run("work", "submit", "--node", "executor01", "--signwork", "--rm", "--follow", "--payload-literal", "Hello Receptor!", "echo-reply")
	harness.Match(t, got, `Reply from \S+: HELLO RECEPTOR!\n\([0-9a-zA-Z]{8}, released\)\n`)

	// A mistake is refused, and changes nothing.
	const mistake = "\n- tcp-peer:\n    adress: 127.0.0.1:1\n"
	done(onRelay(mistake, "append-configuration"), mistake)
	if r := onRelay("", "reload"); r.Code == 0 || !strings.Contains(r.Stdout, `did you mean "address"?`) {
		t.Errorf("a configuration with a mistake: %+v", r)
	}
	if !c.Pings("executor01") {
		t.Error("executor01 is not reached any more")
	}

	done(onRelay(relay.Config, "write-configuration"), relay.Config)
	done(onRelay("", "reload"), "Reload successful\n")
	c.Eventually("lose executor01", func() bool { return !c.Pings("executor01") })
	if up, down := linkLines(t, c); up != 1 || down != 0 {
		t.Errorf("controller01 had %d links and lost %d", up, down)
	}
}

func TestComposeSecurity(t *testing.T) {
	t.Parallel()
	nodes := harness.NewSecurity(t, programs, ours)
	harness.Security(t, nodes)

	// controller04 takes the name of a node that is allowed. Its certificate still has its own.
	relay, c3, c4 := nodes["relayer01"], nodes["controller03"], nodes["controller04"]
	c3.Stop()
	c4.Stop()
	c4.Config = strings.Replace(c4.Config, "id: controller04", "id: controller03", 1)
	c4.Exec()
	if code := c4.Wait(); code == 0 || !c4.Logged("controller03") {
		t.Errorf("a node starts with a certificate of another name: exit code %d\n%s", code, c4.Log())
	}
	c4.Config = strings.Replace(c4.Config, "- tls-client:\n", "- tls-client:\n    skipreceptornamescheck: true\n", 1)
	c4.Start()
	relay.Eventually("refuse controller04 as controller03", func() bool {
		return relay.Logged("rejected connection with node controller03 because ", "controller04")
	})
	if c4.Pings("executor01") || routes(c4, "executor01", "relayer01") {
		t.Error("controller04 is on the mesh under another name")
	}
}
