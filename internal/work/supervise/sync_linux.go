package supervise

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// syncStart puts the line claimed on the disk, the journal and the entry that leads to it: after a power cut nobody takes
// the command for one that was never started. The starts that are under way at a time share what the file system lets them share.
func syncStart(dir string, j journal) error {
	if err := unix.Fdatasync(int(j.f.Fd())); err != nil {
		return &fs.PathError{Op: "sync", Path: j.f.Name(), Err: err}
	}
	fd, err := openRetry(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		if err = unix.Fsync(fd); err == unix.EINVAL {
			err = nil // there are file systems that sync no directories
		}
		unix.Close(fd)
	}
	if err != nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: err}
	}
	return nil
}
