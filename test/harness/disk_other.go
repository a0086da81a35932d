//go:build !linux

package harness

// Disk is a small file system that a test fills.
type Disk struct{}

// SmallDisk skips the test: this system has no file systems in memory.
func (n *Node) SmallDisk(int64) *Disk {
	n.t.Skip("filling a disk needs tmpfs of Linux")
	return nil
}

// Fill does nothing.
func (d *Disk) Fill(int64) {}

// Free does nothing.
func (d *Disk) Free() {}
