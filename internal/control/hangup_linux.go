package control

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// closedBothWays waits until a connection whose client has ended its sending
// direction is closed altogether. The poller wakes a reader for that, so this costs no
// polling. It returns false when a read deadline interrupts it, and where the
// connection is no socket.
func closedBothWays(conn net.Conn) bool {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	hangup := false
	_ = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}} // hang-up and error are always reported
		n, err := unix.Poll(p, 0)
		hangup = err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		return hangup
	})
	return hangup
}
