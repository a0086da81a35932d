// Package lend has the buffers of those who copy. A few at a time are large. Who
// stalls with one, since the other end takes or sends nothing, does not take them from
// all others without end: when that many are lent, these get small ones.
package lend

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Buffer is a buffer that was lent.
type Buffer struct {
	Bytes []byte // of the length that it was made with
	lent  *atomic.Bool
}

// Buffers lends buffers of two sizes. All methods may be called at any time from any
// goroutine.
type Buffers struct {
	large, small int
	most         int64
	pool         sync.Pool // of *Buffer, large ones
	lent         atomic.Int64
}

// New returns Buffers that lends at most most buffers of large bytes at a time, and
// any number of small bytes.
func New(large, small, most int) *Buffers {
	return &Buffers{large: large, small: small, most: int64(most)}
}

// Get borrows a large buffer, or a small one.
func (b *Buffers) Get() *Buffer {
	if p := b.Large(); p != nil {
		return p
	}
	return &Buffer{Bytes: make([]byte, b.small)}
}

// Large borrows a large buffer; it is nil if too many are lent. One that is not given
// back counts until the collector has found it.
func (b *Buffers) Large() *Buffer {
	if b.lent.Add(1) > b.most {
		b.lent.Add(-1)
		return nil
	}
	p, ok := b.pool.Get().(*Buffer)
	if !ok {
		p = &Buffer{Bytes: make([]byte, b.large), lent: new(atomic.Bool)}
		runtime.AddCleanup(p, func(lent *atomic.Bool) {
			if lent.Load() {
				b.lent.Add(-1)
			}
		}, p.lent)
	}
	p.lent.Store(true)
	return p
}

// Put gives a buffer back, which the caller uses no more.
func (b *Buffers) Put(p *Buffer) {
	if p.lent == nil {
		return
	}
	p.lent.Store(false)
	b.lent.Add(-1)
	b.pool.Put(p)
}
