//go:build unix

package work

import (
	"io"
	"os"
	"syscall"
	"time"
)

// lockDir takes a directory of units for this process, as long as the Closer is open.
func lockDir(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}

// lockFile takes the lock that the original takes around every access to a
// status file, where the original has made one: nobody else writes to our own.
// It waits at most patience, and then goes without.
func lockFile(path string, patience time.Duration) (unlock func()) {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0o600) // a FIFO in its place is not waited for
	if err != nil {
		return func() {}
	}
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK || time.Since(start) > patience {
			return func() { f.Close() }
		}
	}
}
