//go:build unix

package work

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

const plugin = `
import os, sys, time

def export(kind):
    def mark(f):
        f.receptor_export = True
        f.payload_type = kind
        return f
    return mark

@export("bytes")
def doit(payload, config, queue):
    print("on the side")
    queue.put({"got": payload.decode(), "config": config})
    queue.put("second")

@export("file")
def boom(payload, config, queue):
    with open(payload) as f:
        queue.put(f.read())
    raise RuntimeError("kaput")

@export("buffer")
def slow(payload, config, queue):
    for line in payload:
        queue.put(line.decode())
    while not os.path.exists(config["until"]):
        time.sleep(0.01)
    queue.put("over")

@export("file")
def size(payload, config, queue):
    queue.put(os.path.getsize(payload))

@export("bytes")
def odd(payload, config, queue):
    queue.put(b"no JSON")
    queue.put("after")

@export("bytes")
def leave(payload, config, queue):
    sys.exit()

@export("bytes")
def many(payload, config, queue):
    for i in range(20000):
        queue.put(i)
    raise ValueError("x" * 100000 + "\n\x01")

@export("carrier pigeon")
def pigeon(payload, config, queue):
    pass

def hidden(payload, config, queue):
    pass
`

// newPythonNode starts a node whose work types are functions of a plugin: as a
// module, and one, "entry", as an entry point.
func newPythonNode(t *testing.T) (n *node, until string) {
	t.Helper()
	if _, err := exec.LookPath(interpreter); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	until = filepath.Join(dir, "until")
	for name, text := range map[string]string{
		"our_plugin.py":                           plugin,
		"our_plugin-1.dist-info/METADATA":         "Metadata-Version: 2.1\nName: our-plugin\nVersion: 1\n",
		"our_plugin-1.dist-info/entry_points.txt": "[receptor.worker]\nentry = our_plugin\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PYTHONPATH", dir)
	n = newRealNode(t, "solo")
	n.stop()
	for _, f := range []string{"doit", "boom", "slow", "size", "odd", "leave", "many", "pigeon", "hidden", "nofunc"} {
		n.c.Types = append(n.c.Types, Command{
			WorkType: f, SeparateStderr: true,
			Python: &Python{Plugin: "our_plugin", Function: f, Config: map[string]any{"until": until}},
		})
	}
	n.c.Types = append(n.c.Types,
		Command{WorkType: "entry", Python: &Python{Plugin: "entry", Function: "doit"}, SeparateStderr: true},
		Command{WorkType: "noplug", Python: &Python{Plugin: "noplug", Function: "x"}, SeparateStderr: true},
		Command{WorkType: "short", MaxRuntime: 300 * time.Millisecond, Python: &Python{Plugin: "our_plugin", Function: "slow", Config: map[string]any{"until": until}}},
	)
	n.start()
	return n, until
}

// The ends are those of the program that ansible/receptor has for it (vectors
// work/python.txt), but for the state that follows from the exit code.
func TestPython(t *testing.T) {
	n, _ := newPythonNode(t)
	until := n.c.Types[len(n.c.Types)-1].Python.Config["until"].(string)
	for _, c := range []struct {
		workType, out, detail string
		state                 controlproto.State
	}{
		{"doit", `{"got": "hello", "config": {"params": "", "until": "` + until + `"}}` + "\n\"second\"\n", "Complete", controlproto.Succeeded},
		{"entry", `{"got": "hello", "config": {"params": ""}}` + "\n\"second\"\n", "Complete", controlproto.Succeeded},
		{"boom", "\"hello\"\n", "Error running worker: RuntimeError('kaput')", controlproto.Failed},
		{"size", "5\n", "Complete", controlproto.Succeeded},
		{"odd", "", "Error running worker: TypeError('Object of type bytes is not JSON serializable')", controlproto.Failed},
		{"leave", "", "Complete", controlproto.Succeeded},
		{"hidden", "", "Error loading worker: ValueError('Not allowed to call non-exported hidden in our_plugin')", controlproto.Failed},
		{"nofunc", "", "Error loading worker: ValueError('Function nofunc does not exist in our_plugin')", controlproto.Failed},
		{"pigeon", "", "Error loading worker: ValueError('Unknown payload type carrier pigeon of pigeon in our_plugin')", controlproto.Failed},
		{"noplug", "", "Error loading worker: ValueError('Plugin noplug not found')", controlproto.Failed},
	} {
		id := n.mustSubmit(c.workType, "", "hello")
		out, last := n.results(id, 0)
		if out != c.out || last.State != c.state || last.Detail != c.detail {
			t.Errorf("%s: %q %v %q, want %q %v %q", c.workType, out, last.State, last.Detail, c.out, c.state, c.detail)
		}
		errs := n.file(id, fileStderr)
		if c.state == controlproto.Failed && !strings.Contains(errs, "Traceback") || c.workType == "doit" && errs != "on the side\n" {
			t.Errorf("%s: error output %q", c.workType, errs)
		}
	}
	id := n.mustSubmit("many", "", "")
	out, last := n.results(id, 0)
	if lines := strings.Count(out, "\n"); lines != 20000 || last.State != controlproto.Failed || len(last.Detail) > maxOutcome || strings.ContainsAny(last.Detail, "\n\x01") {
		t.Errorf("%d lines, %v %.200q", lines, last.State, last.Detail)
	}
}

// A plugin goes on while the daemon is down, and its end is seen.
func TestPythonSurvivesRestarts(t *testing.T) {
	n, until := newPythonNode(t)
	id := n.mustSubmit("slow", "", "one\ntwo\n")
	n.awaitOutput(id, "\"one\\n\"\n\"two\\n\"\n")
	n.stop()
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	if out, last := n.results(id, 0); out != "\"one\\n\"\n\"two\\n\"\n\"over\"\n" || last.Detail != outcomeComplete || last.WorkType != "slow" {
		t.Errorf("%q %+v", out, last)
	}
}

// Cancel, a signal and a limit end a plugin as they do a command.
func TestPythonIsStopped(t *testing.T) {
	n, _ := newPythonNode(t)
	id := n.mustSubmit("slow", "", "x")
	n.awaitThat(id, "at work", func(u controlproto.UnitStatus) bool { return u.StdoutSize > 0 })
	if _, err := n.m.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
	n.await(id, controlproto.StateCanceled)
	if u := n.await(n.mustSubmit("short", "", "x"), controlproto.Failed); !strings.Contains(u.Detail, "maxruntime") {
		t.Errorf("%+v", u)
	}
}

// A plugin reads a payload that still comes.
func TestPythonStream(t *testing.T) {
	n, until := newPythonNode(t)
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for workType, want := range map[string]string{"slow": "\"one\\n\"\n\"two\\n\"\n\"over\"\n", "size": "8\n"} {
		sub := n.stream(workType, "")
		write(t, sub, "one\n")
		if workType == "slow" {
			n.awaitOutput(sub.ID(), "\"one\\n\"\n")
		}
		write(t, sub, "two\n")
		n.finish(sub)
		if out, last := n.results(sub.ID(), 0); out != want || last.State != controlproto.Succeeded {
			t.Errorf("%s: %q %+v", workType, out, last)
		}
	}
}

// Where there is no Python the unit says so.
func TestPythonIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	n := newRealNode(t, "solo")
	if err := n.m.SetTypes([]Command{{WorkType: "p", Python: &Python{Plugin: "p", Function: "f"}}}); err != nil {
		t.Fatal(err)
	}
	const want = `Error starting Python worker: exec: "python3": executable file not found in $PATH (work-python needs python3 in the PATH of the daemon)`
	if u := n.await(n.mustSubmit("p", "", ""), controlproto.Failed); u.Detail != want {
		t.Errorf("%q", u.Detail)
	}
	if _, _, err := n.submit(controlproto.Submit{WorkType: "p", Params: map[string]string{"params": "x"}}, ""); controlproto.CodeOf(err) != controlproto.Denied {
		t.Errorf("params for a plugin: %v", err)
	}
}
