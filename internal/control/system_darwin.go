package control

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// system is what status says of the machine.
type system struct {
	cpus      int
	memoryMiB uint64
}

func readSystem() system {
	bytes, _ := unix.SysctlUint64("hw.memsize")
	return system{cpus: runtime.NumCPU(), memoryMiB: bytes >> 20}
}
