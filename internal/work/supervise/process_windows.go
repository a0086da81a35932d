package supervise

import (
	"syscall"
	"time"
)

const (
	processQueryLimitedInformation = 0x1000
	stillActive                    = 259
)

// identify gives the identity of the process that has the number now. StartTime is in units of 100 ns since 1601.
func identify(pid int) (Process, error) {
	h, err := syscall.OpenProcess(processQueryLimitedInformation, false, uint32(pid))
	if err != nil {
		return Process{}, err
	}
	defer syscall.CloseHandle(h)
	var code uint32
	if err := syscall.GetExitCodeProcess(h, &code); err != nil {
		return Process{}, err
	}
	if code != stillActive {
		return Process{}, syscall.ESRCH
	}
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return Process{}, err
	}
	return Process{PID: pid, StartTime: uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime)}, nil
}

// Alive tells whether the very process that p identifies still runs: its number and its start are the same.
func (p Process) Alive() bool {
	now, err := identify(p.PID)
	return err == nil && p.PID > 1 && now == p
}

// began is when the process was started; one that is not known has begun now.
func (p Process) began() time.Time {
	if p.StartTime == 0 {
		return time.Now()
	}
	t := syscall.Filetime{HighDateTime: uint32(p.StartTime >> 32), LowDateTime: uint32(p.StartTime)}
	return time.Unix(0, t.Nanoseconds())
}
