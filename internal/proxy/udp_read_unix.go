//go:build unix

package proxy

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// readDatagram waits for a datagram and hands it to f; it may be used until f
// returns. A socket that waits needs no buffer.
func readDatagram(c *net.UDPConn, f func(datagram []byte)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var buf *[maxDatagram + 1]byte
	var n int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf = datagrams.Get().(*[maxDatagram + 1]byte)
		for {
			n, failed = unix.Read(int(fd), buf[:])
			if failed != unix.EINTR {
				break
			}
		}
		if failed == unix.EAGAIN {
			datagrams.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	if buf != nil {
		defer datagrams.Put(buf)
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	f(buf[:n])
	return nil
}

// refused tells whether an error of a connected UDP socket is only news about
// an earlier datagram, which nobody took.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
