package controlproto

import (
	"errors"
	"sync/atomic"
)

// ErrBusy is returned for a long line while too many others are being read; the
// stream cannot be used after it.
var ErrBusy = errors.New("too many long lines are being received, try again later")

// freeLine is how long a line may be, in bytes, before it counts.
const freeLine = 64 << 10

// Memory bounds what long lines take in all Readers that share it: enough for one
// line of the greatest length, or for many that are shorter.
type Memory struct{ left atomic.Int64 }

// memoryReserve is what others than the preferred leave to these, in bytes.
const memoryReserve = 2 << 20

// NewMemory returns a Memory of which nothing is used.
func NewMemory() *Memory {
	m := &Memory{}
	m.left.Store(MaxLine + memoryReserve)
	return m
}

func (m *Memory) take(n int, preferred bool) bool {
	least := int64(memoryReserve)
	if preferred {
		least = 0
	}
	if m.left.Add(-int64(n)) < least {
		m.left.Add(int64(n))
		return false
	}
	return true
}

// Share has long lines count in m; preferred Readers find room where others do not. When one begins, begun is called, and when it
// is complete, ended: the caller may want to bound the time between. The reader
// then holds memory of m until the next ReadLine, or Free.
func (r *Reader) Share(m *Memory, preferred bool, begun, ended func()) {
	r.memory, r.preferred, r.begun, r.ended = m, preferred, begun, ended
}

// Free gives back what the last line holds of a shared memory; the line is no
// longer valid.
func (r *Reader) Free() {
	if r.paid > 0 {
		r.memory.left.Add(int64(r.paid))
		r.paid, r.line = 0, nil
	}
}

// room makes sure that n more bytes of the line may be held.
func (r *Reader) room(n int) bool {
	if r.memory == nil || len(r.line)+n <= freeLine+r.paid {
		return true
	}
	// Doubled each time, so that appending copies little.
	more := max(r.paid, freeLine)
	if most := r.max + 2 - freeLine; r.paid+more > most {
		more = most - r.paid
	}
	if more <= 0 {
		return true // over the greatest length, as the caller is about to notice
	}
	if !r.memory.take(more, r.preferred) {
		return false
	}
	if r.paid == 0 {
		r.begun()
	}
	r.paid += more
	longer := make([]byte, len(r.line), freeLine+r.paid)
	copy(longer, r.line)
	r.line = longer
	return true
}
