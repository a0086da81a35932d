package work

import (
	"os"

	"golang.org/x/sys/unix"
)

// exchange swaps two files, so that no reader finds none. Where the file system
// cannot do that, or path is not there, beside is renamed to it.
func exchange(beside, path string) error {
	if unix.Renameat2(unix.AT_FDCWD, beside, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE) == nil {
		return nil
	}
	return os.Rename(beside, path)
}
