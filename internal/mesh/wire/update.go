package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Update is a routing update (spec mesh-protocol 6): what links its originator
// has, or suspicion that there are two nodes with its name.
//
// On the wire it is a JSON object with the fields in this order and with these
// names.
type Update struct {
	// NodeID is the node that the update is about, its originator. It may be
	// empty in an update from outside, which is then to be ignored.
	NodeID NodeID
	// UpdateID is fresh for each update and kept by forwarders: 8 random
	// characters of 0-9a-zA-Z.
	UpdateID string
	// UpdateEpoch is fixed for the life of the originator's process: Unix
	// seconds times 2^24, plus a random number below 2^24.
	UpdateEpoch uint64
	// UpdateSequence starts at 1 and grows with each update of the originator.
	UpdateSequence uint64
	// Connections is the complete list of the originator's links and their
	// costs. Costs from outside may be zero or negative, but are finite. A nil
	// map is written as null.
	Connections map[NodeID]float64
	// ForwardingNode is who sent this copy on this link.
	ForwardingNode NodeID
	// SuspectedDuplicate is 0, or the epoch of a node that uses NodeID too.
	SuspectedDuplicate uint64
}

// AppendUpdate appends the frame of u, type byte included. It may come out
// longer than MaxFrame, and must then not be sent. Connections whose cost JSON
// cannot express (infinities and NaN) are left out.
func AppendUpdate(b []byte, u Update) []byte {
	b = append(b, byte(TypeUpdate))
	b = append(b, `{"NodeID":`...)
	b = appendString(b, string(u.NodeID))
	b = append(b, `,"UpdateID":`...)
	b = appendString(b, u.UpdateID)
	b = append(b, `,"UpdateEpoch":`...)
	b = strconv.AppendUint(b, u.UpdateEpoch, 10)
	b = append(b, `,"UpdateSequence":`...)
	b = strconv.AppendUint(b, u.UpdateSequence, 10)
	b = append(b, `,"Connections":`...)
	b = appendConnections(b, u.Connections)
	b = append(b, `,"ForwardingNode":`...)
	b = appendString(b, string(u.ForwardingNode))
	b = append(b, `,"SuspectedDuplicate":`...)
	b = strconv.AppendUint(b, u.SuspectedDuplicate, 10)
	return append(b, '}')
}

func appendConnections(b []byte, m map[NodeID]float64) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	first := true
	for _, id := range slices.Sorted(maps.Keys(m)) {
		cost := m[id]
		if math.IsNaN(cost) || math.IsInf(cost, 0) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, string(id))
		b = append(b, ':')
		b = appendFloat(b, cost)
	}
	return append(b, '}')
}

// ParseUpdate decodes a frame of type update. It accepts what encoding/json
// accepts: null, missing, unknown and repeated fields, names in any case; so
// each field of the result may be zero. It fails with an *Error if the frame
// is empty, longer than MaxFrame or of another type, if its body is anything
// but an object (or null) of the right types, or if a name in it exceeds
// MaxNodeID or MaxUpdateID.
func ParseUpdate(frame []byte) (Update, error) {
	b, err := body(frame, TypeUpdate, kindUpdate)
	if err != nil {
		return Update{}, err
	}
	u, ok := parseUsual(frame)
	if !ok {
		u = Update{}
		if err := json.Unmarshal(b, &u); err != nil {
			return Update{}, &Error{Kind: kindUpdate, Err: err}
		}
	}
	if err := u.check(); err != nil {
		return Update{}, err
	}
	return u, nil
}

// check applies the limits.
func (u *Update) check() error {
	if err := checkLen(kindUpdate, "NodeID", string(u.NodeID), MaxNodeID); err != nil {
		return err
	}
	if err := checkLen(kindUpdate, "ForwardingNode", string(u.ForwardingNode), MaxNodeID); err != nil {
		return err
	}
	if err := checkLen(kindUpdate, "UpdateID", u.UpdateID, MaxUpdateID); err != nil {
		return err
	}
	for id := range u.Connections {
		if err := checkLen(kindUpdate, "name in Connections", string(id), MaxNodeID); err != nil {
			return err
		}
	}
	return nil
}

// ForwardUpdate appends to b the update in frame as node by passes it on: with
// ForwardingNode replaced by by and all other fields kept (spec mesh-protocol
// 6.2). Fields that we do not know may go. The frame must be one that
// ParseUpdate accepts, as the caller has seen; what is made of others is no
// better than they are. It fails if the result exceeds MaxFrame, which must not be
// sent. On failure b is returned as it was.
func ForwardUpdate(b, frame []byte, by NodeID) ([]byte, error) {
	n := len(b)
	if p, ok := scanUsual(frame); ok {
		b = append(b, frame[:p.forwardStart]...)
		b = appendString(b, string(by))
		b = append(b, frame[p.forwardEnd:]...)
	} else {
		u, err := ParseUpdate(frame)
		if err != nil {
			return b, err
		}
		u.ForwardingNode = by
		b = AppendUpdate(b, u)
	}
	if size := len(b) - n; size > MaxFrame {
		return b[:n], &Error{Kind: kindUpdate, What: fmt.Sprintf("too long to be forwarded: %d bytes", size)}
	}
	return b, nil
}
