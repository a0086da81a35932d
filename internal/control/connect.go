package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

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
	tlsc, err := s.TLSClient(a.tls)
	if err != nil {
		return nil, err
	}
	if len(a.service) > len(wire.ServiceName{}) {
		return nil, controlproto.New(controlproto.Invalid, localError+"service name too long")
	}
	if strings.EqualFold(a.node, "localhost") {
		a.node = string(s.Node.ID)
	}
	stream, err := s.Node.Dial(ctx, wire.NodeID(a.node), wire.Service(a.service), tlsc)
	if err != nil {
		return nil, dialError(err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { stream.Close() })
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
	go func() { // ends with the input, which close ends
		defer close(up)
		buf := s.buffer()
		defer s.buffers.Put(buf)
		_, err := io.CopyBuffer(sink{stream}, struct{ io.Reader }{x.input()}, *buf)
		if err != nil { // the client is gone, or the service reads no more
			_ = stream.SetReadDeadline(time.Unix(1, 0))
		}
		_ = controlproto.CloseWrite(stream)
	}()
	buf := s.buffer()
	defer s.buffers.Put(buf)
	_, _ = io.CopyBuffer(sink{x.output()}, struct{ io.Reader }{stream}, *buf)
	x.close()
	<-up
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
