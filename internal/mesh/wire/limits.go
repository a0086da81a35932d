package wire

// What may come from outside, and what we may send. A frame beyond a limit is
// malformed; it is refused as a whole.
const (
	// MaxFrame is the largest frame in bytes, type byte included: what TCP's
	// 16-bit length prefix can express (spec mesh-protocol 3.1).
	MaxFrame = 65535

	// HeaderSize is the size of a data frame's header in bytes, type byte
	// included (spec mesh-protocol 9).
	HeaderSize = 36

	// MaxPayload is the largest payload of a data frame in bytes.
	MaxPayload = MaxFrame - HeaderSize

	// MaxNodeID is the longest node name in bytes. The specification knows no
	// bound; this one is ours.
	MaxNodeID = 255

	// MaxUpdateID is the longest update ID in bytes. ansible/receptor and we
	// use 8.
	MaxUpdateID = 255

	// MaxService is the longest service name in bytes (spec mesh-protocol 2).
	MaxService = 8
)

// The number of connections in one update is bounded by MaxFrame alone.
