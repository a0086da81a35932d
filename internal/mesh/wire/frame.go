package wire

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Type is the first byte of a frame.
type Type byte

// The frame types (spec mesh-protocol 4).
const (
	TypeData   Type = 0x00
	TypeUpdate Type = 0x01
	TypeAdvert Type = 0x02
	TypeReject Type = 0x03
)

// maxReason bounds the reason of a reject frame, in bytes.
const maxReason = 1024

// Reject returns a new reject frame: the last that is sent on a link which we
// refuse (spec mesh-protocol 5). ansible/receptor ignores what follows the
// type byte; a node of ours shows the reason, which may be empty.
func Reject(reason string) []byte {
	if reason == "" {
		return []byte{byte(TypeReject), '[', ']'}
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	list, _ := json.Marshal([]string{strings.ToValidUTF8(reason, "")}) // texts are always possible
	return append([]byte{byte(TypeReject)}, list...)
}

// RejectReason is the reason in a reject frame, empty if there is none. It
// reads no error into a frame: whatever follows the type byte may be ignored.
func RejectReason(frame []byte) string {
	const most = 6*maxReason + 5 // each byte may be escaped
	var reasons []string
	if len(frame) < 1 || len(frame) > most || json.Unmarshal(frame[1:], &reasons) != nil || len(reasons) != 1 {
		return ""
	}
	if len(reasons[0]) > maxReason {
		return ""
	}
	return reasons[0]
}

// Error tells why a frame, or the payload of an unreachable notice, is
// malformed. It is always the fault of whoever made the frame.
type Error struct {
	Kind string // what it should have been: "data packet", "routing update", ...
	What string // what is wrong with it; empty if Err says it
	Err  error  // the cause, or nil
}

// Error returns one line without the frame's contents.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return fmt.Sprintf("malformed %s: %s", e.Kind, e.What)
	case e.What == "":
		return fmt.Sprintf("malformed %s: %v", e.Kind, e.Err)
	}
	return fmt.Sprintf("malformed %s: %s: %v", e.Kind, e.What, e.Err)
}

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.Err }

// The values of Error.Kind.
const (
	kindData    = "data packet"
	kindUpdate  = "routing update"
	kindAdvert  = "service advertisement"
	kindProblem = "unreachable notice"
)

// body checks a frame's size and type and returns what follows the type byte.
func body(frame []byte, t Type, kind string) ([]byte, error) {
	switch {
	case len(frame) == 0:
		return nil, &Error{Kind: kind, What: "empty frame"}
	case len(frame) > MaxFrame:
		return nil, &Error{Kind: kind, What: fmt.Sprintf("%d bytes, at most %d are allowed", len(frame), MaxFrame)}
	case Type(frame[0]) != t:
		return nil, &Error{Kind: kind, What: fmt.Sprintf("type byte is 0x%02x", frame[0])}
	}
	return frame[1:], nil
}

// checkLen returns an Error if a name from outside is longer than max.
func checkLen(kind, what, name string, max int) error {
	if len(name) > max {
		return &Error{Kind: kind, What: fmt.Sprintf("%s has %d bytes, at most %d are allowed", what, len(name), max)}
	}
	return nil
}
