//go:build soak && unix

package soak

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// unit is what the test knows of one unit, and what may become of it.
type unit struct {
	n                   int
	kind                string
	arg                 int
	size                int  // of the payload, kinds cat, two and head
	errors              int  // lines of error output, kind two
	separate            bool // error output is kept apart
	stream              bool // the payload comes while the command runs
	submitter, executor string
	chosen              bool // the test chose the id, and so may repeat the submission
	mark                string
	seed                [32]byte
	plan                plan
	began               time.Time // of the test

	mu       sync.Mutex
	history  []string
	id       string
	accepted bool // the submission was answered as accepted, or a streamed one as begun
	fed      bool // the end of a streamed payload was answered
	received int64
	adopted  string // the id that it has on the adopter
	canceled bool   // somebody asked for its end
	released bool   // somebody asked for its release
	forced   bool   // with force
	doomed   bool   // its command was killed with all of its node
	orphaned bool   // its supervisor was killed alone
	excuse   string
}

// plan is what is done to a unit once it was submitted; zero times: not at all.
type plan struct {
	follow                 bool
	cancel, release, force time.Duration // after it was accepted
	early                  bool          // cancel is counted from the submission's begin
	adopter                string        // the node that adopts it; empty: none
	adopt                  time.Duration // after it was accepted
	pace                   time.Duration // from one piece of a streamed payload to the next
}

// newUnit draws a unit.
func newUnit(r *rand.Rand, seed uint64, n int, m *mesh, began time.Time) *unit {
	u := &unit{n: n, began: began, seed: sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, n))}
	u.mark = filepath.Join(m.marks, fmt.Sprintf("u%06d", n))
	u.submitter = m.work[max(0, r.IntN(6)-3)]
	u.executor = m.work[r.IntN(3)]
	u.chosen = r.IntN(4) > 0
	if u.chosen {
		u.id = fmt.Sprintf("S%07d", n)
	}
	u.separate = r.IntN(3) == 0
	payload := func(bits int) {
		if u.size = 1 << r.IntN(bits); u.size == 1 {
			u.size = 0
		} else {
			u.size -= r.IntN(u.size / 2)
		}
	}
	switch k := r.IntN(30); {
	case k < 6:
		u.kind, u.arg = "echo", n
	case k < 10:
		u.kind = "cat"
		payload(24)
	case k < 14:
		u.kind, u.stream = "cat", true
		payload(21)
	case k < 15:
		u.kind, u.stream = "head", true
		payload(18)
		u.arg = r.IntN(u.size + 1)
	case k < 17:
		u.kind, u.separate, u.stream, u.errors = "two", true, r.IntN(2) == 0, r.IntN(1<<r.IntN(19))
		payload(21)
	case k < 20:
		u.kind, u.arg = "trickle", 1+r.IntN(40)
	case k < 23:
		u.kind, u.arg = "both", 1+r.IntN(60)
	case k < 25:
		u.kind, u.arg = "fail", 1+r.IntN(100)
	case k < 28:
		// Without the limit more would run at a time, with it they are all done soon after.
		u.kind, u.arg, u.executor = "few", 1+r.IntN(8), m.work[1]
	default:
		u.kind = "nap"
	}
	soon := func() time.Duration { return time.Duration(1 + r.IntN(5000)*int(time.Millisecond)) }
	u.plan.follow = r.IntN(3) == 0
	switch p := r.IntN(20); {
	case p < 3 || u.kind == "nap" && p < 14:
		u.plan.cancel, u.plan.early = soon(), p == 0 && u.chosen
	case p < 16:
	case p < 19:
		u.plan.release = soon()
	default:
		u.plan.force = soon()
	}
	u.plan.pace = time.Duration(r.IntN(400)) * time.Millisecond
	if u.plan.release == 0 && u.plan.force == 0 && r.IntN(5) == 0 {
		for u.plan.adopter == "" || u.plan.adopter == u.submitter || u.plan.adopter == u.executor {
			u.plan.adopter = m.work[r.IntN(3)]
		}
		u.plan.adopt = soon()
	}
	return u
}

func (u *unit) workType() string {
	if u.kind == "few" {
		return "few"
	}
	return "job"
}

func (u *unit) stderr() string {
	if u.separate {
		return controlproto.StderrSeparate
	}
	return ""
}

func (u *unit) params() map[string]string {
	return map[string]string{"params": fmt.Sprintf("%s %s %d %s %d %d", u.mark, u.kind, u.arg, u.executor, u.errors, maxFew)}
}

func (u *unit) payload() []byte {
	data := make([]byte, u.size)
	rand.NewChaCha8(u.seed).Read(data)
	return data
}

// output is what the command prints if nothing stops it; errs is empty unless it
// is kept apart.
func (u *unit) output() (out, errs []byte) {
	e := &out
	if u.separate {
		e = &errs
	}
	switch u.kind {
	case "echo":
		out = fmt.Appendf(nil, "unit %d says hello\n", u.arg)
	case "cat":
		out = u.payload()
	case "head":
		out = u.payload()[:u.arg]
	case "two":
		out = u.payload()
		for i := range u.errors {
			errs = fmt.Appendf(errs, "%d\n", i+1)
		}
	case "trickle":
		for i := range u.arg {
			out = fmt.Appendf(out, "line %d\n", i)
		}
	case "both":
		for i := range u.arg {
			out = fmt.Appendf(out, "line %d\n", i)
			*e = fmt.Appendf(*e, "error %d\n", i)
		}
	case "fail":
		out = fmt.Appendf(nil, "fails with %d\n", u.arg)
		*e = append(*e, "on purpose\n"...)
	case "nap":
		out = []byte("napping\n")
	}
	return out, errs
}

// node is how the unit's executor is named in its submission.
func (u *unit) node() string {
	if u.executor == u.submitter {
		return "localhost"
	}
	return u.executor
}

func (u *unit) note(format string, args ...any) {
	line := fmt.Sprintf("%9.3fs ", time.Since(u.began).Seconds()) + fmt.Sprintf(format, args...)
	u.mu.Lock()
	u.history = append(u.history, line)
	u.mu.Unlock()
}

// set changes what is known of the unit.
func (u *unit) set(change func()) {
	u.mu.Lock()
	change()
	u.mu.Unlock()
}

func (u *unit) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	mark, _ := os.ReadFile(u.mark)
	return fmt.Sprintf("unit %d, id %q, %s %d (payload %d bytes, streamed %v; %d lines of errors, apart %v), %s -> %s, adopted as %q by %s, mark %q; excuse %q\n  %s",
		u.n, u.id, u.kind, u.arg, u.size, u.stream, u.errors, u.separate, u.submitter, u.executor, u.adopted, u.plan.adopter, mark, u.excuse,
		strings.Join(u.history, "\n  "))
}

// progress tells how far the command is: whether it began and ended, and when it said so last.
func (u *unit) progress() (began, ended bool, at time.Time) {
	text, err := os.ReadFile(u.mark)
	if err != nil {
		return false, false, time.Time{}
	}
	if info, err := os.Stat(u.mark); err == nil {
		at = info.ModTime()
	}
	return bytes.Contains(text, []byte("began")), bytes.Contains(text, []byte("ended")), at
}

// settled is how long after its last mark a command surely is known to run, or to have ended.
const settled = 2 * time.Second

// reason is what Detail says of a command that did not end by itself, or whose end nobody saw.
var reason = regexp.MustCompile(`^signal: killed$|not known|was not seen|is gone`)

// brokenOff is the Detail of a streamed unit whose submitter went away.
var brokenOff = regexp.MustCompile(`^Error reading input data: `)

// wrong says what is wrong with the unit's final state and output, or nothing.
func (u *unit) wrong(s controlproto.UnitStatus, out, errs []byte) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	want, wantErrs := u.output()
	mark, _ := os.ReadFile(u.mark)
	whole := bytes.Equal(out, want) && bytes.Equal(errs, wantErrs)
	size := int64(0)
	if s.StderrSize != nil {
		size = *s.StderrSize
	}
	switch {
	case bytes.Contains(mark, []byte("over")):
		return fmt.Sprintf("more than %d units of its type ran at a time", maxFew)
	case s.StderrSize != nil && !u.separate:
		return "its error output is kept apart, but nobody wanted that"
	case int64(len(errs)) != size:
		return fmt.Sprintf("StderrSize %d, but %d bytes of error output", size, len(errs))
	case !bytes.HasPrefix(wantErrs, errs):
		return fmt.Sprintf("%d bytes of error output are not the beginning of the %d bytes of the command", len(errs), len(wantErrs))
	case s.Ended.IsZero():
		return "the time of its end is not known"
	case s.ExitCode != nil && s.State == controlproto.StateCanceled:
		return "it is canceled and has an exit code"
	case bytes.Count(mark, []byte("began")) > 1:
		return "its command ran twice"
	case !s.State.Ended():
		return "it has no final state"
	case int64(len(out)) != s.StdoutSize:
		return fmt.Sprintf("StdoutSize %d, but %d bytes of output", s.StdoutSize, len(out))
	case !bytes.HasPrefix(want, out):
		return fmt.Sprintf("%d bytes of output are not the beginning of the %d bytes of the command", len(out), len(want))
	case s.Detail == "":
		return "Detail is empty"
	}
	switch s.State {
	case controlproto.Succeeded:
		switch {
		case u.kind == "fail" || u.kind == "nap":
			return "a command that cannot succeed has succeeded"
		case u.doomed:
			return "it succeeded, but its command was killed"
		case !whole:
			return fmt.Sprintf("it succeeded with %d of %d bytes of output, %d of %d of error output", len(out), len(want), len(errs), len(wantErrs))
		case s.ExitCode == nil || *s.ExitCode != 0:
			return "it succeeded, but its exit code does not say so"
		case u.separate && s.StderrSize == nil:
			return "its error output should be kept apart"
		case string(mark) != "began\nended\n":
			return "it succeeded, but its command did not run once and to its end"
		}
		return ""
	case controlproto.StateCanceled:
		if !u.canceled {
			return "it is canceled, but nobody asked for that"
		}
		return ""
	}
	switch { // Failed
	case u.kind == "fail" && s.Detail == fmt.Sprintf("exit status %d", u.arg):
		if !whole {
			return fmt.Sprintf("it ended by itself with %d of %d bytes of output, %d of %d of error output", len(out), len(want), len(errs), len(wantErrs))
		}
		if s.ExitCode == nil || *s.ExitCode != u.arg {
			return "its exit code is not that of its command"
		}
		return ""
	case u.stream && !u.chosen && !u.fed && brokenOff.MatchString(s.Detail):
		return ""
	case u.canceled && s.Detail == "Locally Cancelled":
		return ""
	case u.doomed || u.excuse != "":
		if !reason.MatchString(s.Detail) {
			return "a fault failed it, but Detail does not say so"
		}
		return ""
	}
	return "it failed without a reason known to the test"
}
