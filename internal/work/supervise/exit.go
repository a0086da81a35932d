package supervise

import "time"

// Details of ends that nobody saw.
const (
	detailGone     = "the command ended while nothing watched it; its exit status is not known"
	detailUnseen   = "the command was watched to its end, but its exit status is not known: the process that started it is gone"
	detailBoot     = "the machine was restarted while the command ran; its exit status is not known"
	detailStarting = "the supervisor was lost while it started the command; whether the command ran is not known"
	detailNever    = "the command was never started"
)

// unknownExit is the end of a command that nobody saw.
func unknownExit(detail string, now time.Time) Exit {
	return Exit{Code: -1, Detail: detail, Started: true, Ended: now}
}

// notStarted is the end of a command that could not be started.
func notStarted(detail string, now time.Time) Exit {
	return Exit{Code: -1, Detail: clip(detail), Known: true, Ended: now}
}
