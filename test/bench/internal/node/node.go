//go:build linux

// Package node configures, starts and stops one receptor daemon, treating it
// as a black box: a binary, a YAML file and a control socket.
package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/proc"
)

// Work is a command that a node offers as a work type.
type Work struct{ Type, Command, Params string }

// Inlet accepts TCP connections and forwards them to a service on the mesh.
type Inlet struct {
	Port          int
	Node, Service string
}

// Outlet forwards connections to a mesh service to a TCP address.
type Outlet struct{ Service, Address string }

// Spec is everything a node's configuration file says.
type Spec struct {
	ID        string
	TCPListen int // port, zero for none
	UDPListen int
	TCPPeers  []string
	UDPPeers  []string
	Works     []Work
	Inlets    []Inlet
	Outlets   []Outlet
}

// Node is a daemon with its own directory.
type Node struct {
	Spec
	Dir    string
	Socket string

	bin   string
	table *proc.Table
	proc  *proc.Process
	began time.Time
}

// New prepares a node below dir; nothing is started yet.
func New(table *proc.Table, bin, dir string, spec Spec) *Node {
	return &Node{
		Spec:   spec,
		Dir:    filepath.Join(dir, spec.ID),
		Socket: filepath.Join(dir, spec.ID+".sock"),
		bin:    bin,
		table:  table,
	}
}

// DataDir holds the directories of the node's work units.
func (n *Node) DataDir() string { return filepath.Join(n.Dir, n.ID) }

// Config renders the configuration file.
func (n *Node) Config() string {
	var b strings.Builder
	section := func(name string, fields ...any) {
		fmt.Fprintf(&b, "- %s:\n", name)
		for i := 0; i < len(fields); i += 2 {
			switch v := fields[i+1].(type) {
			case string:
				if v != "" {
					fmt.Fprintf(&b, "    %s: %q\n", fields[i], v)
				}
			default:
				fmt.Fprintf(&b, "    %s: %v\n", fields[i], v)
			}
		}
	}
	section("node", "id", n.ID, "datadir", n.Dir)
	b.WriteString("- log-level: warning\n")
	if n.TCPListen != 0 {
		section("tcp-listener", "bindaddr", "127.0.0.1", "port", n.TCPListen)
	}
	if n.UDPListen != 0 {
		section("udp-listener", "bindaddr", "127.0.0.1", "port", n.UDPListen)
	}
	for _, address := range n.TCPPeers {
		section("tcp-peer", "address", address)
	}
	for _, address := range n.UDPPeers {
		section("udp-peer", "address", address)
	}
	for _, w := range n.Works {
		section("work-command", "worktype", w.Type, "command", w.Command, "params", w.Params)
	}
	for _, in := range n.Inlets {
		section("tcp-server", "bindaddr", "127.0.0.1", "port", in.Port,
			"remotenode", in.Node, "remoteservice", in.Service)
	}
	for _, out := range n.Outlets {
		section("tcp-client", "service", out.Service, "address", out.Address)
	}
	// Last, so that everything else is in place once the socket answers.
	section("control-service", "service", "control", "filename", n.Socket)
	return b.String()
}

// Start executes the daemon and returns at once.
func (n *Node) Start() error {
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return err
	}
	config := filepath.Join(n.Dir, "config.yml")
	if err := os.WriteFile(config, []byte(n.Config()), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(n.bin, "--config", config)
	cmd.Dir = n.Dir
	cmd.Stdout, cmd.Stderr = log, log
	n.began = time.Now()
	n.proc, err = n.table.Start(cmd)
	return err
}

// Ready waits until the control socket answers a status command and returns
// the time since the daemon was executed.
func (n *Node) Ready(ctx context.Context) (time.Duration, error) {
	for {
		if c, err := ctl.Dial(ctx, n.Socket); err == nil {
			_, err = c.Raw(`{"command":"status"}`)
			c.Close()
			if err == nil {
				return time.Since(n.began), nil
			}
		}
		if !n.Alive() {
			return 0, fmt.Errorf("node %s ended: %s", n.ID, n.LogTail())
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("node %s not ready: %w; log: %s", n.ID, ctx.Err(), n.LogTail())
		case <-time.After(500 * time.Microsecond):
		}
	}
}

// Began is the moment just before the daemon was executed.
func (n *Node) Began() time.Time { return n.began }

// Pid is the process id of the daemon.
func (n *Node) Pid() int { return n.proc.Pid }

// Alive reports whether the daemon runs.
func (n *Node) Alive() bool { return n.proc != nil && n.proc.Alive() }

// Kill ends the daemon, and only it, with SIGKILL.
func (n *Node) Kill() {
	if n.proc != nil {
		n.proc.Kill()
	}
}

// Memory reads the daemon's size figures.
func (n *Node) Memory() proc.Memory { return proc.ReadMemory(n.Pid()) }

// LogTail is the end of what the daemon printed.
func (n *Node) LogTail() string {
	data, _ := os.ReadFile(n.logFile())
	const keep = 600
	if len(data) > keep {
		data = data[len(data)-keep:]
	}
	return strings.TrimSpace(string(data))
}

// Panicked returns the first line of a crash report in the log, if any.
func (n *Node) Panicked() string {
	data, _ := os.ReadFile(n.logFile())
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// DropLog empties the log.
func (n *Node) DropLog() { _ = os.Truncate(n.logFile(), 0) }

func (n *Node) logFile() string { return filepath.Join(n.Dir, "log") }
