//go:build unix

package harness

import "syscall"

// freeze stops processes, so that none sees the end of another before its own: a shell
// writes about that.
func freeze(pids []int) {
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGSTOP)
	}
}
