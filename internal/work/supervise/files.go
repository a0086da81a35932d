package supervise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Files of a unit that this package reads and writes; doc.go has the format of the last.
const (
	stdinName    = "stdin"
	stdinEndName = "stdin.end"
	stdoutName   = "stdout"
	stderrName   = "stderr"
	processName  = "process"
)

const recordVersion = 1

// States in a line of the process file.
const (
	stateClaimed  = "claimed"
	stateStarting = "starting"
	stateFeeding  = "feeding"
	stateStarted  = "started"
	stateLimit    = "limit"
	stateFed      = "fed"
	stateExited   = "exited"
	stateEnded    = "ended"
)

// errStarting says that a process file names no process: its writer was lost while it started the command.
var errStarting = errors.New("no process recorded")

// record is one line of a process file.
type record struct {
	V        int    `json:"v"`
	State    string `json:"state"`
	terms           // starting
	*Process        // feeding, started
	*Exit           // exited, ended
	In       string `json:"in,omitempty"`    // claimed: boot
	Limit    string `json:"limit,omitempty"` // limit
	Feed     *fed   `json:"feed,omitempty"`  // fed
}

// history is what a process file says.
type history struct {
	claimed  string // the boot during which a start was prepared
	starting bool   // a start was begun
	rebooted bool   // whether it was is not known, for the machine was restarted: counts as begun
	terms    terms
	feeder   *Process // the last that was started
	process  *Process
	limit    string // a limit was exceeded: which
	fed      *fed   // the feed has ended
	exited   *Exit  // the command has ended, and its end is to be judged
	exit     *Exit
}

// ReadProcess reads the identity that was recorded when the command of the unit was started. The error is
// fs.ErrNotExist if nobody ever began to start it; another if that was begun and no process was recorded, which happens
// only while it is being started, when it could not be started (then there is an exit), or when the supervisor was killed at that moment.
func ReadProcess(unitDir string) (Process, error) {
	h, err := readHistory(unitDir)
	switch {
	case err != nil:
		return Process{}, err
	case h.process != nil:
		return *h.process, nil
	case h.starting || h.exit != nil:
		return Process{}, fmt.Errorf("read %s: %w", filepath.Join(unitDir, processName), errStarting)
	}
	return Process{}, &fs.PathError{Op: "read", Path: filepath.Join(unitDir, processName), Err: fs.ErrNotExist}
}

// Prepared tells whether a start of the unit's command was prepared and not begun. A supervisor that lives may be about to begin it; one that was
// killed did not, and Start may be called again.
func Prepared(unitDir string) bool {
	h, err := readHistory(unitDir)
	return err == nil && h.prepared()
}

// ReadExit reads how the command of the unit ended. The error is fs.ErrNotExist if that is not recorded (yet).
func ReadExit(unitDir string) (Exit, error) {
	h, err := readHistory(unitDir)
	switch {
	case err != nil:
		return Exit{}, err
	case h.exit != nil:
		return *h.exit, nil
	}
	return Exit{}, &fs.PathError{Op: "read exit in", Path: filepath.Join(unitDir, processName), Err: fs.ErrNotExist}
}

func (h history) prepared() bool {
	return h.claimed != "" && !h.starting && h.process == nil && h.exit == nil
}

func readHistory(unitDir string) (history, error) {
	name := filepath.Join(unitDir, processName)
	b, err := readBounded(name)
	if err != nil {
		return history{}, err
	}
	h, err := parseHistory(b)
	if err != nil {
		return history{}, fmt.Errorf("read %s: %w", name, err)
	}
	if h.claimed != "" && !h.starting && h.claimed != bootID() {
		h.starting, h.rebooted = true, true // what followed was not on the disk
	}
	return h, nil
}

// parseHistory takes a process file apart. An incomplete last line is a write that a crash cut short, or that is
// being done: it counts as not there. Of two ends the first counts, as it does for those who were told.
func parseHistory(b []byte) (history, error) {
	var h history
	for {
		line, rest, complete := bytes.Cut(b, []byte{'\n'})
		if !complete {
			return h, nil
		}
		b = rest
		if len(line) == 0 {
			continue // ends a line that was cut short
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			continue // cut short, and others came after it
		}
		if r.V != recordVersion {
			return history{}, fmt.Errorf("version %d is not known", r.V)
		}
		switch {
		case r.State == stateClaimed:
			h.claimed = r.In
		case r.State == stateStarting:
			h.starting, h.terms = true, r.terms
		case r.State == stateFeeding && r.Process != nil && r.Process.possible():
			h.feeder = r.Process
		case r.State == stateLimit && h.limit == "":
			h.limit = r.Limit
		case r.State == stateFed && r.Feed != nil && h.fed == nil:
			h.fed = r.Feed
		case r.State == stateExited && r.Exit != nil && h.exited == nil:
			h.exited = r.Exit
		case r.State == stateStarted && r.Process != nil && r.Process.possible():
			h.process = r.Process
		case r.State == stateEnded && r.Exit != nil && h.exit == nil:
			h.exit = r.Exit
		}
	}
}

// possible tells whether a file may be believed that a command had this number. That of a larger one would be cut to
// 32 bits by the system, and signals go to the group of it: all processes are the group of one of them.
func (p Process) possible() bool { return p.PID > 1 && p.PID <= math.MaxInt32 }

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("read %s: longer than %d bytes", name, maxFile)
	}
	return b, nil
}

// journal is the process file of a unit, open for adding lines. It is what keeps a command from being started twice, also after a
// crash of whoever tried. Each line is one write to the end of the file, so lines of two writers do not mix.
type journal struct{ f *os.File }

// openJournal opens the process file, and makes it if need be.
func openJournal(unitDir string) (journal, error) {
	f, err := os.OpenFile(filepath.Join(unitDir, processName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return journal{f}, err
}

// claim opens the process file of a command that is to be started. fs.ErrExist: somebody got further than that, and the line claimed. Claims of the same
// unit exclude each other by other means: there is one supervisor, and it has one entry for each unit.
func claim(unitDir string) (journal, error) {
	j, err := openJournal(unitDir)
	if err != nil {
		return j, err
	}
	fi, err := j.f.Stat()
	if err == nil && fi.Size() > 0 {
		err = fs.ErrExist
		if Prepared(unitDir) {
			err = nil
		}
	}
	if err != nil {
		j.close()
	}
	return j, err
}

// claimed prepares a start. It is on the disk before the next line is written: if that is missing and the boot is the same,
// the command was not started; after a restart of the machine nobody can tell.
func (j journal) claimed() error {
	return j.add(record{V: recordVersion, State: stateClaimed, In: bootID()})
}

// starting is to be called right before the command is started: if started does not follow, nobody knows whether it was. Whoever comes to
// look after the command finds its terms there.
func (j journal) starting(t terms) error {
	if t == (terms{}) {
		_, err := j.f.WriteString(`{"v":1,"state":"starting"}` + "\n")
		return err
	}
	return j.add(record{V: recordVersion, State: stateStarting, terms: t})
}

// feeding records the process that feeds a streamed command.
func (j journal) feeding(p Process) error { return j.process(stateFeeding, p) }

func (j journal) started(p Process) error { return j.process(stateStarted, p) }

// process writes a line by hand: every command that starts has one.
func (j journal) process(state string, p Process) error {
	b := append([]byte(nil), `{"v":1,"state":"`...)
	b = append(b, state...)
	b = append(b, `","pid":`...)
	b = strconv.AppendInt(b, int64(p.PID), 10)
	b = append(b, `,"start":`...)
	b = strconv.AppendUint(b, p.StartTime, 10)
	if p.Boot != "" {
		b = append(b, `,"boot":`...)
		b = strconv.AppendQuoteToASCII(b, p.Boot)
	}
	_, err := j.f.Write(append(b, "}\n"...))
	return err
}

// add writes a line. The first newline ends one that a killed writer may have left incomplete.
func (j journal) add(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line := make([]byte, 0, len(b)+2)
	if r.State != stateClaimed && r.State != stateStarting { // the first lines of all
		line = append(line, '\n')
	}
	_, err = j.f.Write(append(append(line, b...), '\n'))
	return err
}

func (j journal) close() { j.f.Close() }

// addProcess records what the supervisor that started the command had no time to.
func addProcess(unitDir string, p Process) error {
	j, err := openJournal(unitDir)
	if err != nil {
		return err
	}
	defer j.close()
	return j.started(p)
}

// addExit records e, unless an end is recorded already, which stands. The file has its place on the disk since the command was started, so
// this works when the disk is full. It is not synced: after a power cut the command is gone, and the status file of the
// unit, which is synced, says what was known.
func addExit(unitDir string, e Exit) error {
	return addLine(unitDir, record{State: stateEnded, Exit: &e})
}

// addExited records how a command ended whose end is still to be judged.
func addExited(unitDir string, e Exit) error {
	return addLine(unitDir, record{State: stateExited, Exit: &e})
}

// addLimit records that a limit was exceeded, before the command is stopped for it.
func addLimit(unitDir, text string) error {
	return addLine(unitDir, record{State: stateLimit, Limit: text})
}

// addFed records how the feed of a streamed command ended. Of several lines the first counts.
func addFed(unitDir string, f fed) error {
	return addLine(unitDir, record{State: stateFed, Feed: &f})
}

func addLine(unitDir string, r record) error {
	r.V = recordVersion
	j, err := openJournal(unitDir)
	if err != nil {
		return err
	}
	defer j.close()
	return j.add(r)
}

// clip bounds a text for a Detail.
func clip(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	// Both ends matter: the operation at the front, the reason at the back.
	half := maxDetail/2 - 2
	return strings.ToValidUTF8(s[:half]+"..."+s[len(s)-half:], "")
}
