package controlproto

import (
	"context"
	"io"
	"strings"
)

// Connect joins the connection to a stream service of a node; tls names an
// entry `tls-client` of the daemon, or is empty. The stream that it returns is the
// connection: what the daemon had sent already comes first out of it, and the
// Client is used up. Always version 1, as the connection has no other use after
// it; so open it with OpenV1.
func (c *Client) Connect(ctx context.Context, node, service, tls string) (*Stream, error) {
	defer c.guard(ctx)()
	if c.version != V1 {
		return nil, New(Invalid, "connect needs a session of version 1")
	}
	members := map[string]any{"command": "connect", "node": node, "service": service}
	if tls != "" {
		members["tls"] = tls
	}
	if err := c.send(members); err != nil {
		return nil, c.broken(ctx, err)
	}
	line, err := c.answer(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(line), "Connecting") {
		return nil, New(Internal, "unexpected answer "+quote(string(line)))
	}
	c.spent = true
	return &Stream{Reader: c.r, conn: c.conn}, nil
}

// Stream is a connection after Connect.
type Stream struct {
	io.Reader
	conn io.ReadWriteCloser
}

func (s *Stream) Write(p []byte) (int, error) { return s.conn.Write(p) }

// CloseWrite ends the sending direction.
func (s *Stream) CloseWrite() error { return CloseWrite(s.conn) }

// Close ends both.
func (s *Stream) Close() error { return s.conn.Close() }
