package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// defaultGrace is Job.Grace if that is 0.
const defaultGrace = 10 * time.Second

// terms are what whoever looks after a command must know of its Job; the zero value asks for nothing. They are members of the
// request start and of the journal.
type terms struct {
	Stderr       bool  `json:"stderr,omitempty"`
	Stream       bool  `json:"stream,omitempty"`
	MaxRuntimeMS int64 `json:"maxruntime_ms,omitempty"`
	MaxOutput    int64 `json:"maxoutput,omitempty"`
	LimitGraceMS int64 `json:"limit_grace_ms,omitempty"` // with a limit only
}

func termsOf(j Job) terms {
	t := terms{
		Stderr: j.Stderr, Stream: j.Stream, MaxOutput: max(j.MaxOutput, 0),
		MaxRuntimeMS: int64((max(j.MaxRuntime, 0) + time.Millisecond - 1) / time.Millisecond),
	}
	if t.limited() {
		grace := j.Grace
		if grace <= 0 {
			grace = defaultGrace
		}
		t.LimitGraceMS = min(grace, maxGrace).Milliseconds()
	}
	return t
}

// limited tells whether the command has a limit.
func (t terms) limited() bool { return t.MaxRuntimeMS > 0 || t.MaxOutput > 0 }

// judged tells whether the end of the command is not simply its exit status.
func (t terms) judged() bool { return t.Stream || t.limited() }

func (t terms) maxRuntime() time.Duration { return time.Duration(t.MaxRuntimeMS) * time.Millisecond }

func (t terms) grace() time.Duration {
	return min(max(time.Duration(t.LimitGraceMS)*time.Millisecond, 0), maxGrace)
}

// Abilities that a supervisor tells in its hello.
const (
	canStderr = "stderr"
	canStream = "stream"
	canLimits = "limits"
)

// needs are the abilities without which a command must not be started.
func (t terms) needs() []string {
	var l []string
	if t.Stderr {
		l = append(l, canStderr)
	}
	if t.Stream {
		l = append(l, canStream)
	}
	if t.limited() {
		l = append(l, canLimits)
	}
	return l
}

// Ends of a feed, fed.How.
const (
	fedAll    = "all"    // the command has been given all of its input
	fedClosed = "closed" // the command closed its end, or ended, before
	fedBroken = "broken" // it could not be given the rest, and saw an end that was none
)

// fed is how the feed of a streamed command ended.
type fed struct {
	Bytes int64  `json:"bytes"` // that the command got; with fedAll those in its pipe included
	How   string `json:"how"`
	Cause string `json:"cause,omitempty"` // with fedBroken, for people
}

// verdict is the end of a command that ended as e says, with what its journal says about limits and input. It must be applied once.
func (h history) verdict(unitDir string, e Exit) Exit {
	trouble := h.limit
	if trouble == "" && h.terms.Stream && e.Started {
		switch {
		case h.fed != nil && h.fed.How == fedBroken:
			trouble = fmt.Sprintf("its input broke off: it got %d of %s: %s", h.fed.Bytes, inputSize(unitDir), h.fed.Cause)
		case h.fed == nil && e.Known: // if not, that says more
			trouble = fmt.Sprintf("its input broke off: it got an unknown part of %s: the process that fed it is gone", inputSize(unitDir))
		}
	}
	if trouble != "" {
		e.Trouble = clip(trouble)
		e.Detail = clip(trouble + "; " + e.Detail)
	}
	return e
}

// inputSize says, for people, how large the input of a streamed command is.
func inputSize(unitDir string) string {
	if size, err := readEnd(unitDir); err == nil {
		return fmt.Sprintf("%d bytes", size)
	}
	fi, err := os.Stat(filepath.Join(unitDir, stdinName))
	if err != nil {
		return "its input"
	}
	return fmt.Sprintf("the %d bytes that had come", fi.Size())
}

// readEnd reads the final size of a streamed input. The error is fs.ErrNotExist as long as it grows.
func readEnd(unitDir string) (int64, error) {
	name := filepath.Join(unitDir, stdinEndName)
	b, err := readBounded(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fs.ErrNotExist
	}
	if err != nil {
		return 0, err
	}
	return ParseEnd(b)
}

// ParseEnd decodes what "stdin.end" in the directory of a unit holds: the final size of a streamed input.
func ParseEnd(b []byte) (int64, error) {
	digits, complete := strings.CutSuffix(string(b), "\n")
	size, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !complete || size < 0 || strconv.FormatInt(size, 10) != digits {
		return 0, fmt.Errorf("%s does not hold a size: %q", stdinEndName, b[:min(len(b), 40)])
	}
	return size, nil
}
