package mesh

import "github.com/receptor-go/receptor/internal/mesh/link"

// frameRing is a queue of frames that grows as needed. Its user bounds it and
// guards it.
type frameRing struct {
	buf   []*link.Frame // length is a power of two, or zero
	head  int           // index of the oldest
	n     int           // frames held
	bytes int           // what they take in memory
}

// push appends f.
func (r *frameRing) push(f *link.Frame) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = f
	r.n++
	r.bytes += f.Size()
}

// pop removes the oldest frame; the ring is not empty.
func (r *frameRing) pop() *link.Frame {
	f := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	r.bytes -= f.Size()
	return f
}

// clear releases all frames and the memory of the ring.
func (r *frameRing) clear() {
	for r.n > 0 {
		r.pop().Release()
	}
	*r = frameRing{}
}

func (r *frameRing) grow() {
	bigger := make([]*link.Frame, max(8, 2*len(r.buf)))
	n := copy(bigger, r.buf[r.head:])
	copy(bigger[n:], r.buf[:r.head])
	r.buf, r.head = bigger, 0
}
