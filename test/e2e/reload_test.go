//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// linkLines counts the lines about links that came up and links that ended.
func linkLines(t *testing.T, n *harness.Node) (up, down int) {
	t.Helper()
	log, err := os.ReadFile(n.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(log), "Connection established with "), strings.Count(string(log), "Backend connection exited")
}

// scrape gets the metrics of a node.
func scrape(t *testing.T, port int) string {
	t.Helper()
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReloadAddsPeer adds a peer to a node that has 20 links and 20 running
// units, half of them on another node. No link drops, at neither end, and no
// command hears of it: each would write a line for any signal.
func TestReloadAddsPeer(t *testing.T) {
	const links, units = 20, 20
	const work = `- work-command: {worktype: wait, command: sh, params: "-c 'trap \"echo signal\" HUP INT QUIT TERM; echo $$; sleep 600 & wait; echo ended'"}` + "\n"
	dir := harness.Dir(t)
	port, newPort, metrics := harness.FreePort(t), harness.FreePort(t), harness.FreePort(t)
	config := fmt.Sprintf("- metrics: \"%d\"\n- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", metrics, port) + work
	hub := harness.New(t, programs, dir, "hub", config)
	hub.Start()
	leaves := make([]*harness.Node, links)
	for i := range leaves {
		leaves[i] = harness.New(t, programs, dir, fmt.Sprintf("leaf%d", i), fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", port)+work)
		leaves[i].Exec()
	}
	added := harness.New(t, programs, dir, "added", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", newPort))
	added.Start()
	all := func(up, down int) func() bool {
		return func() bool {
			u, d := linkLines(t, hub)
			return u == up && d == down
		}
	}
	hub.Eventually("have all links", all(links, 0))
	hub.Eventually("be known by all", func() bool {
		for _, l := range leaves {
			if up, _ := linkLines(t, l); up != 1 {
				return false
			}
		}
		return true
	})
	hub.Reach(leaves[0])

	ids := make([]string, units)
	for i := range ids {
		args := []string{"work", "submit", "wait", "--no-payload"}
		if i%2 == 0 {
			args = append(args, "--node", "leaf0")
		}
		ids[i] = strings.TrimSpace(hub.Run(args...))
		ids[i] = ids[i][strings.LastIndexByte(ids[i], ' ')+1:]
	}
	output := func(id string) string {
		b, _ := os.ReadFile(filepath.Join(hub.DataDir(), id, "stdout"))
		return string(b)
	}
	before := make(map[string]string)
	hub.Eventually("run all units", func() bool {
		for _, id := range ids {
			r, ok := hub.Unit(id)
			if before[id] = output(id); !ok || r.StateName != "Running" || !strings.HasSuffix(before[id], "\n") {
				return false
			}
		}
		return true
	})
	at, err := os.Stat(hub.LogFile())
	if err != nil {
		t.Fatal(err)
	}

	hub.Reload(config + fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", newPort))
	hub.Reach(added)
	hub.Reload(hub.Config) // nothing new
	// A ping by each link: one that had dropped would be back, and counted.
	for _, l := range leaves {
		if !hub.Pings(l.ID) {
			t.Errorf("%s is not reached any more", l.ID)
		}
	}
	if up, down := linkLines(t, hub); up != links+1 || down != 0 {
		t.Errorf("at the hub %d links came up and %d ended, want %d and none", up, down, links+1)
	}
	text := scrape(t, metrics)
	for _, want := range []string{fmt.Sprintf("receptor_links %d", links+1), fmt.Sprintf("receptor_links_established_total %d", links+1), "receptor_links_ended_total 0"} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the hub does not count %s:\n%s", want, text)
		}
	}
	for _, l := range leaves {
		if up, down := linkLines(t, l); up != 1 || down != 0 {
			t.Errorf("at %s %d links came up and %d ended, want one and none", l.ID, up, down)
		}
	}
	for _, id := range ids {
		if r, ok := hub.Unit(id); !ok || r.StateName != "Running" {
			t.Errorf("unit %s is %s", id, r.StateName)
		}
		if got := output(id); got != before[id] {
			t.Errorf("unit %s wrote %q since", id, strings.TrimPrefix(got, before[id]))
		}
	}
	log, err := os.ReadFile(hub.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log[at.Size():])) {
		if strings.HasPrefix(line, "WARNING") || strings.HasPrefix(line, "ERROR") || strings.Contains(line, "unit") {
			t.Errorf("the hub says: %s", line)
		}
	}
}
