package work

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem syncs everything on the file system of dir.
func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}

func syncFile(f *os.File) error { return f.Sync() }
