package mesh

import (
	"crypto/tls"
	"slices"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Policy decides about a data packet that arrives, passes or starts here (the
// firewall, spec mesh-protocol 11). It must be a pure function: the node keeps
// decisions per (nodes, services) until SetPolicy.
type Policy func(from, to wire.NodeID, fromService, toService wire.Service) Verdict

// Verdict is what happens to a packet.
type Verdict byte

// The verdicts.
const (
	Accept Verdict = iota // goes on
	Reject                // is dropped, and its source told so
	Drop                  // is dropped silently
)

// LinkPolicy says who may connect over a listener or dialer and at what cost.
type LinkPolicy struct {
	// Cost of the link; it has to be the same at both ends. 0 means 1.
	Cost float64
	// NodeCost replaces Cost for these peers.
	NodeCost map[wire.NodeID]float64
	// AllowedPeers: nil allows everyone, empty nobody.
	AllowedPeers []wire.NodeID
	// Verify, if not nil, judges who a peer says it is by the TLS session of the
	// link. Its error is told to the peer. It is a pure function. A link without
	// TLS is refused.
	Verify func(tls.ConnectionState, wire.NodeID) error
}

// certificateError is a refusal by Verify.
type certificateError struct{ err error }

func (e *certificateError) Error() string { return e.err.Error() }
func (e *certificateError) Unwrap() error { return e.err }

// verify checks who the peer of a link says it is.
func (l LinkPolicy) verify(k link.Link, peer wire.NodeID) error {
	if l.Verify == nil {
		return nil
	}
	s, ok := k.(link.Secured)
	if !ok {
		return errNoTLS
	}
	state, ok := s.TLS()
	if !ok {
		return errNoTLS
	}
	if err := l.Verify(state, peer); err != nil {
		return &certificateError{err}
	}
	return nil
}

// admit checks the first message of a link, in the order of spec
// mesh-protocol 5, 2, and tells the link's cost.
func (l LinkPolicy) admit(self, peer wire.NodeID) (cost float64, err error) {
	if peer == self {
		return 0, errOwnID
	}
	if l.AllowedPeers != nil && !slices.Contains(l.AllowedPeers, peer) {
		return 0, errNotAllowed
	}
	if c, ok := l.NodeCost[peer]; ok {
		return c, nil
	}
	if l.Cost == 0 {
		return 1, nil
	}
	return l.Cost, nil
}
