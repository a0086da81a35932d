package wire

import "encoding/binary"

// Header is the fixed part of a data packet (spec mesh-protocol 9).
type Header struct {
	Hops     uint8 // hops to live: how many more links the packet may cross
	Src, Dst Hash
	From, To ServiceName
}

// Where the fields of a data frame are.
const (
	offHops = 1
	offSrc  = 4
	offDst  = 12
	offFrom = 20
	offTo   = 28
)

// AppendHeader appends the HeaderSize bytes of h, type byte included. The
// payload is to follow; a frame may have at most MaxFrame bytes in all.
func AppendHeader(b []byte, h Header) []byte {
	b = append(b, byte(TypeData), h.Hops, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Src))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Dst))
	b = append(b, h.From[:]...)
	return append(b, h.To[:]...)
}

// The errors of ParseHeader are made once, since it is called for each packet.
var (
	errShort = &Error{Kind: kindData, What: "shorter than its header of 36 bytes"}
	errLong  = &Error{Kind: kindData, What: "longer than 65535 bytes"}
	errType  = &Error{Kind: kindData, What: "type byte is not 0x00"}
)

// ParseHeader reads the header of a whole data frame, type byte included. It
// fails with an *Error if frame has fewer than HeaderSize or more than MaxFrame
// bytes or another type. It allocates nothing.
func ParseHeader(frame []byte) (Header, error) {
	switch {
	case len(frame) < HeaderSize:
		return Header{}, errShort
	case len(frame) > MaxFrame:
		return Header{}, errLong
	case Type(frame[0]) != TypeData:
		return Header{}, errType
	}
	return Header{
		Hops: frame[offHops],
		Src:  Hash(binary.BigEndian.Uint64(frame[offSrc:])),
		Dst:  Hash(binary.BigEndian.Uint64(frame[offDst:])),
		From: ServiceName(frame[offFrom:offTo]),
		To:   ServiceName(frame[offTo:HeaderSize]),
	}, nil
}

// Payload returns the part of a data frame that follows the header; it shares
// the frame's memory. It is empty if the frame is too short.
func Payload(frame []byte) []byte {
	if len(frame) < HeaderSize {
		return nil
	}
	return frame[HeaderSize:]
}

// SetHops writes the hops to live into a data frame that ParseHeader accepted.
// That is all that a relay changes in a packet.
func SetHops(frame []byte, hops uint8) {
	frame[offHops] = hops
}
