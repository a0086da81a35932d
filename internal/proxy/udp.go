package proxy

import (
	"log/slog"
	"sync"
)

// maxDatagram is the largest payload that UDP carries, in bytes. What the mesh
// carries is less, wire.MaxPayload; sent, more would spoil the link (spec
// mesh-protocol 17), so the mesh refuses it.
const maxDatagram = 65507

// datagrams are buffers for whoever reads datagrams, a byte longer than the
// longest; nothing but memory is kept in them.
var datagrams = sync.Pool{New: func() any { return new([maxDatagram + 1]byte) }}

// sending reports how datagrams leave in one direction.
func sending(log *slog.Logger) *reporter {
	return &reporter{log: log, bad: "datagrams are dropped", good: "datagrams pass again", every: packetReports}
}
