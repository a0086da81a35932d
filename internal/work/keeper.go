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

	failing map[*unit]bool // whose status could not be saved, and that was logged; of run
}

func newKeeper(m *Manager) *keeper {
	return &keeper{m: m, wake: make(chan struct{}, 1), failing: make(map[*unit]bool)}
}

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

// keepRetry is how long a status that could not be saved waits for the next
// attempt, for example until a full disk has room again.
const keepRetry = time.Second

// run saves until ctx ends, and then what is left.
func (k *keeper) run(ctx context.Context) {
	timer, retry := time.NewTimer(0), time.NewTimer(0)
	defer timer.Stop()
	defer retry.Stop()
	for {
		select {
		case <-k.wake:
		case <-retry.C:
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
		if len(k.failing) > 0 {
			retry.Reset(keepRetry)
		}
	}
}

// flush saves what is to be saved, and what could not be.
func (k *keeper) flush() {
	k.mu.Lock()
	units := k.units
	k.units = nil
	k.mu.Unlock()
	for u := range k.failing {
		u.mu.Lock()
		if !u.unsaved { // else it is among them
			units = append(units, u)
		}
		u.mu.Unlock()
	}
	var ended []syncRequest
	for _, u := range units {
		u.mu.Lock()
		u.unsaved = false
		final, runs, apart := u.rec.State.Ended(), u.growsLocked(), u.rec.StderrSize != nil
		u.mu.Unlock()
		wrote, err := u.saveNewer(k.m.store)
		u.stored(err)
		if err != nil {
			if !k.failing[u] {
				k.failing[u] = true
				k.m.c.Logger.Error("status of a unit could not be saved; it is tried again until it can", "unit", u.id, "err", err)
			}
			continue
		}
		if k.failing[u] {
			delete(k.failing, u)
			if wrote {
				k.m.c.Logger.Info("status of a unit is saved now", "unit", u.id)
			}
		}
		switch {
		case wrote && final && apart:
			ended = append(ended, syncRequest{id: u.id, files: []string{fileStatus, fileStdout, fileStderr}})
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

// moved is called after a change: it logs it and has it saved.
func (m *Manager) moved(u *unit) {
	m.keep.later(u)
	u.mu.Lock()
	state, detail := u.rec.State, u.rec.Detail
	u.mu.Unlock()
	if u.kind == command && state.Ended() {
		m.leave(u)
	}
	level := slog.LevelDebug
	if state.Ended() {
		level = slog.LevelInfo
	}
	m.c.Logger.Log(context.Background(), level, "unit changed", "unit", u.id, "state", state.String(), "cause", detail)
}
