//go:build !linux && !darwin

package control

import (
	"net"

	"github.com/receptor-go/receptor/internal/access"
)

// peerUser is not known on this system.
func peerUser(net.Conn) *access.User { return nil }

// KnowsUsers tells whether the user at the other end of a Unix socket is known on
// this system.
const KnowsUsers = false
