package control

import (
	"context"
	"errors"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
)

// asError classifies an error for the wire; the text stays what it is.
func asError(err error) *controlproto.Error {
	if e, ok := errors.AsType[*controlproto.Error](err); ok {
		if e.Error() == err.Error() {
			return e
		}
		return controlproto.New(e.Code, err.Error())
	}
	return controlproto.New(codeOf(err), err.Error())
}

func codeOf(err error) controlproto.Code {
	if _, ok := errors.AsType[*mesh.TLSError](err); ok {
		return controlproto.Denied
	}
	switch {
	case errors.Is(err, mesh.ErrNoRoute), errors.Is(err, mesh.ErrNoConnection), errors.Is(err, mesh.ErrExpired):
		return controlproto.Unreachable
	case errors.Is(err, mesh.ErrServiceUnknown):
		return controlproto.NotFound
	case errors.Is(err, mesh.ErrBlocked):
		return controlproto.Denied
	case errors.Is(err, mesh.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return controlproto.Timeout
	case errors.Is(err, context.Canceled):
		return controlproto.Canceled
	}
	return controlproto.Internal
}

// invalid is the error of a request that makes no sense as it stands.
func invalid(text string) error { return controlproto.New(controlproto.Invalid, text) }
