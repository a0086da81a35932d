//go:build unix && !linux

package supervise

import (
	"errors"
	"os"
	"syscall"
	"time"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func interruptGroup(pid int) error { return signalGroup(pid, syscall.SIGINT) }

func killGroup(pid int) error { return signalGroup(pid, syscall.SIGKILL) }

func signalGroup(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(-pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func exitOfState(s *os.ProcessState, now time.Time) Exit {
	if w, ok := s.Sys().(syscall.WaitStatus); ok {
		return exitOf(w, now)
	}
	return unknownExit(detailUnseen, now)
}
