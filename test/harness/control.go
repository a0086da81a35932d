package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Ask makes one request to the node's control service, in version 1 of the
// protocol, and returns the line of the answer. It costs much less than a call
// of the CLI, and is for waiting.
func (n *Node) Ask(request string) (string, error) {
	conn, err := net.Dial("unix", n.Socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(Patience))
	lines := bufio.NewReader(conn)
	if _, err := lines.ReadString('\n'); err != nil { // the greeting
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\n", request); err != nil {
		return "", err
	}
	line, err := lines.ReadString('\n')
	return strings.TrimSpace(line), err
}

// Unit is a unit as the node shows it; false if it shows none of that id, or
// does not answer.
func (n *Node) Unit(id string) (Record, bool) {
	var r Record
	answer, err := n.Ask("work status " + id)
	return r, err == nil && json.Unmarshal([]byte(answer), &r) == nil
}

// Units are all units that the node shows; nil if it does not answer.
func (n *Node) Units() map[string]Record {
	var units map[string]Record
	if answer, err := n.Ask("work list"); err == nil {
		json.Unmarshal([]byte(answer), &units)
	}
	return units
}

// Pings tells whether the node reaches another one now.
func (n *Node) Pings(node string) bool {
	answer, err := n.Ask("ping " + node)
	return err == nil && strings.Contains(answer, `"Success":true`)
}

// Call is a call of the CLI under way.
type Call struct {
	Stdin io.WriteCloser

	t    *testing.T
	name string
	out  strings.Builder
	errs strings.Builder
	proc *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Begin calls the CLI and returns at once. Its standard input is open until the
// test closes it.
func (n *Node) Begin(args ...string) *Call {
	n.t.Helper()
	c := &Call{t: n.t, name: strings.Join(args, " "), done: make(chan struct{})}
	c.proc = exec.Command(n.Ctl, append([]string{"--socket", n.Socket}, args...)...)
	// Not in n.Dir, by which the node's own processes are found.
	c.proc.Dir, c.proc.Stdout, c.proc.Stderr = filepath.Dir(n.Dir), &c.out, &c.errs
	var err error
	if c.Stdin, err = c.proc.StdinPipe(); err == nil {
		err = c.proc.Start()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	go func() { c.proc.Wait(); close(c.done) }() // ends with the process
	n.t.Cleanup(func() { c.proc.Process.Kill(); <-c.done })
	return c
}

// Ended is closed when the call has ended.
func (c *Call) Ended() <-chan struct{} { return c.done }

// Wait waits for the call's end.
func (c *Call) Wait() Result {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(2 * Patience):
		c.t.Fatalf("receptorctl %s does not end", c.name)
	}
	return Result{Stdout: c.out.String(), Stderr: c.errs.String(), Code: c.proc.ProcessState.ExitCode()}
}
