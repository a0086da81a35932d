package supervise

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const zombie = 5 // SZOMB of <sys/proc.h>

// identify gives the identity of the process that has the number now. StartTime is in microseconds since 1970.
func identify(pid int) (Process, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return Process{}, err
	}
	if int(k.Proc.P_pid) != pid || k.Proc.P_stat == zombie {
		return Process{}, syscall.ESRCH
	}
	t := k.Proc.P_starttime
	return Process{PID: pid, StartTime: uint64(t.Sec)*1e6 + uint64(t.Usec)}, nil
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
	return time.UnixMicro(int64(p.StartTime))
}
