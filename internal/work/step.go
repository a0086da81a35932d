package work

import (
	"strconv"

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
	detailPending   = "Pending at restart"
	detailNotBefore = "Failed to restart: remote work had not previously started"
)

// keepSize in a change leaves the size of the output as it is.
const keepSize = -1

// change is what happened to a unit.
type change struct {
	state  controlproto.State
	detail string
	size   int64 // of the output, or keepSize
}

// The changes, by cause.

func waiting() change  { return change{controlproto.Pending, detailWaiting, keepSize} }
func starting() change { return change{controlproto.Pending, detailStarting, keepSize} }
func running(pid int) change {
	return change{controlproto.Running, "Running: PID " + strconv.Itoa(pid), keepSize}
}
func failed(detail string) change { return change{controlproto.Failed, detail, keepSize} }
func canceled(size int64) change {
	return change{controlproto.StateCanceled, detailCanceled, size}
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
	next.State, next.Detail = c.state, c.detail
	if c.size != keepSize {
		next.StdoutSize = c.size
	}
	return next, next.State != r.State || next.Detail != r.Detail || next.StdoutSize != r.StdoutSize
}
