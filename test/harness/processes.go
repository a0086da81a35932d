package harness

import (
	"bytes"
	"fmt"
	"os"
)

// Supervisors and Commands divide the node's Helpers.

// Supervisors are the processes that own the node's commands: one, or none.
func (n *Node) Supervisors() []int {
	list, _ := n.helpers()
	return list
}

// Commands are the node's commands, with the processes that they started.
func (n *Node) Commands() []int {
	_, list := n.helpers()
	return list
}

func (n *Node) helpers() (supervisors, commands []int) {
	for _, pid := range n.Helpers() {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		switch {
		case len(args) == 0: // it has ended
		case bytes.HasPrefix(args, []byte(n.Bin+"\x00supervise\x00")):
			supervisors = append(supervisors, pid)
		default:
			commands = append(commands, pid)
		}
	}
	return supervisors, commands
}

// KillAll ends every process of the node with SIGKILL: the daemon, then the
// supervisor, then the commands, so that none sees the end of another. What the
// supervisor started while it was being killed is ended, too.
func (n *Node) KillAll() {
	n.t.Helper()
	n.Kill()
	n.Eventually("end the supervisor", func() bool {
		supervisors := n.Supervisors()
		KillNow(supervisors...)
		return len(supervisors) == 0
	})
	n.Eventually("end all processes", func() bool {
		all := n.Helpers()
		KillNow(all...)
		return len(all) == 0
	})
}

// KillNow sends SIGKILL to processes, so that none sees the end of another; it does not wait.
func KillNow(pids ...int) {
	freeze(pids)
	for _, pid := range pids {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // it may have ended
		}
	}
}
