package work

import (
	"strconv"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// The Details of the states (spec work 4); clients print them.
const (
	detailCreated   = "Unit Created"
	detailWaiting   = "Waiting for Input Data"
	detailStarting  = "Starting Worker"
	detailCanceled  = "Canceled"
	detailLocally   = "Locally Cancelled"
	detailGone      = "Remote work unit is gone"
	detailBroken    = "Error reading input data: the daemon was restarted"
	detailPending   = "Pending at restart"
	detailNotBefore = "Failed to restart: remote work had not previously started"
)

// maxDetail is the longest Detail in bytes: some quote another node, which may say
// anything. It is the most that the supervisor's have.
const maxDetail = 8 << 10

// keepSize in a change leaves the size of the output as it is.
const keepSize = -1

// change is what happened to a unit.
type change struct {
	state  controlproto.State
	detail string
	size   int64 // of the output, or keepSize

	stderr *int64    // size of the separate error output; nil leaves it
	exit   *int      // with a final state: exit code of a command that ended by itself
	at     time.Time // with a final state: when it was reached; zero: now
}

// The changes, by cause.

func waiting() change {
	return change{state: controlproto.Pending, detail: detailWaiting, size: keepSize}
}
func starting() change {
	return change{state: controlproto.Pending, detail: detailStarting, size: keepSize}
}
func running(pid int) change {
	return change{state: controlproto.Running, detail: "Running: PID " + strconv.Itoa(pid), size: keepSize}
}
func failed(detail string) change {
	return change{state: controlproto.Failed, detail: detail, size: keepSize}
}
func canceled(size int64) change {
	return change{state: controlproto.StateCanceled, detail: detailCanceled, size: size}
}

// step is the one function that moves a unit; the diagram is in the package
// comment. moved tells that the record differs from before; a change that comes
// too late, twice or out of order moves nothing.
func (r record) step(c change) (next record, moved bool) {
	if r.State.Ended() {
		return r, false
	}
	switch c.state {
	case controlproto.Pending:
		if r.State != controlproto.Pending {
			return r, false
		}
	case controlproto.Running, controlproto.Succeeded, controlproto.Failed, controlproto.StateCanceled:
	default:
		return r, false // a number that another node made up
	}
	next = r
	next.State, next.Detail = c.state, controlproto.Clip(c.detail, maxDetail)
	if c.size != keepSize {
		next.StdoutSize = c.size
	}
	errGrew := c.stderr != nil && (r.StderrSize == nil || *r.StderrSize != *c.stderr)
	if errGrew {
		next.StderrSize = c.stderr
	}
	if c.state.Ended() {
		next.ExitCode, next.Ended = c.exit, c.at.UTC().Truncate(time.Microsecond)
	}
	return next, errGrew || next.State != r.State || next.Detail != r.Detail || next.StdoutSize != r.StdoutSize
}
