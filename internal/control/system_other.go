//go:build !linux && !darwin

package control

import "runtime"

// system is what status says of the machine; its memory is not known here.
type system struct {
	cpus      int
	memoryMiB uint64
}

func readSystem() system { return system{cpus: runtime.NumCPU()} }
