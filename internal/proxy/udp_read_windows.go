package proxy

import (
	"errors"
	"net"
	"syscall"
)

// readDatagram waits for a datagram and hands it to f; it may be used until f
// returns.
func readDatagram(c *net.UDPConn, f func(datagram []byte)) error {
	buf := datagrams.Get().(*[maxDatagram + 1]byte)
	defer datagrams.Put(buf)
	n, err := c.Read(buf[:])
	if err != nil {
		return err
	}
	f(buf[:n])
	return nil
}

// refused tells whether an error of a UDP socket is only news about an earlier
// datagram, which nobody took.
func refused(err error) bool { return errors.Is(err, syscall.WSAECONNRESET) }
