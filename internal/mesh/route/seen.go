package route

import (
	"encoding/binary"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// seen remembers update IDs for SeenFor at least and twice as long at most, in
// two generations of at most maxSeen entries. If a generation fills up early,
// the older one goes early: then an old copy costs a decoding, and its sequence
// number gives it away.
type seen struct {
	young, old map[uint64]struct{}
	since      time.Time // when young was begun
}

// seenKey packs an ID into 64 bits: the usual eight characters as they are, all
// others by their hash.
func seenKey(id []byte) uint64 {
	if len(id) == 8 {
		return binary.BigEndian.Uint64(id)
	}
	return uint64(wire.NodeID(id).Hash())
}

func (s *seen) has(key uint64) bool {
	if _, ok := s.young[key]; ok {
		return true
	}
	_, ok := s.old[key]
	return ok
}

func (s *seen) add(now time.Time, key uint64) {
	if s.young == nil || len(s.young) >= maxSeen || now.Sub(s.since) >= SeenFor {
		s.old, s.young, s.since = s.young, make(map[uint64]struct{}), now
	}
	s.young[key] = struct{}{}
}

func (s *seen) len() int { return len(s.young) + len(s.old) }
