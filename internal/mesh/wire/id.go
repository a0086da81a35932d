package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/minio/highwayhash"
)

// NodeID names a node of the mesh: a non-empty string, compared byte for byte
// (spec mesh-protocol 2). Values from the wire are taken as they are; values
// from configuration pass ParseNodeID.
type NodeID string

// ParseNodeID checks a node ID of our own configuration. It refuses what other
// parts of a mesh cannot cope with: the empty name, "localhost" in any case,
// more than MaxNodeID bytes, invalid UTF-8, blanks and control characters (the
// text form of the control protocol splits at them) and ':' (addresses are
// written node:service). Names from the wire must not be held to this.
func ParseNodeID(s string) (NodeID, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("node ID is empty")
	case len(s) > MaxNodeID:
		return "", fmt.Errorf("node ID %.20q... has %d bytes, at most %d are allowed", s, len(s), MaxNodeID)
	case strings.EqualFold(s, "localhost"):
		return "", fmt.Errorf("node ID %q is reserved: it means the local node; choose another", s)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("node ID %q is not valid UTF-8", s)
	}
	for _, r := range s {
		if r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return "", fmt.Errorf("node ID %q contains %q: colons, blanks and control characters are not allowed", s, r)
		}
	}
	return NodeID(s), nil
}

// Hash is the HighwayHash-64 of a node's name, the form in which data packets
// carry it.
type Hash uint64

// hashKey is the key of all name hashes: 32 zero bytes (spec mesh-protocol 2).
// It is never written to.
var hashKey = make([]byte, highwayhash.Size)

// Hash returns the name's hash. Written big-endian it is what stands in a data
// packet. It costs about 100 ns, so keep it where it is needed often.
func (n NodeID) Hash() Hash {
	return Hash(highwayhash.Sum64([]byte(n), hashKey))
}

// Service names a service of a node: 1 to MaxService bytes that do not end in
// NUL.
type Service string

// Reserved services, handled by the node itself (spec mesh-protocol 2).
const (
	Ping        Service = "ping"
	Unreachable Service = "unreach"
)

// ParseService checks the name of a service: 1 to MaxService bytes that do not
// end in NUL. Reserved names are valid names.
func ParseService(s string) (Service, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("service name is empty")
	case len(s) > MaxService:
		return "", fmt.Errorf("service name %.20q has %d bytes, at most %d are allowed", s, len(s), MaxService)
	case s[len(s)-1] == 0:
		return "", fmt.Errorf("service name %q ends in NUL", s)
	}
	return Service(s), nil
}

// ServiceName is a service as it stands in a data packet: padded with NUL. It
// can be a map key, so the data path needs no string.
type ServiceName [MaxService]byte

// Name returns the padded form. Bytes beyond MaxService are cut off; a Service
// that passed ParseService has none.
func (s Service) Name() ServiceName {
	var n ServiceName
	copy(n[:], s)
	return n
}

// Service returns the name without its trailing NULs. It is empty if there is
// nothing else.
func (s ServiceName) Service() Service {
	n := len(s)
	for n > 0 && s[n-1] == 0 {
		n--
	}
	return Service(s[:n])
}
