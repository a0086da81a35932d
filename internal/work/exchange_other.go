//go:build !linux

package work

import "os"

// exchange renames beside to path.
func exchange(beside, path string) error { return os.Rename(beside, path) }
