package wire

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Advert is a service advertisement (spec mesh-protocol 8). Nodes pass on the
// frame exactly as they received it, so one from outside is only parsed, never
// appended again.
type Advert struct {
	NodeID  NodeID
	Service Service
	// Time is when the originator made the advertisement. Its zone is kept;
	// advertisements are compared by instant.
	Time     time.Time
	ConnType ConnType
	// Tags describe the service; "type" is one of them. May be nil.
	Tags map[string]string
	// WorkCommands are the node's work types. Nil unless the service is a
	// control service and there are any.
	WorkCommands []WorkCommand
	// Cancel tells that the service is gone.
	Cancel bool
}

// ConnType tells what kind of service an advertisement offers. Numbers other
// than those below may come from outside.
type ConnType byte

// The kinds of service.
const (
	Datagram  ConnType = 0
	Stream    ConnType = 1 // a stream without TLS of its own
	StreamTLS ConnType = 2 // a stream with configured TLS
)

// WorkCommand is a work type that a node offers.
type WorkCommand struct {
	WorkType string
	Secure   bool // submissions must be signed
}

// AppendAdvert appends the frame of a, type byte included. It may come out
// longer than MaxFrame, and must then not be sent; nor may one without NodeID
// or Service, which crashes ansible/receptor. A Time that RFC 3339 cannot
// express (years before 0 or after 9999) is written as year 1.
func AppendAdvert(b []byte, a Advert) []byte {
	b = append(b, byte(TypeAdvert))
	b = append(b, `{"NodeID":`...)
	b = appendString(b, string(a.NodeID))
	b = append(b, `,"Service":`...)
	b = appendString(b, string(a.Service))
	b = append(b, `,"Time":`...)
	t, err := a.Time.MarshalJSON()
	if err != nil {
		t, _ = time.Time{}.MarshalJSON()
	}
	b = append(b, t...)
	b = append(b, `,"ConnType":`...)
	b = strconv.AppendUint(b, uint64(a.ConnType), 10)
	b = append(b, `,"Tags":`...)
	b = appendTags(b, a.Tags)
	b = append(b, `,"WorkCommands":`...)
	b = appendWorkCommands(b, a.WorkCommands)
	b = append(b, `,"Cancel":`...)
	b = appendBool(b, a.Cancel)
	return append(b, '}')
}

func appendTags(b []byte, tags map[string]string) []byte {
	if tags == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(tags)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, tags[k])
	}
	return append(b, '}')
}

func appendWorkCommands(b []byte, cmds []WorkCommand) []byte {
	if cmds == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, c := range cmds {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"WorkType":`...)
		b = appendString(b, c.WorkType)
		b = append(b, `,"Secure":`...)
		b = appendBool(b, c.Secure)
		b = append(b, '}')
	}
	return append(b, ']')
}

// ParseAdvert decodes a frame of type advert. Like ParseUpdate it accepts null,
// missing, unknown and repeated fields and names in any case, except that
// NodeID and Service must be there: without them ("{}", "null") the frame is
// malformed. It fails with an *Error if the frame is empty, longer than
// MaxFrame or of another type, if its body is no such object, or if a name
// exceeds MaxNodeID or MaxService.
func ParseAdvert(frame []byte) (Advert, error) {
	b, err := body(frame, TypeAdvert, kindAdvert)
	if err != nil {
		return Advert{}, err
	}
	var a Advert
	if err := json.Unmarshal(b, &a); err != nil {
		return Advert{}, &Error{Kind: kindAdvert, Err: err}
	}
	if a.NodeID == "" {
		return Advert{}, &Error{Kind: kindAdvert, What: "NodeID is missing"}
	}
	if err := checkLen(kindAdvert, "NodeID", string(a.NodeID), MaxNodeID); err != nil {
		return Advert{}, err
	}
	if _, err := ParseService(string(a.Service)); err != nil {
		return Advert{}, &Error{Kind: kindAdvert, Err: err}
	}
	return a, nil
}
