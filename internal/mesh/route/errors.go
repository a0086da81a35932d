package route

import (
	"errors"
	"fmt"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Reasons to reject a link (spec mesh-protocol 5). The texts are the stock ones
// and follow the word "because" in a log.
var (
	// ErrOwnName: the peer has our own node ID.
	ErrOwnName = errors.New("it tried to connect using our own node ID")
	// ErrUnlisted: the peer listed us before and no longer does.
	ErrUnlisted = errors.New("remote node no longer lists us as a connection")
)

// CostError is the reason to reject a link whose cost the two ends see
// differently. They do not negotiate: the configurations must agree.
type CostError struct {
	Ours, Theirs float64
}

// Error returns the stock text; the numbers are in the fields.
func (e *CostError) Error() string { return "we disagree about the connection cost" }

// ForwarderError is the reason to reject a link on which the peer's name
// changed.
type ForwarderError struct {
	From, To wire.NodeID
}

// Error returns the stock text.
func (e *ForwarderError) Error() string {
	return fmt.Sprintf("remote node ID changed unexpectedly from %s to %s", e.From, e.To)
}

// DuplicateError is a Result's Fatal: two processes use our node ID, and ours
// is the one to end.
type DuplicateError struct {
	Node  wire.NodeID
	Epoch uint64 // ours
}

// Error tells what happened and what to do.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("another node of the mesh has the node ID %s (our epoch is %d): give one of the two another ID", e.Node, e.Epoch)
}

// ErrNoLink is returned by Apply for a peer without an established link.
var ErrNoLink = errors.New("update from a node to which no link is established")
