package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// WorkTypes are those of the first two scenes: a fixed command, a command with
// runtime parameters, and one that answers its payload.
const WorkTypes = `
- work-command: {worktype: gather-hostname, command: cat, params: /etc/hostname}
- work-command: {worktype: cat-files, command: grep, params: "-n -H ''", allowruntimeparams: true}
- work-command:
    worktype: echo-reply
    command: bash
    params: "-c 'while read -r line; do echo Reply from $(cat /etc/hostname): ${line^^}; done'"
`

// Chain starts controller01 - relayer01 - executor01, joined by links of the
// transport, each with the programs given for it, and waits until the ends
// reach each other. The work types are those of WorkTypes.
func Chain(t *testing.T, transport string, controllerBy, relayBy, executorBy Programs) (controller, relay, executor *Node) {
	t.Helper()
	dir := Dir(t)
	port := FreePort(t)
	listener := fmt.Sprintf("- %s-listener: {bindaddr: 127.0.0.1, port: %d}\n", transport, port)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if transport == "ws" {
		address = "ws://" + address
	}
	peer := fmt.Sprintf("- %s-peer: {address: %q}\n", transport, address)
	relay = New(t, relayBy, dir, "relayer01", listener)
	controller = New(t, controllerBy, dir, "controller01", peer+WorkTypes)
	executor = New(t, executorBy, dir, "executor01", peer+WorkTypes)
	for _, n := range []*Node{relay, controller, executor} {
		n.Start()
	}
	controller.Reach(relay, executor)
	executor.Reach(controller)
	return controller, relay, executor
}

// Hostname is what gather-hostname prints.
func Hostname(t *testing.T) string {
	name, err := os.ReadFile("/etc/hostname")
	if err != nil {
		t.Skip("the scenes print /etc/hostname, which this machine does not have")
	}
	return string(name)
}

// Scenes runs what a user does first, between controller01 and executor01.
func Scenes(t *testing.T, controller, executor *Node) {
	t.Run("status", func(t *testing.T) { Status(t, controller) })
	t.Run("one command", func(t *testing.T) { oneCommand(t, controller, executor) })
	t.Run("parameters", func(t *testing.T) { Parameters(t, controller) })
	t.Run("payload", func(t *testing.T) { Payload(t, controller) })
}

// Match fails unless text matches the pattern as a whole.
func Match(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`(?s)\A` + pattern + `\z`).MatchString(text) {
		t.Errorf("got:\n%s\nwant a match of:\n%s", text, pattern)
	}
}

// Status holds that the node shows the whole mesh. A newcomer behind a node of
// ansible/receptor hears of services after up to a minute.
func Status(t *testing.T, c *Node) {
	const wantWork = "executor01   gather-hostname, cat-files, echo-reply\n"
	c.Within(90*time.Second, "list the work types", func() bool {
		return strings.Contains(c.Run("status"), wantWork) && strings.Count(c.Run("status"), "'Control Service'") == 3
	})
	Match(t, c.Run("status"), `Node ID: controller01
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
(\S+ +control   Stream     \d{4}-\d\d-\d\d \d\d:\d\d:\d\d   \{'type': 'Control Service'\}\n){3}
Node         Work Types
(\S+ +gather-hostname, cat-files, echo-reply\n){2}`)
	Match(t, c.Run("ping", "--count", "2", "--delay", "0", "executor01"), `(Reply from executor01 in [0-9.]+(µs|ms)\n){2}`)
	Match(t, c.Run("traceroute", "executor01"),
		`0: controller01 in \S+s\n1: relayer01 in \S+s\n2: executor01 in \S+s\n`)
}

// Submit runs a submit that prints a unit id, and returns the id.
func Submit(t *testing.T, c *Node, args ...string) string {
	t.Helper()
	out := c.Run(append([]string{"work", "submit"}, args...)...)
	Match(t, out, `Result: Job Started\nUnit ID: [0-9a-zA-Z]{8}\n`)
	return strings.TrimSpace(out[strings.LastIndex(out, ": ")+2:])
}

// Record is a unit as `work list` shows it.
type Record struct {
	State      int
	StateName  string
	Detail     string
	StdoutSize int
	WorkType   string
	ExtraData  struct{ RemoteNode, RemoteWorkType, RemoteUnitID string }
}

// List is what `work list` shows.
func List(t *testing.T, n *Node) map[string]Record {
	t.Helper()
	units := map[string]Record{}
	if err := json.Unmarshal([]byte(n.Run("work", "list")), &units); err != nil {
		t.Fatal(err)
	}
	return units
}

func oneCommand(t *testing.T, c, e *Node) {
	name := Hostname(t)
	for _, node := range []string{"executor01", "localhost"} {
		unit := Submit(t, c, "--node", node, "--no-payload", "gather-hostname")
		if got := c.Run("work", "results", unit); got != name {
			t.Errorf("results of %s: %q, want %q", node, got, name)
		}
		u := List(t, c)[unit]
		wantType := "gather-hostname"
		if node == "executor01" {
			wantType = "remote"
			if x := u.ExtraData; x.RemoteNode != node || x.RemoteWorkType != "gather-hostname" || x.RemoteUnitID == "" {
				t.Errorf("ExtraData %+v", x)
			}
		}
		if u.StateName != "Succeeded" || u.Detail != "exit status 0" || u.StdoutSize != len(name) || u.WorkType != wantType {
			t.Errorf("record %+v", u)
		}
		if got, want := c.Run("work", "release", unit), "Released:\n("+unit+", released)\n"; got != want {
			t.Errorf("release: %q, want %q", got, want)
		}
		c.Eventually("forget the unit", func() bool { return c.Run("work", "list") == "{}\n" })
	}
	got := c.Run("work", "submit", "--node", "executor01", "--rm", "--follow", "--no-payload", "gather-hostname")
	Match(t, got, regexp.QuoteMeta(name)+`\([0-9a-zA-Z]{8}, released\)\n`)
	for _, n := range []*Node{c, e} {
		n.Eventually("remove all unit directories", func() bool {
			left, _ := filepath.Glob(filepath.Join(n.DataDir(), "[0-9a-zA-Z]*"))
			return len(left) == 0
		})
	}
}

// Parameters holds that executor01 gets parameters, spelled in both ways.
func Parameters(t *testing.T, c *Node) {
	for _, args := range [][]string{
		{"--param", "params=/etc/hostname /etc/os-release", "cat-files"},
		{"cat-files", "--", "/etc/hostname", "/etc/os-release"},
	} {
		got := c.Run(append([]string{"work", "submit", "--node", "executor01", "--rm", "--follow", "--no-payload"}, args...)...)
		Match(t, got, `/etc/hostname:1:`+regexp.QuoteMeta(Hostname(t))+`(/etc/os-release:\d+:[^\n]*\n)+\([0-9a-zA-Z]{8}, released\)\n`)
	}
}

// Payload holds that executor01 gets a payload, given in each of the ways.
func Payload(t *testing.T, c *Node) {
	file := filepath.Join(Dir(t), "input.txt")
	if err := os.WriteFile(file, []byte("Hello Receptor!\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []struct{ stdin, option, value string }{
		{"", "--payload", file},
		{"Hello Receptor!\n", "--payload", "-"},
		{"", "--payload-literal", "Hello Receptor!"},
	} {
		got := c.RunInput(how.stdin, "work", "submit", "--node", "executor01", "--rm", "--follow", how.option, how.value, "echo-reply")
		Match(t, got, `Reply from `+regexp.QuoteMeta(strings.TrimSpace(Hostname(t)))+`: HELLO RECEPTOR!\n\([0-9a-zA-Z]{8}, released\)\n`)
	}
}
