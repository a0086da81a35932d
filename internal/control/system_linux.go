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
	s := system{cpus: runtime.NumCPU()}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		s.memoryMiB = uint64(info.Totalram) * uint64(info.Unit) >> 20
	}
	return s
}
