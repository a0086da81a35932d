package link

import (
	"encoding/binary"
	"sync"
)

// prefixLen is the length of the prefix of a frame in a byte stream, a 16-bit
// little-endian number (spec mesh-protocol 3.1).
const prefixLen = 2

// frameSizes are the sizes of pooled buffers: a data frame of a stream or a
// routing update, a frame of the mesh's nominal MTU, any frame. Each is a size
// class of the allocator.
var frameSizes = [...]int{2048, 18432, 65536 + 1024}

// framePools have one pool per entry of frameSizes. They are shared by all
// links because a frame that one link has read is released by another. Nothing
// but memory is kept in them.
var framePools [len(frameSizes)]sync.Pool

// Frame is a buffer, mostly a pooled one, that holds one whole frame. Whoever
// holds it calls Release exactly once, or hands it on. A frame that nobody changes
// may be written to several links at the same time.
type Frame struct {
	// buf is the length prefix, always that of the present length, and the
	// frame, so that a link can send both with one pointer.
	buf   []byte
	class int8 // index in framePools; -1 for a size of its own
	freed bool
}

// NewFrame returns a frame of n bytes from the pool; its contents are undefined.
func NewFrame(n int) *Frame {
	size := prefixLen + n
	for i, limit := range &frameSizes {
		if size > limit {
			continue
		}
		f, _ := framePools[i].Get().(*Frame)
		if f == nil {
			f = &Frame{buf: make([]byte, limit), class: int8(i)}
		}
		f.freed = false
		f.setLen(n)
		return f
	}
	f := &Frame{buf: make([]byte, size), class: -1}
	f.setLen(n)
	return f
}

// FrameOf returns a frame from the pool with a copy of b.
func FrameOf(b []byte) *Frame {
	f := NewFrame(len(b))
	copy(f.Bytes(), b)
	return f
}

// TightFrame is FrameOf, but takes no more memory than it has to: for large frames
// of which many may wait at the same time.
func TightFrame(b []byte) *Frame {
	if prefixLen+len(b) <= frameSizes[0] {
		return FrameOf(b)
	}
	f := &Frame{buf: make([]byte, prefixLen+len(b)), class: -1}
	f.setLen(len(b))
	copy(f.Bytes(), b)
	return f
}

// Size is what the frame takes in memory, in bytes.
func (f *Frame) Size() int { return cap(f.buf) }

// Bytes are the frame, type byte first.
func (f *Frame) Bytes() []byte { return f.buf[prefixLen:] }

// Truncate makes the frame n bytes long; n is not more than its length.
func (f *Frame) Truncate(n int) {
	if n < 0 || n > len(f.buf)-prefixLen {
		panic("BUG: frame truncated to more than its length")
	}
	f.setLen(n)
}

// Release gives the frame back to the pool. Neither the frame nor its bytes
// may be used afterwards.
func (f *Frame) Release() {
	if f.freed {
		panic("BUG: frame released twice")
	}
	f.freed = true
	if f.class >= 0 {
		framePools[f.class].Put(f)
	}
}

// setLen sets the length, which fits the buffer, and the prefix. The prefix of
// a frame that is too long for one is never sent.
func (f *Frame) setLen(n int) {
	f.buf = f.buf[:prefixLen+n]
	binary.LittleEndian.PutUint16(f.buf, uint16(n))
}

// checkFrames tells whether each frame is neither empty nor over limit bytes.
func checkFrames(frames []*Frame, limit int) error {
	for _, f := range frames {
		if n := len(f.buf) - prefixLen; n == 0 || n > limit {
			return frameSizeError(n, limit)
		}
	}
	return nil
}
