package work

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// What holds a remote unit up is shown behind its Detail while it lasts. It is
// never on disk, so what a restarted daemon shows is what it has seen itself.

// silenceShown is after how long without a sign of a node the Details of its
// units say so.
const silenceShown = 5 * time.Second

// remarkTime is how a moment is written in a Detail.
const remarkTime = "Mon Jan 2 15:04:05"

// maxRemark is how much of a reason is shown, in bytes: it may be in the words of
// another node.
const maxRemark = 1 << 10

// silence is since when, and why, a node cannot be reached.
type silence struct {
	node    string
	since   time.Time // zero: it can be
	why     string
	never   bool // it was last heard of by an earlier daemon, if at all
	refuses bool // it answers, but will not do what it is asked
	mute    bool // refuses, on this side: what it is to be asked cannot be signed
}

// text is empty as long as nobody needs to worry.
func (s silence) text() string {
	if s.since.IsZero() || time.Since(s.since) < silenceShown {
		return ""
	}
	at := s.since.Format(remarkTime)
	switch {
	case s.mute:
		return fmt.Sprintf("node %s cannot be asked since %s: %s", s.node, at, s.why)
	case s.refuses:
		return fmt.Sprintf("node %s refuses since %s: %s", s.node, at, s.why)
	case s.never:
		return fmt.Sprintf("node %s not heard of since this daemon tried first, %s: %s", s.node, at, s.why)
	}
	return fmt.Sprintf("node %s not heard of since %s: %s", s.node, at, s.why)
}

// stuck is what of a remote unit cannot be stored on this node; nil what can.
type stuck struct{ output, status *storeError }

// storeError says that something of a remote unit cannot be stored on this node.
// Nothing is lost by that, the other node has it.
type storeError struct {
	what    string // "output" or "status"
	opening bool   // its file cannot even be opened
	err     error
}

func (e *storeError) Unwrap() error { return e.err }

func (e *storeError) Error() string {
	err := e.err
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return e.what + " cannot be stored here: " + err.Error()
}

// remarkLocked is what is added to the Detail of a remote unit.
func (u *unit) remarkLocked() string {
	l := u.live
	if l == nil || u.far == nil {
		return ""
	}
	var parts []string
	if text := l.heard.text(); text != "" {
		switch {
		case u.far.LocalReleased:
			parts = append(parts, "release pending")
		case u.far.LocalCancelled && !u.rec.State.Ended():
			parts = append(parts, "cancel pending")
		}
		parts = append(parts, text)
	}
	for _, e := range []*storeError{l.stuck.output, l.stuck.status} {
		if e != nil {
			parts = append(parts, e.Error())
		}
	}
	if l.awaits && u.rec.State == controlproto.Pending {
		parts = append(parts, "node "+u.far.RemoteNode+" cannot read a payload while it is sent: it gets the unit when the payload is complete")
	}
	if l.fed != "" && l.heard.since.IsZero() {
		parts = append(parts, "the payload cannot be handed on: "+l.fed)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// stored notes that the unit's status could be saved, or why not.
func (u *unit) stored(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live == nil || u.far == nil {
		return
	}
	if u.live.stuck.status = nil; err != nil {
		u.live.stuck.status = &storeError{what: "status", err: err}
	}
}
