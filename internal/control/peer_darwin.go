package control

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/receptor-go/receptor/internal/access"
)

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
		cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			return
		}
		n := min(max(int(cred.Ngroups), 0), len(cred.Groups))
		u = &access.User{UID: cred.Uid, GIDs: append([]uint32(nil), cred.Groups[:n]...)}
		if pid, err := unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID); err == nil {
			u.PID = pid
		}
	})
	return u
}

// KnowsUsers tells whether the user at the other end of a Unix socket is known on
// this system.
const KnowsUsers = true
