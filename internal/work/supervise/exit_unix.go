//go:build unix

package supervise

import (
	"strconv"
	"syscall"
	"time"
)

// exitOf puts a wait status into the words that Go's os.ProcessState has for it, which are those of the Detail of a unit.
func exitOf(s syscall.WaitStatus, now time.Time) Exit {
	e := Exit{Code: -1, Started: true, Known: true, Ended: now}
	switch {
	case s.Exited():
		e.Code = s.ExitStatus()
		e.Detail = "exit status " + strconv.Itoa(e.Code)
	case s.Signaled():
		e.Signal = s.Signal().String()
		e.Detail = "signal: " + e.Signal
		if s.CoreDump() {
			e.Detail += " (core dumped)"
		}
	}
	return e
}
