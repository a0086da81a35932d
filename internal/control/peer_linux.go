package control

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/receptor-go/receptor/internal/access"
)

// maxGroups is how many groups a process can have.
const maxGroups = 65536

// peerUser is the process that has connected to a Unix socket, as the kernel has
// noted it then; nil for other connections.
func peerUser(conn net.Conn) *access.User {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var u *access.User
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || cred.Uid == ^uint32(0) { // nobody knows
			return
		}
		u = &access.User{UID: cred.Uid, GIDs: append([]uint32{cred.Gid}, peerGroups(int(fd))...), PID: int(cred.Pid)}
	})
	return u
}

// peerGroups are the further groups of that process; none if the kernel does not tell.
func peerGroups(fd int) []uint32 {
	for size := 64; size <= maxGroups; size *= 4 {
		groups := make([]uint32, size)
		length := uint32(size * 4)
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&length)), 0)
		switch e {
		case 0:
			return groups[:length/4]
		case unix.ERANGE:
			continue
		}
		return nil
	}
	return nil
}

// KnowsUsers tells whether the user at the other end of a Unix socket is known on
// this system.
const KnowsUsers = true
