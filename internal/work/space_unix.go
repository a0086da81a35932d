//go:build linux || darwin

package work

import (
	"errors"
	"os"
	"syscall"
)

// isFull tells that err comes from a disk, or a quota, that is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fullBelow is with how many free bytes a disk counts as full: a command that
// failed to write a block leaves less than that.
const fullBelow = 64 << 10

// diskFull tells that the disk that holds dir has no room for commands of this
// daemon's user.
func diskFull(dir string) bool {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil || st.Blocks == 0 {
		return false
	}
	free := st.Bavail
	if os.Geteuid() == 0 {
		free = st.Bfree // what is kept for the superuser
	}
	return uint64(free)*uint64(st.Bsize) < fullBelow
}
