package supervise

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waitid asks for children that have ended, blocking unless options say otherwise. pid is 0 if options say not to block and there is none.
func waitid(idType, id, options int) (pid int, status syscall.WaitStatus, err error) {
	for {
		var info unix.Siginfo
		err = unix.Waitid(idType, id, &info, options|unix.WEXITED, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		pid, status = childInfo(&info)
		return pid, status, nil
	}
}

// childInfo takes the part of a siginfo apart that tells about a child. It follows three int32 and the alignment of a pointer.
func childInfo(info *unix.Siginfo) (pid int, status syscall.WaitStatus) {
	const (
		word      = unsafe.Sizeof(uintptr(0))
		pidAt     = (12 + word - 1) / word * word
		statusAt  = pidAt + 8 // pid, uid, status
		cldExited = 1
		cldDumped = 3
		coreFlag  = 0x80
	)
	b := (*[unsafe.Sizeof(*info)]byte)(unsafe.Pointer(info))
	pid = int(int32(binary.NativeEndian.Uint32(b[pidAt:])))
	s := binary.NativeEndian.Uint32(b[statusAt:])
	switch info.Code {
	case cldExited:
		s = (s & 0xff) << 8
	case cldDumped:
		s |= coreFlag
	}
	return pid, syscall.WaitStatus(s)
}
