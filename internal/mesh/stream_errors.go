package mesh

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/quic-go/quic-go"
)

// Codes and reasons with which sessions and streams end (spec mesh-protocol 12.4).
const (
	codeNormal  = 0
	codeFailed  = 500 // 0x1f4
	codeAbandon = 499 // STOP_SENDING of a reader that gives up

	reasonNormal   = "normal close"
	reasonShutdown = "node is shutting down"
	reasonRestart  = "the other node was restarted"
)

// ErrReset is the error of a stream that the other end gave up: reads find
// that it abandoned its sending side, writes that it does not read any more.
var ErrReset = errors.New("stream was reset by the other end")

// TLSError is a failure of the TLS handshake of a stream: a certificate that
// one side did not accept, mostly. Its text starts with CRYPTO_ERROR, the
// number of the QUIC error and who found it.
type TLSError struct {
	Remote bool // the other end refused us
	text   string
	cause  error
}

func (e *TLSError) Error() string { return e.text }

// Unwrap returns the error of the check that failed, if it was on this side.
func (e *TLSError) Unwrap() error { return e.cause }

// streamError translates an error of quic-go into one of ours. Reads get
// io.EOF for a session that was closed regularly.
func streamError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		switch {
		case !e.Remote && (e.ErrorMessage == reasonShutdown || e.ErrorMessage == reasonNormal):
			return ErrClosed
		case e.Remote && strings.HasSuffix(e.ErrorMessage, reasonNormal):
			return io.EOF
		}
		return fmt.Errorf("%w: %s", ErrReset, e.ErrorMessage)
	}
	if e, ok := errors.AsType[*quic.StreamError](err); ok {
		if e.Remote {
			return ErrReset
		}
		return ErrClosed
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		return transportError(e)
	}
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return fmt.Errorf("%w: no recent network activity", ErrTimeout)
	}
	if _, ok := errors.AsType[*quic.HandshakeTimeoutError](err); ok {
		return fmt.Errorf("%w: handshake did not complete in time", ErrTimeout)
	}
	if _, ok := errors.AsType[*quic.StatelessResetError](err); ok {
		return fmt.Errorf("%w: the session is not known there any more", ErrReset)
	}
	if errors.Is(err, quic.ErrStreamClosed) || errors.Is(err, quic.ErrTransportClosed) || errors.Is(err, quic.ErrServerClosed) {
		return ErrClosed
	}
	return err
}

// transportError translates the errors that have a QUIC code.
func transportError(e *quic.TransportError) error {
	switch {
	case e.ErrorCode.IsCryptoError():
		t := &TLSError{Remote: e.Remote, text: e.Error()}
		if causes := e.Unwrap(); len(causes) > 1 {
			t.cause = causes[1]
		}
		return t
	case e.ErrorCode == quic.ConnectionRefused:
		return errors.New("the service refuses more connections")
	}
	return errors.New(e.Error())
}
