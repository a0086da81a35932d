package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// MaxStreamFrame and MaxDatagramFrame are the largest frames, in bytes, on
// byte streams and WebSockets, and on UDP (spec mesh-protocol 1).
const (
	MaxStreamFrame   = 65535
	MaxDatagramFrame = 65507
)

// Errors of links and listeners. They may be wrapped: compare with errors.Is.
var (
	// ErrClosed is the error of every operation on a link or listener that was
	// closed at this side.
	ErrClosed = net.ErrClosed
	// ErrFrameSize is the error of WriteFrames for a frame that is empty or
	// longer than MaxFrame.
	ErrFrameSize = errors.New("frame is empty or too long for the link")
)

// Link moves whole frames in both directions. One goroutine reads, one writes.
type Link interface {
	// ReadFrame blocks for the next frame, which the caller then owns. Empty
	// frames are returned like others; the caller counts and ignores them.
	ReadFrame() (*Frame, error)
	// WriteFrames sends frames in order, in as few system calls as it can. It
	// does not release them. A frame over MaxFrame or empty is an error of the
	// caller's (ErrFrameSize) and nothing of the call is sent.
	WriteFrames(frames []*Frame) error
	// Close ends the link and unblocks both directions; it may be called more
	// than once.
	Close() error
	// MaxFrame is the largest frame that WriteFrames takes, in bytes.
	MaxFrame() int
	// Lossy tells that frames may be lost, repeated or reordered (UDP).
	Lossy() bool
	// RemoteAddr is for logs.
	RemoteAddr() string
}

// Secured is a Link that may speak TLS.
type Secured interface {
	// TLS is the outcome of the handshake; false if there was none yet, or will be none. Once a frame was read there was
	// one if the link speaks TLS.
	TLS() (tls.ConnectionState, bool)
}

// Listener accepts links.
type Listener interface {
	// Accept blocks for the next link. An error that is not ErrClosed is
	// passing (too many open files, say): the caller waits a little and goes on.
	Accept() (Link, error)
	// Close ends the listener and unblocks Accept; it may be called more than
	// once. Links that were accepted from a UDP listener end with it, as they
	// share its socket; other links live on.
	Close() error
	// Addr is the bound address, with the port that was picked.
	Addr() string
}

// Dialer opens links to one address.
type Dialer interface {
	// Dial opens a link; ctx bounds the opening alone.
	Dial(ctx context.Context) (Link, error)
	// String names the dialer for logs, as in `tcp host:port`.
	String() string
}

func frameSizeError(n, limit int) error {
	return fmt.Errorf("%w: %d bytes, limit %d", ErrFrameSize, n, limit)
}
