package supervise

import (
	"os"
	"strconv"
	"time"

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

// exact tells whether the system signals the group through its descriptor, whatever has become of the number.
func (g group) exact() bool {
	if g.fd < 0 {
		return false
	}
	err := unix.PidfdSendSignal(g.fd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	return err == nil || err == unix.ESRCH || err == unix.EPERM
}

// kill kills the group, which had its number seen milliseconds after the boot. unix.ESRCH means that nobody is left of it, as far as can be proved.
func (g group) kill(seen int64) error {
	if g.fd >= 0 {
		err := unix.PidfdSendSignal(g.fd, unix.SIGKILL, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
		if err == nil || err == unix.ESRCH {
			return err
		}
	}
	if !g.lives(seen) {
		return unix.ESRCH
	}
	return unix.Kill(-g.leader.PID, unix.SIGKILL)
}

// lives tells whether the group that has the number of the leader is certainly its own: a member of group and session that runs began
// when the number was still the leader's, or its group's. Whoever else got that number got it, and its members, later.
func (g group) lives(seen int64) bool {
	if g.leader.Boot != bootID() || unix.Kill(-g.leader.PID, 0) == unix.ESRCH {
		return false
	}
	if g.leader.Alive() {
		return true
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return false
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if err != nil || s.group != g.leader.PID || s.session != g.leader.PID || s.ended() {
			continue
		}
		// Numbers go round through all others first, so the same tick of the clock is not too late.
		if began := time.Duration(s.start) * (time.Second / ticksPerSecond); s.start >= g.leader.StartTime && began.Milliseconds() <= seen {
			return true
		}
	}
	return false
}

func (g *group) close() {
	if g.fd >= 0 {
		unix.Close(g.fd)
		g.fd = -1
	}
}
