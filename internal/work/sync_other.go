//go:build !linux

package work

import (
	"errors"
	"os"
	"runtime"
)

func syncFileSystem(string) error { return errors.ErrUnsupported }

// syncFile syncs a file; Windows knows no sync of a directory.
func syncFile(f *os.File) error {
	if runtime.GOOS == "windows" {
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil
		}
	}
	return f.Sync()
}
