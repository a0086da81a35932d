package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Config says where the supervisor of a node is to be found, and how to start it.
type Config struct {
	// Dir holds the socket, the lock and the log of the supervisor. It is made with mode 0700 when needed and
	// must belong to the user of the daemon. It may be as deep as the file system allows. Required.
	Dir string
	// Argv starts a supervisor: the executable and the words that make it call Main, for example
	// {"/usr/bin/receptor", "supervise"}. The flags that Main needs are added. Required on Linux, unused elsewhere.
	Argv []string
	// Env is the environment of the commands and of the supervisor; nil means that of the daemon.
	Env []string
	// Idle is how long a supervisor without commands waits for a daemon before it ends. 0 means DefaultIdle.
	Idle time.Duration
	// Logger gets what operators should know; nil means none.
	Logger *slog.Logger
}

// Job is one command to run, once. Its files are in UnitDir: standard input is read from "stdin", which must exist;
// standard output and standard error are appended to "stdout" through one file description, unless Stderr says otherwise. The command gets
// the daemon's environment (Config.Env) and working directory, its own session and process group, and no other descriptors.
type Job struct {
	Unit    string // key of the job, unique for the node; at most MaxUnit bytes
	UnitDir string // directory of the unit, which must exist
	Command string // program; looked up in PATH when it has no slash
	Args    []string

	// Stderr has standard error appended to "stderr" in UnitDir (made with mode 0600 when needed) instead of "stdout".
	Stderr bool
	// Stream says that "stdin" still grows: the command reads it as it comes, from a pipe, and
	// to its end once "stdin.end" is there, which holds its final size in decimal and a newline. If the input breaks off, Exit has Trouble.
	Stream bool
	// MaxRuntime ends the command when it has run for so long, by the signals of Stop; 0: no limit.
	MaxRuntime time.Duration
	// MaxOutput ends the command when its output, error output included, has become larger than so many bytes; 0: no limit. What is
	// written until that is noticed (some 100 ms) stays. One that goes on writing after the interrupt is killed at once.
	MaxOutput int64
	// Grace is the time between the two signals of a stop by a limit; 0: 10 s.
	Grace time.Duration
	// Unsynced starts the command without waiting for the disk: faster, and one that was started right before a power cut may
	// be taken for one that was not, and run again.
	Unsynced bool
}

// Process is the identity of a process: its number alone may be used again. The zero value is no process.
type Process struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"start"`          // Linux: clock ticks since boot; elsewhere an absolute time in the system's own unit
	Boot      string `json:"boot,omitempty"` // Linux: the boot during which it ran; empty elsewhere
}

// Exit is how a command ended, or that it could not be started.
type Exit struct {
	Code    int       `json:"code"`             // exit code; -1 if a signal ended it, if it was not started, or if it is not known
	Signal  string    `json:"signal,omitempty"` // the signal that ended it in the words of Detail, e.g. "killed"; else empty
	Detail  string    `json:"detail"`           // for people: "exit status 0", "signal: killed", or why it was not started or is not known
	Started bool      `json:"started"`          // false: the command never ran
	Known   bool      `json:"known"`            // false: it has ended, but how was not seen; Code and Signal say nothing
	Ended   time.Time `json:"ended"`            // when the end was seen
	// Trouble says, for people, why the command has not succeeded even if it exited with 0: a limit ended it, or its streamed input broke off. Detail has
	// the same text then, and how the command ended.
	Trouble string `json:"trouble,omitempty"`
}

// Succeeded tells whether the command ran, ended with exit code 0, and had no Trouble.
func (e Exit) Succeeded() bool { return e.Started && e.Known && e.Code == 0 && e.Trouble == "" }

// Event is something that happened to a command. Exactly one of Process (it runs) and Exit (it has ended) is set.
type Event struct {
	Unit    string
	Process *Process
	Exit    *Exit
}

// StartError says that a command has not been started and never will be: the program does not exist, its arguments
// are too long, its standard input is missing. It is recorded like an exit.
type StartError struct{ Detail string }

// Error is the text for the unit's Detail, nothing added.
func (e *StartError) Error() string { return e.Detail }

// ErrClosed is returned by the methods of a Client whose Run has ended.
var ErrClosed = errors.New("supervise: client is closed")

func checkUnit(unit string) error {
	if unit == "" || len(unit) > MaxUnit || strings.ContainsFunc(unit, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
		return fmt.Errorf("supervise: %q is not the key of a unit (1 to %d bytes of UTF-8)", unit, MaxUnit)
	}
	return nil
}

// poke fills a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
