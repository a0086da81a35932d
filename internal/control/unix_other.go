//go:build !unix

package control

import (
	"errors"
	"net"
	"os"
)

// ListenUnix is for systems that have Unix sockets with owners and modes.
func ListenUnix(filename string, _ os.FileMode) (net.Listener, error) {
	return nil, errors.New("control-service: filename is not supported on this system, use tcplisten")
}
