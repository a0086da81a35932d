package mesh

import "sync/atomic"

// share is memory that many queues use together. One queue may use much of it; the
// less is left, the less each of them gets, down to what it has in any case: so a
// single busy link has a deep queue, and a thousand links whose neighbours read
// nothing do not fill the memory.
type share struct {
	total int64 // bytes, at most
	used  atomic.Int64
}

// Units of shares, in bytes.
const (
	shareFloor = 16 << 10 // what each queue may hold in any case, not counted
	shareChunk = 64 << 10 // what is counted at a time, so that few packets touch the counter
)

// limit is how much one queue may hold now, at most most.
func (s *share) limit(most int) int {
	return int(max(shareFloor, min(int64(most), s.total-s.used.Load())))
}

// count enters that a queue now holds so many bytes; counted is what has been
// entered for it before, and the result what is now.
func (s *share) count(counted, bytes int) int {
	now := 0
	if bytes > shareFloor {
		now = (bytes - shareFloor + shareChunk - 1) / shareChunk * shareChunk
	}
	if now != counted {
		s.used.Add(int64(now - counted))
	}
	return now
}
