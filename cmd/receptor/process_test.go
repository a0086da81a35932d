package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/receptor-go/receptor/test/harness"
)

// process is the program, run as a user runs it.
type process struct {
	t    *testing.T
	name string // for messages
	dir  string // where it works
	cmd  *exec.Cmd
	log  writes        // its output, both streams
	done chan struct{} // closed when it has ended
}

// startProcess runs the program in a directory; it is killed with the test.
func startProcess(t *testing.T, name, dir string, args ...string) *process {
	t.Helper()
	return startProcessWith(t, name, dir, nil, args...)
}

// startProcessWith is startProcess with variables of the environment.
func startProcessWith(t *testing.T, name, dir string, env map[string]string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, dir: dir, cmd: exec.Command("receptor", args...), done: make(chan struct{})}
	p.cmd.Env = os.Environ()
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }() // ends with the process
	t.Cleanup(p.kill)
	return p
}

// kill ends it at once, if it still runs, and waits.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// stop ends it in order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	p.exitCode()
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// exitCode waits for the end of the process.
func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended after %v\n%s", p.name, patience, p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) output() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return strings.Join(p.log.all, "")
}

// lines are those of the log so far, without the time; a line of another shape
// is as it is.
func (p *process) lines() []string {
	var out []string
	for line := range strings.Lines(p.output()) {
		line = strings.TrimSuffix(line, "\n")
		if m := logLine.FindStringSubmatch(line); m != nil {
			line = m[1] + " " + m[2]
		}
		out = append(out, line)
	}
	return out
}

// until waits for what a process does.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: no %s after %v\n%s", p.name, what, patience, p.output())
		}
	}
}

// shortDir is a directory with a path short enough for sockets, which allow
// about 100 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// unpack writes the files of an archive into a directory.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// freePort is a port of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(harness.FreePort(t))
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
