//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// workTypes is a configuration whose type "gate" says its version, and waits until
// the file of that name is there.
func workTypes(t *testing.T, gate, version string, more ...string) string {
	t.Helper()
	script := gate + "." + version
	text := fmt.Sprintf("#!/bin/sh\necho %s\nwhile [ ! -e %s ]; do sleep 0.02; done\necho end\n", version, gate)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("- local-only\n- work-command: {worktype: gate, maxunits: 1, command: %q}\n%s", script, strings.Join(more, ""))
}

// TestReloadWorkTypes changes, removes and brings back a work type while a unit of
// it runs and others wait. What runs is not touched; what waits starts as the type
// says then.
func TestReloadWorkTypes(t *testing.T) {
	dir := harness.Dir(t)
	gate := filepath.Join(dir, "gate")
	n := harness.New(t, programs, dir, "solo", workTypes(t, gate, "one"))
	n.Start()
	submit := func(workType string) string {
		t.Helper()
		fields := strings.Fields(n.Run("work", "submit", workType, "--no-payload"))
		return fields[len(fields)-1]
	}
	status := func(id, state, detail string) {
		t.Helper()
		n.Eventually(id+" "+state+" "+detail, func() bool {
			r, ok := n.Unit(id)
			return ok && r.StateName == state && strings.Contains(r.Detail, detail)
		})
	}
	output := func(id string) string {
		b, _ := os.ReadFile(filepath.Join(n.DataDir(), id, "stdout"))
		return string(b)
	}
	first := submit("gate")
	n.Eventually("run", func() bool { return output(first) == "one\n" })
	second := submit("gate")
	status(second, "Pending", "this one is next")

	// Gone: what runs goes on, what waits waits, nothing new is taken.
	n.Reload("- local-only\n")
	status(first, "Running", "")
	status(second, "Pending", "is not configured")
	if r := n.Try("work", "submit", "gate", "--no-payload"); r.Code == 0 || !strings.Contains(r.Stderr, "unknown work type") {
		t.Errorf("a type that is gone: %+v", r)
	}
	if status := n.Run("status", "--json"); strings.Contains(status, `"gate"`) {
		t.Errorf("the type is offered still: %s", status)
	}

	// Refused, for another reason: the type is not back.
	n.Config = workTypes(t, gate, "bad", "- tcp-listener: {port: http}\n")
	n.ReloadRefused()
	status(second, "Pending", "is not configured")

	// Back, with another command, and room for two.
	n.Reload(strings.Replace(workTypes(t, gate, "two"), "maxunits: 1", "maxunits: 2", 1))
	n.Eventually("start what waited", func() bool { return output(second) == "two\n" })
	status(first, "Running", "")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{first: "one\nend\n", second: "two\nend\n"} {
		status(id, "Succeeded", "")
		if got := output(id); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}

	// A plugin comes by a reload, too, and status shows its type.
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	n.Reload(workTypes(t, gate, "two", "- work-python: {worktype: plug, plugin: nosuchplugin, function: f}\n"))
	if status := n.Run("status"); !strings.Contains(status, "gate, plug") {
		t.Errorf("the types: %s", status)
	}
	status(submit("plug"), "Failed", "Error loading worker: ValueError('Plugin nosuchplugin not found')")
}
