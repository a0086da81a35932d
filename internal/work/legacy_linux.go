package work

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// legacyPoll is how often the status that a runner of the original writes is
// read; the runner writes it at the same pace.
const legacyPoll = 250 * time.Millisecond

// isLegacyRunner tells that pid is the original's runner of that very unit. The
// number alone says nothing: it may have been used again.
func isLegacyRunner(pid int, id string) bool {
	args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return false
	}
	runner, unit := false, false
	for arg := range bytes.SplitSeq(args, []byte{0}) {
		runner = runner || string(arg) == "--command-runner"
		unit = unit || bytes.HasPrefix(arg, []byte("unitdir=")) && bytes.HasSuffix(arg, []byte("/"+id))
	}
	return runner && unit
}

// watchLegacy follows a unit whose command belongs to a runner of the original:
// the runner writes the status file, and when it is gone the last word of it counts.
func (m *Manager) watchLegacy(u *unit, pid int) {
	tick := time.NewTicker(legacyPoll)
	defer tick.Stop()
	for alive := true; ; {
		r, err := m.loadStatus(u.id)
		u.mu.Lock()
		stop := u.live == nil || u.removed
		canceling := !stop && u.live.canceling
		u.mu.Unlock()
		switch {
		case stop:
			return
		case err == nil && r.State.Ended() && !(canceling && alive):
			m.commandEnded(u, change{state: r.State, detail: r.Detail, size: keepSize, exit: exitOf(r.State, r.Detail)})
			return
		case !alive:
			m.commandEnded(u, failed("the command's runner is gone, its end was not seen"))
			return
		case err == nil && u.move(change{state: r.State, detail: r.Detail, size: r.StdoutSize}, nil):
			// What is on disk is newer than what is here: it is not written back.
		}
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		alive = isLegacyRunner(pid, u.id)
	}
}

// stopLegacy has a runner of the original end its command: it interrupts it, and
// kills it after 10 s.
func (m *Manager) stopLegacy(u *unit, pid int) {
	if !isLegacyRunner(pid, u.id) {
		return
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		m.c.Logger.Error("runner could not be interrupted", "unit", u.id, "err", err)
	}
}
