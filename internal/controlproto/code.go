package controlproto

import "errors"

// Code classifies an error; it is the only thing about an error that programs
// may branch on.
type Code string

// The codes. A client takes one that it does not know for Internal.
const (
	Invalid     Code = "invalid"     // the request makes no sense as it stands
	NotFound    Code = "not_found"   // no such unit, node, service or work type
	Exists      Code = "exists"      // the name is taken
	Denied      Code = "denied"      // not allowed, or a signature is missing or wrong
	Unreachable Code = "unreachable" // the node or service cannot be reached now
	Timeout     Code = "timeout"     // no answer in time
	Busy        Code = "busy"        // a limit was met; try again later
	Canceled    Code = "canceled"    // the client gave up
	Internal    Code = "internal"    // the daemon's own fault
)

// Error is an error that crosses the control connection.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// New makes an Error.
func New(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// CodeOf is the code of err: that of the Error in its chain, or Internal.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code.known()
	}
	return Internal
}

func (c Code) known() Code {
	switch c {
	case Invalid, NotFound, Exists, Denied, Unreachable, Timeout, Busy, Canceled, Internal:
		return c
	}
	return Internal
}
