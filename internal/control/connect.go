package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// connect joins the exchange to a stream service (spec control-protocol 6).
func (s *Server) connect(ctx context.Context, x exchange) (any, error) {
	a, err := parseConnect(x.request())
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(a.node, "localhost") {
		a.node = string(s.Node.ID)
	}
	a.service = strings.TrimRight(a.service, "\x00") // as packets have it, so that one service has one name
	r := access.Request{Command: access.Connect, Node: a.node, Service: a.service, Control: s.isControl(a.node, a.service)}
	if err := s.permit(x, r, ""); err != nil {
		return nil, err
	}
	tlsc, err := s.TLSClient(a.tls, a.node)
	if err != nil {
		return nil, err
	}
	if len(a.service) > len(wire.ServiceName{}) {
		return nil, controlproto.New(controlproto.Invalid, localError+"service name too long")
	}
	stream, err := s.Node.Dial(ctx, wire.NodeID(a.node), wire.Service(a.service), tlsc)
	if err != nil {
		if refused, ok := errors.AsType[*mesh.TLSError](err); ok && refused.Remote {
			s.refused(a.node+":"+a.service, refused)
		}
		return nil, dialError(err)
	}
	defer stream.Close()
	s.record(x, nil, nil)
	stop := context.AfterFunc(ctx, func() { reset(stream) })
	defer stop()
	if err := x.connecting(); err != nil {
		return nil, err
	}
	s.bridge(x, stream)
	return nil, nil
}

// bridge copies both ways. The client's end is passed on as the end of one
// direction; the service's end is the end of the bridge.
func (s *Server) bridge(x exchange, stream net.Conn) {
	up := make(chan struct{})
	var over, all atomic.Bool // the service has ended, or the client takes no more; the input has ended
	go func() {               // ends with the input, which close ends
		defer close(up)
		buf := s.buffer()
		defer s.buffers.Put(buf)
		in := &source{r: x.input()}
		_, err := io.CopyBuffer(sink{stream}, in, buf.Bytes)
		switch {
		case err == nil:
			all.Store(true)
			_ = controlproto.CloseWrite(stream)
			if x.hangup() {
				_ = stream.SetReadDeadline(time.Unix(1, 0))
			}
		case in.err == nil:
			// The service reads no more; its answer may be on its way. A socket
			// that is closed with something unread is reset, and the answer lost.
			_, _ = io.Copy(io.Discard, in)
		case over.Load():
			_ = controlproto.CloseWrite(stream)
		default: // the client broke off: its part must not pass for the whole
			reset(stream)
		}
	}()
	buf := s.buffer()
	defer s.buffers.Put(buf)
	_, err := io.CopyBuffer(sink{x.output()}, struct{ io.Reader }{stream}, buf.Bytes)
	if refused, ok := errors.AsType[*mesh.TLSError](err); ok {
		s.refused(stream.RemoteAddr().String(), refused)
	}
	over.Store(true)
	x.close(all.Load())
	_ = stream.SetWriteDeadline(time.Now().Add(bridgeGrace))
	<-up
}

// refused logs that a service does not accept our certificate. That comes when
// the dial is over at our side, or has just not succeeded yet.
func (s *Server) refused(peer string, err *mesh.TLSError) {
	s.Logger.Error("connection read failed", "peer", peer, "err", err)
}

// bridgeGrace is how long a service that has ended its direction may take for
// the last that the client has sent.
const bridgeGrace = 5 * time.Second

// source remembers the error of a reader, to tell it from the writer's.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// reset closes a stream in a way that its other end does not take for the end
// of the data.
func reset(c net.Conn) {
	if r, ok := c.(interface{ Reset() }); ok {
		r.Reset()
		return
	}
	c.Close()
}

// localError begins the text of what the mesh refused at once; clients of
// version 1 know it so.
const localError = "INTERNAL_ERROR (local): "

// dialError words a failed dial as version 1's clients know it (spec
// control-protocol 6.4), and gives it its code.
func dialError(err error) error {
	text := err.Error()
	for _, e := range []error{mesh.ErrNoRoute, mesh.ErrNoConnection} {
		if errors.Is(err, e) {
			text = localError + e.Error()
		}
	}
	if t, ok := errors.AsType[*mesh.TLSError](err); ok {
		text = t.Error()
	}
	return controlproto.New(codeOf(err), text)
}

type connectArgs struct{ node, service, tls string }

func parseConnect(r controlproto.Request) (connectArgs, error) {
	var a connectArgs
	if r.Text {
		words := strings.Split(r.Params, " ")
		switch {
		case len(words) < 2:
			return a, invalid("no connect target")
		case len(words) > 3:
			return a, invalid("too many parameters")
		}
		a.node, a.service = words[0], words[1]
		if len(words) == 3 {
			a.tls = words[2]
		}
		return a, nil
	}
	for _, f := range []struct {
		name, missing, wrong string
		to                   *string
	}{
		{"node", "no connect target node", "connect target node must be string", &a.node},
		{"service", "no connect target service", "connect target service must be string", &a.service},
		{"tls", "", "connect tls name must be string", &a.tls},
	} {
		value, ok := r.Fields[f.name]
		if !ok {
			if f.missing != "" {
				return a, invalid(f.missing)
			}
			continue
		}
		if *f.to, ok = value.(string); !ok {
			return a, invalid(f.wrong)
		}
	}
	return a, nil
}
