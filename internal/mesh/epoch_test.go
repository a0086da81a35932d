package mesh

import (
	"testing"
	"time"
)

// TestEpochGrowsWithinASecond holds that a node that is started again at once is
// newer than its predecessor, and that the second is where others expect it.
func TestEpochGrowsWithinASecond(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	last := newEpoch(start) - 1
	for _, after := range []time.Duration{0, time.Microsecond, 100 * time.Millisecond, time.Second - time.Microsecond, time.Second} {
		epoch := newEpoch(start.Add(after))
		if epoch <= last {
			t.Errorf("epoch %d after %v, %d before", epoch, after, last)
		}
		if want := uint64(start.Add(after).Unix()); epoch>>24 != want {
			t.Errorf("second %d, want %d", epoch>>24, want)
		}
		last = epoch
	}
}
