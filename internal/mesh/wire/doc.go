// Package wire turns the frames that neighbours exchange into Go values and
// back. It is pure: bytes in, values out; it opens nothing, waits for nothing
// and reads no clock.
//
// # Frames
//
// A link carries whole frames. The first byte is the type (spec
// mesh-protocol 4):
//
//	type  name    sent by                   rest of the frame
//	0x00  data    anyone, hop by hop        35 bytes of header, then the payload to the end of the frame
//	0x01  update  origin, flooded           JSON object, see Update; one field changes from hop to hop
//	0x02  advert  origin, flooded as it is  JSON object, see Advert; never re-encoded on the way
//	0x03  reject  either side, last         always "[]"; whatever is there is ignored
//
// Frames of other types are skipped by the receiver and counted. An empty frame
// must never be sent, and is an ordinary malformed frame when received.
//
// A data frame, all numbers big-endian (spec mesh-protocol 9):
//
//	offset  bytes  field
//	0       1      type, 0
//	1       1      hops to live
//	2       2      zero when sent, ignored when received
//	4       8      Hash of the source node's name
//	12      8      Hash of the destination node's name
//	20      8      source service, NUL-padded
//	28      8      destination service, NUL-padded
//	36             payload, may be empty
//
// The payload of a data frame from service "unreach" to service "unreach" is a
// Problem, a JSON object without a type byte (spec mesh-protocol 10).
//
// # JSON
//
// Bodies are written exactly as Go's encoding/json writes them: no white space,
// fields in a fixed order, map keys sorted, '<', '>' and '&' escaped. They are
// read as encoding/json reads them: field names in any case, unknown fields
// ignored, null for any field, the last of repeated fields wins, and nothing
// may follow the object. UpdateEpoch and SuspectedDuplicate use all 64 bits and
// never pass through a float64.
//
// Updates are by far the most frequent frames, and nearly all of them are
// copies of one that is already known, in exactly the form that Append writes.
// PeekOrigin reads that form without decoding anything; ParseUpdate and
// ForwardUpdate have a fast way for it and fall back to encoding/json for any
// other form.
//
// # Names
//
// A NodeID from the wire is taken as it is, up to MaxNodeID bytes. One from our
// own configuration passes ParseNodeID, which refuses the names that trouble
// other parts of a mesh.
//
// # Concurrency
//
// Everything here is a function of its arguments. SetHops changes the frame
// that it is given; nothing else writes to its input, and nothing but Payload
// returns a part of it (PeekOrigin and PeekUpdateID return parts of the frame
// too, and say so).
//
// # Not promised
//
// That a parsed value makes sense: an update may name nobody, list negative
// costs, or lie. Package route decides what to believe.
package wire
