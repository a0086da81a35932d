package control

import (
	"context"
	"io"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work"
)

// exchange is a request under way, as a handler sees it. The methods beyond
// the request itself are for the requests that are more than one answer; a
// handler calls one of created, streaming and connecting before it touches
// input or output.
type exchange interface {
	request() controlproto.Request
	origin() work.Origin
	caller() access.Caller
	rules() access.Rules // those that count now
	note() *note

	// created tells that the unit of a submit exists; its payload follows on input.
	created(unit string, received int64) error
	// streaming tells that output of the unit follows. The context it returns
	// ends when the client is known to be gone.
	streaming(ctx context.Context, unit string) (context.Context, context.CancelFunc, error)
	// connecting tells that a bridge begins.
	connecting() error

	// input is what the client sends for this request. It ends with io.EOF
	// where the client says so, with another error where it broke off.
	input() io.Reader
	// seal is the signature that came with the end of the input, where the version
	// has a place for it.
	seal() string
	// output sends bytes that belong to this request.
	output() io.Writer
	// stderr sends error output of a unit, where the version has a place for it.
	stderr(p []byte) error
	// status sends a unit's record, where the version has a place for it.
	status(controlproto.UnitStatus) error
	// hangup waits, after the end of the input, until the client is gone
	// altogether (true) or close is called; false at once where that cannot be told.
	hangup() bool
	// close ends the bridge: the output is complete, and soon no input is wanted
	// any more; at once if all of it was read.
	close(all bool)
}

// handler carries out a request. The value is the answer; nil says that what
// went over the exchange was all. Errors that are no *controlproto.Error are
// our own fault.
type handler func(ctx context.Context, x exchange) (any, error)

// handler finds the handler of a command.
func (s *Server) handler(r controlproto.Request) (handler, error) {
	switch r.Command {
	case "status":
		return s.status, nil
	case "ping":
		return s.ping, nil
	case "traceroute":
		return s.traceroute, nil
	case "connect":
		return s.connect, nil
	case "reload":
		return s.reload, nil
	case "work":
		if s.Work != nil {
			return s.work, nil
		}
	}
	return nil, controlproto.New(controlproto.Invalid, "Unknown command")
}

// do carries out a request.
func (s *Server) do(ctx context.Context, x exchange) (any, error) {
	h, err := s.handler(x.request())
	if err != nil {
		return nil, err
	}
	reply, err := h(ctx, x)
	s.record(x, reply, err)
	return reply, err
}
