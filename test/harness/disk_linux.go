package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a small file system that a test fills.
type Disk struct {
	t      *testing.T
	filler string
}

// SmallDisk gives a node that was not started yet a data directory on a file
// system of so many bytes. It is unmounted with the test, which is skipped where
// mounting is not allowed.
func (n *Node) SmallDisk(size int64) *Disk {
	n.t.Helper()
	dir := filepath.Join(n.Dir, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size))
	if errors.Is(err, os.ErrPermission) {
		n.t.Skip("filling a disk needs the right to mount one: run as root")
	}
	if err != nil {
		n.t.Fatalf("mount a small file system: %v", err)
	}
	n.t.Cleanup(func() {
		n.end() // nothing may use it any more
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			n.t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return &Disk{t: n.t, filler: filepath.Join(dir, "filler")}
}

// Fill leaves no space, apart from left bytes (rounded down to whole pages).
func (d *Disk) Fill(left int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, os.Getpagesize()); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatalf("fill the disk: %v", err)
	}
	info, err := f.Stat()
	if err == nil && left > 0 {
		err = f.Truncate(max(0, info.Size()-left))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// Free makes space again.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
}
