//go:build unix

package pki

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives f the owner and group of what it replaces, and tells whether it has them.
func keepOwner(f *os.File, info fs.FileInfo) bool {
	old, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	now, err := f.Stat()
	if err != nil {
		return false
	}
	if s, ok := now.Sys().(*syscall.Stat_t); ok && s.Uid == old.Uid && s.Gid == old.Gid {
		return true
	}
	return f.Chown(int(old.Uid), int(old.Gid)) == nil
}
