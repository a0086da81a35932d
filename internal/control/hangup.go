package control

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// waitHangup reads and drops what the client sends, and returns true when the
// client has closed its connection, as far as that can be told from a
// half-close; false when reading was interrupted.
func waitHangup(conn net.Conn, r *controlproto.Reader) bool {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return !isTimeout(err)
	}
	return closedBothWays(conn)
}

// meshConn is a stream of the mesh: its context ends when the client has given
// up reading.
type meshConn interface{ WriteContext() context.Context }

// onGone calls f when the client of a mesh stream has given up reading; stop
// ends that. Of sockets it knows nothing.
func onGone(conn net.Conn, f func()) (stop func() bool) {
	if m, ok := conn.(meshConn); ok {
		return context.AfterFunc(m.WriteContext(), f)
	}
	return func() bool { return true }
}

// interruptReads ends a waitHangup of the connection. Nothing is read from
// the connection after it.
func interruptReads(conn net.Conn) { _ = conn.SetReadDeadline(time.Unix(1, 0)) }

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}
