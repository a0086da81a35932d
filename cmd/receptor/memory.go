package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Memory that is free but still held is given back to the system when it is more
// than spareMemory, and than spareShare of what is in use, at two looks in a row,
// spareInterval apart. The runtime would take minutes for that, or not do it at all.
const (
	spareInterval = 15 * time.Second
	spareMemory   = 8 << 20 // bytes
	spareShare    = 1. / 2
)

// returnMemory looks after that until ctx ends.
func returnMemory(ctx context.Context) {
	tick := time.NewTicker(spareInterval)
	defer tick.Stop()
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	for before := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		var n [4]uint64
		for i, s := range samples {
			if s.Value.Kind() == metrics.KindUint64 {
				n[i] = s.Value.Uint64()
			}
		}
		// Objects beyond those that were live at the last collection may be dead.
		spare := n[0] + n[1]
		if n[2] > n[3] {
			spare += n[2] - n[3]
		}
		if spare < max(spareMemory, uint64(spareShare*float64(n[3]))) {
			before = false
		} else if before = !before; !before {
			debug.FreeOSMemory()
		}
	}
}
