package mesh

import (
	"log/slog"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// SetTrace has a line logged for every packet that the node sends, receives or
// passes on, with where it comes from and goes to and its length, never its
// content; nil ends that. It slows the node down.
func (n *Node) SetTrace(log *slog.Logger) { n.trace.Store(log) }

// traceArrived logs a packet that came by a link.
func (n *Node) traceArrived(log *slog.Logger, src, dst *destination, b []byte) {
	what := "passed on"
	if dst.hash == n.hash {
		what = "received"
	}
	tracePacket(log, what, src, dst, b)
}

// tracePacket logs a packet; b is its frame.
func tracePacket(log *slog.Logger, what string, src, dst *destination, b []byte) {
	log.Debug("packet", "what", what, "node", src.id, "service", traceService(fromService(b)), "to", dst.id,
		"toservice", traceService(toService(b)), "hops", int(b[offHops]), "bytes", len(b)-headerSize)
}

func traceService(s wire.ServiceName) string { return string(s.Service()) }
