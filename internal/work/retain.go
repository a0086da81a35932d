package work

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// sweepPause is the time between two looks at what is to be released by itself.
const sweepPause = time.Minute

// retain releases units that their work types do not keep any longer, until ctx
// ends.
func (m *Manager) retain(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-m.sweeper:
		case <-ctx.Done():
			return
		}
		m.sweep(ctx, time.Now())
		timer.Reset(m.types.Load().sweepPause())
	}
}

// sweepPause is shorter for types that keep their units for less than that.
func (ts *types) sweepPause() time.Duration {
	pause := sweepPause
	for _, c := range ts.byName {
		if c.KeepFor > 0 {
			pause = min(pause, max(c.KeepFor/2, time.Second))
		}
	}
	return pause
}

// past is a unit that has ended.
type past struct {
	u     *unit
	ended time.Time
}

// sweep releases what is not kept at that time. Units that stand for work on
// other nodes belong to no type here, and are never released by themselves. One
// whose output somebody reads is left for the next sweep.
func (m *Manager) sweep(ctx context.Context, now time.Time) {
	ts := m.types.Load()
	kept := make(map[*Command][]past)
	for _, c := range ts.byName {
		if c.KeepFor > 0 || c.KeepCount > 0 {
			kept[c] = nil
		}
	}
	if len(kept) == 0 {
		return
	}
	for _, u := range m.all() {
		if u.kind != command {
			continue
		}
		u.mu.Lock()
		c := ts.byName[u.rec.WorkType]
		_, limited := kept[c]
		if limited && u.rec.State.Ended() && u.live == nil && !u.removed {
			kept[c] = append(kept[c], past{u, u.rec.Ended})
		}
		u.mu.Unlock()
	}
	for c, units := range kept {
		old := c.outdated(units, now)
		released := 0
		for _, p := range old {
			if ctx.Err() != nil {
				return
			}
			if m.releaseOld(p.u) {
				released++
			}
		}
		if released > 0 {
			m.c.Logger.Info("old units released", "worktype", c.WorkType, "units", released, "left", len(units)-released,
				"keepfor", c.KeepFor, "keepcount", c.KeepCount)
		}
	}
}

// outdated returns those of a type's ended units that are not kept.
func (c *Command) outdated(units []past, now time.Time) []past {
	var old, rest []past
	for _, p := range units {
		if c.KeepFor > 0 && now.Sub(p.ended) >= c.KeepFor {
			old = append(old, p)
		} else {
			rest = append(rest, p)
		}
	}
	if c.KeepCount > 0 && len(rest) > c.KeepCount {
		slices.SortFunc(rest, func(a, b past) int {
			return cmp.Or(b.ended.Compare(a.ended), cmp.Compare(a.u.id, b.u.id))
		})
		old = append(old, rest[c.KeepCount:]...)
	}
	return old
}

// releaseOld drops a unit unless somebody reads it.
func (m *Manager) releaseOld(u *unit) bool {
	dropped, err := m.dropIf(u, func() bool { return u.readers == 0 && u.rec.State.Ended() })
	if err != nil {
		m.c.Logger.Error("old unit could not be deleted", "unit", u.id, "err", err)
	}
	return dropped
}

// takeUp reads units again whose work type was unknown, and is known now.
func (m *Manager) takeUp() {
	ts := m.types.Load()
	for _, u := range m.all() {
		if u.kind != foreign {
			continue
		}
		u.mu.Lock()
		known := ts.byName[u.rec.WorkType] != nil && u.rec.State != controlproto.Failed && !u.removed
		u.mu.Unlock()
		if known {
			m.reload(u)
		}
	}
}

// reload replaces a foreign unit by what its directory says now.
func (m *Manager) reload(old *unit) {
	u := m.loadUnit(old.id)
	if u == nil || u.kind == foreign {
		return
	}
	old.saveMu.Lock() // a release goes first, or finds the new one
	old.mu.Lock()
	gone := old.removed
	old.removed = true // its followers end
	old.wakeLocked()
	old.mu.Unlock()
	old.saveMu.Unlock()
	if gone {
		return
	}
	m.mu.Lock()
	if m.units[old.id] == old {
		m.units[old.id] = u
	}
	m.mu.Unlock()
	m.c.Logger.Info("unit taken up, its work type is known now", "unit", u.id)
	if u.live == nil {
		return
	}
	switch u.kind {
	case command:
		if m.resumeCommand(u) {
			m.admit(u)
		}
	case remote:
		m.resumeRemote(u)
	}
}
