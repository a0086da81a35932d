//go:build !linux && !darwin

package work

import (
	"errors"
	"syscall"
)

// isFull tells that err comes from a disk that is full: ERROR_DISK_FULL or
// ERROR_HANDLE_DISK_FULL of Windows.
func isFull(err error) bool {
	return errors.Is(err, syscall.Errno(112)) || errors.Is(err, syscall.Errno(39))
}

// diskFull tells that the disk that holds dir is full; here that is not asked.
func diskFull(string) bool { return false }
