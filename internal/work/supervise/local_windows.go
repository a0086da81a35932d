package supervise

import (
	"os"
	"syscall"
	"time"
)

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}

// interruptGroup ends the process at once: a service has no console through which another process could be interrupted.
func interruptGroup(pid int) error { return killGroup(pid) }

func killGroup(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil // it has ended
	}
	defer p.Release()
	return p.Kill()
}

func exitOfState(s *os.ProcessState, now time.Time) Exit {
	if s == nil {
		return unknownExit(detailUnseen, now)
	}
	return Exit{Code: s.ExitCode(), Detail: s.String(), Started: true, Known: true, Ended: now}
}
