//go:build !unix

package unixsocket

import (
	"errors"
	"net"
	"os"
)

// Listen is for systems that have Unix sockets with owners and modes.
func Listen(filename string, _ os.FileMode) (net.Listener, error) {
	return nil, errors.New("Unix sockets are not supported on this system, use TCP")
}
