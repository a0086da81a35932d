package supervise

import (
	"golang.org/x/sys/unix"
)

// group is the process group that a command leads. It holds on to the group by a pidfd where the kernel allows to signal groups
// through one (6.9), so that neither the number of the leader nor that of the group can have come to mean another.
type group struct {
	leader Process
	fd     int // pidfd of the leader, or -1
}

// openGroup is to be called while the leader cannot have been waited for, or by a caller that checks the identity afterwards.
func openGroup(leader Process) group {
	fd, err := unix.PidfdOpen(leader.PID, 0)
	if err != nil {
		fd = -1
	}
	return group{leader: leader, fd: fd}
}

// signal sends sig to every process of the group; 0 only asks whether there is any. pinned says that the leader is a child of ours that has
// not been waited for, so that the number is certainly its own. unix.ESRCH means that nobody is left, or that the number has passed to another.
func (g group) signal(sig unix.Signal, pinned bool) error {
	if g.fd >= 0 {
		err := unix.PidfdSendSignal(g.fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
		if err == nil || err == unix.ESRCH {
			return err
		}
	}
	if !pinned {
		// As long as the group has members its number is not given to a new process. So if a process has it, it is the leader, or the group has ended.
		if p, err := identify(g.leader.PID); err == nil && p != g.leader {
			return unix.ESRCH
		}
	}
	return unix.Kill(-g.leader.PID, sig)
}

func (g *group) close() {
	if g.fd >= 0 {
		unix.Close(g.fd)
		g.fd = -1
	}
}
