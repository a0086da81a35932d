package mesh

import (
	"errors"
	"fmt"
	"net"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Why a packet did not get through. The texts are those that the control
// protocol reports (spec control-protocol 3); compare with errors.Is.
var (
	// ErrNoRoute: the node is not known or not reachable.
	ErrNoRoute = errors.New("no route to node")
	// ErrNoConnection: there is a route, but the link to its next hop is gone.
	ErrNoConnection = errors.New("no connection to next hop")
	// ErrExpired: the hop budget ended on the way.
	ErrExpired = errors.New(wire.ProblemExpired)
	// ErrBlocked: a firewall rule on the way rejected the packet.
	ErrBlocked = errors.New(wire.ProblemBlocked)
	// ErrServiceUnknown: nobody listens on the service.
	ErrServiceUnknown = errors.New(wire.ProblemServiceUnknown)
	// ErrTimeout: no answer in time.
	ErrTimeout error = timeoutError{}
	// ErrClosed: the node, socket, listener or stream was closed on this side.
	ErrClosed = net.ErrClosed
)

// timeoutError is the type of ErrTimeout; it is a net.Error.
type timeoutError struct{}

func (timeoutError) Error() string   { return "timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// Why a link could not be used. The texts are those of spec configuration 10.
var (
	errOwnID          = errors.New("it tried to connect using our own node ID")
	errNotAllowed     = errors.New("it is not in the allowed peers list")
	errConnected      = errors.New("it connected using a node ID we are already connected to")
	errNoTLS          = errors.New("its link does not speak TLS")
	errRejectedByPeer = errors.New("remote node rejected the connection")
	errSilent         = errors.New("connection initialization failed")
	errIdle           = errors.New("idle for too long")
	errStuck          = errors.New("no frame could be sent for too long")
	errReplaced       = errors.New("replaced by a newer link to the same node")
	errNodeEnded      = fmt.Errorf("mesh node has ended: %w", net.ErrClosed)
	errCrowded        = errors.New("too many links that have not said who they are")
)

// problemError is the error that a notice of the given problem stands for.
func problemError(problem string) error {
	switch problem {
	case wire.ProblemServiceUnknown:
		return ErrServiceUnknown
	case wire.ProblemExpired:
		return ErrExpired
	case wire.ProblemBlocked:
		return ErrBlocked
	}
	return errors.New(problem)
}

// errChanged is the cause for rejecting a peer that changes its ID.
func errChanged(from, to wire.NodeID) error {
	return fmt.Errorf("remote node ID changed unexpectedly from %s to %s", from, to)
}
