package work

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// keepDelay is how long a change of a unit's status may wait for its way to the
// disk. What it costs at a crash is nothing: receipt and supervisor know better.
// What it saves is most of the writes of units that end at once.
const keepDelay = 100 * time.Millisecond

// keeper writes status files in the background, each unit at most once per
// keepDelay, and syncs those of units that have ended. Its queue holds a unit
// once, so it is bounded by their number.
type keeper struct {
	m    *Manager
	wake chan struct{} // 1

	mu    sync.Mutex
	units []*unit // guarded by mu
}

func newKeeper(m *Manager) *keeper { return &keeper{m: m, wake: make(chan struct{}, 1)} }

// later has u saved soon.
func (k *keeper) later(u *unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	k.laterLocked(u)
}

// laterLocked is later with u.mu held.
func (k *keeper) laterLocked(u *unit) {
	if u.unsaved {
		return
	}
	u.unsaved = true
	k.mu.Lock()
	k.units = append(k.units, u)
	k.mu.Unlock()
	poke(k.wake)
}

// run saves until ctx ends, and then what is left.
func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.wake:
		case <-ctx.Done():
			k.flush()
			return
		}
		timer.Reset(keepDelay)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		k.flush()
	}
}

func (k *keeper) flush() {
	k.mu.Lock()
	units := k.units
	k.units = nil
	k.mu.Unlock()
	var ended []syncRequest
	for _, u := range units {
		u.mu.Lock()
		u.unsaved = false
		final, runs := u.rec.State.Ended(), u.growsLocked()
		u.mu.Unlock()
		wrote, err := u.saveNewer(k.m.store)
		if err != nil {
			k.m.c.Logger.Error("status of a unit could not be saved", "unit", u.id, "err", err)
			k.again(u)
			continue
		}
		switch {
		case wrote && final:
			ended = append(ended, syncRequest{id: u.id, files: []string{fileStatus, fileStdout}})
		case wrote && runs: // after a power cut it must not run again
			ended = append(ended, syncRequest{id: u.id, files: []string{fileProcess}})
		}
	}
	if len(ended) > 0 {
		k.m.store.sync.commit(ended)
	}
}

// again keeps a unit whose saving failed for the next flush.
func (k *keeper) again(u *unit) {
	u.mu.Lock()
	u.unsaved = true
	u.mu.Unlock()
	k.mu.Lock()
	k.units = append(k.units, u)
	k.mu.Unlock()
	time.AfterFunc(time.Second, func() { poke(k.wake) })
}

// moved is called after a change: it logs it and has it saved.
func (m *Manager) moved(u *unit) {
	m.keep.later(u)
	u.mu.Lock()
	state, detail := u.rec.State, u.rec.Detail
	u.mu.Unlock()
	level := slog.LevelDebug
	if state.Ended() {
		level = slog.LevelInfo
	}
	m.c.Logger.Log(context.Background(), level, "unit changed", "unit", u.id, "state", state.String(), "cause", detail)
}
