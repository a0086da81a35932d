//go:build !unix

package pki

import (
	"io/fs"
	"os"
)

// keepOwner has nothing to do where files have no owner of our sort.
func keepOwner(*os.File, fs.FileInfo) bool { return false }
