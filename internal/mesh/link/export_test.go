package link

// Handshake makes the TLS handshake of an accepted link, as its first read
// or write would.
func Handshake(l Link) error { return l.(*tcpLink).handshake() }

// TestKeys is testKeys for the tests outside the package.
var TestKeys = testKeys

// WSPending is wsPending.
const WSPending = wsPending
