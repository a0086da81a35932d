package supervise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Files of a unit that this package reads and writes; doc.go has the format of the last.
const (
	stdinName   = "stdin"
	stdoutName  = "stdout"
	processName = "process"
)

const recordVersion = 1

// States in a line of the process file.
const (
	stateStarting = "starting"
	stateStarted  = "started"
	stateEnded    = "ended"
)

// errStarting says that a process file names no process: its writer was lost while it started the command.
var errStarting = errors.New("no process recorded")

// record is one line of a process file.
type record struct {
	V     int    `json:"v"`
	State string `json:"state"`
	*Process
	*Exit
}

// history is what a process file says.
type history struct {
	starting bool // a start was begun
	process  *Process
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
		case r.State == stateStarting:
			h.starting = true
		case r.State == stateStarted && r.Process != nil && r.PID > 1:
			h.process = r.Process
		case r.State == stateEnded && r.Exit != nil && h.exit == nil:
			h.exit = r.Exit
		}
	}
}

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

// claim opens the process file of a command that is to be started. fs.ErrExist: somebody got further than that. Claims of the same
// unit exclude each other by other means: there is one supervisor, and it has one entry for each unit.
func claim(unitDir string) (journal, error) {
	j, err := openJournal(unitDir)
	if err != nil {
		return j, err
	}
	fi, err := j.f.Stat()
	if err == nil && fi.Size() > 0 {
		err = fs.ErrExist
	}
	if err != nil {
		j.close()
	}
	return j, err
}

// starting is to be called right before the command is started: if started does not follow, nobody knows whether it was.
func (j journal) starting() error {
	_, err := j.f.WriteString(`{"v":1,"state":"starting"}` + "\n")
	return err
}

func (j journal) started(p Process) error {
	b := append([]byte(nil), `{"v":1,"state":"started","pid":`...)
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
	b, err := json.Marshal(record{V: recordVersion, State: stateEnded, Exit: &e})
	if err != nil {
		return err
	}
	j, err := openJournal(unitDir)
	if err != nil {
		return err
	}
	defer j.close()
	// The first newline ends a line that a killed writer may have left incomplete.
	_, err = j.f.Write(append(append([]byte{'\n'}, b...), '\n'))
	return err
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
