package supervise

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// settle records the end of a command that nobody else records, and gives it as it is to be told. It fails with ctx only.
func settle(ctx context.Context, dir string, e Exit) (Exit, error) {
	h, err := readHistory(dir)
	if err == nil && h.terms.judged() {
		if h.terms.Stream && h.fed == nil {
			addExited(dir, e) // should we not come to the end of this; if it fails, the next one does not know
			if h = awaitFed(ctx, dir); h.fed == nil && ctx.Err() != nil {
				return Exit{}, ctx.Err() // the next one comes to the end of it
			}
		}
		e = h.verdict(dir, e)
	}
	addExit(dir, e) // if it fails, whoever asks later will not know; those who listen now do
	return e, nil
}

// awaitFed waits until the feeder of a command that has ended has noticed, or is gone, and gives what the journal says then. It
// gives up with ctx.
func awaitFed(ctx context.Context, dir string) history {
	deadline := time.Now().Add(feedPatience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		h, err := readHistory(dir)
		gone := h.feeder != nil && !h.feeder.Alive()
		if gone && h.fed == nil {
			h, err = readHistory(dir) // it may have written right before its end
		}
		if err == nil && (gone || h.fed != nil) || !sleep(ctx, pause) {
			return h
		}
		if time.Now().After(deadline) {
			if h.feeder != nil {
				killProcess(*h.feeder) // it has nobody to feed
			}
			return h
		}
	}
}

// killProcess kills the very process that p identifies, if it still runs.
func killProcess(p Process) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if p.Alive() { // so it is what was opened
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}
