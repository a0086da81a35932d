package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// The protocol; doc.go describes it.

// protocolVersion is the newest version that this code speaks; it speaks all from 1 on.
const protocolVersion = 1

// Operations of a request.
const (
	opHello  = "hello"
	opStart  = "start"
	opStop   = "stop"
	opForget = "forget"
	opRetire = "retire"
)

// Kinds of a message.
const (
	msgHello   = "hello"
	msgReply   = "reply"
	msgRunning = "running"
	msgEnded   = "ended"
	msgUnknown = "unknown"
	msgSynced  = "synced"
)

// request is what the daemon sends.
type request struct {
	Op string `json:"op"`
	ID uint64 `json:"id,omitempty"`

	Versions []int  `json:"versions,omitempty"` // hello
	Env      []text `json:"env,omitempty"`      // hello
	WorkDir  text   `json:"workdir,omitempty"`  // hello

	Unit    string   `json:"unit,omitempty"`     // start, stop
	Dir     text     `json:"dir,omitempty"`      // start
	Command text     `json:"command,omitempty"`  // start
	Args    []text   `json:"args,omitempty"`     // start
	GraceMS int64    `json:"grace_ms,omitempty"` // stop
	Units   []string `json:"units,omitempty"`    // forget
	terms            // start

	Unsynced bool `json:"unsynced,omitempty"` // start
}

// message is what the supervisor sends.
type message struct {
	Msg string `json:"msg"`
	ID  uint64 `json:"id,omitempty"` // reply

	Version  int      `json:"version,omitempty"`  // hello
	Versions []int    `json:"versions,omitempty"` // hello that refuses
	Exe      string   `json:"exe,omitempty"`      // hello
	Can      []string `json:"can,omitempty"`      // hello

	Unit    string   `json:"unit,omitempty"`    // running, ended
	Dir     text     `json:"dir,omitempty"`     // running, ended
	Process *Process `json:"process,omitempty"` // hello, reply, running, ended
	Exit    *Exit    `json:"exit,omitempty"`    // reply, ended

	NotStarted bool   `json:"not_started,omitempty"` // reply to start: Error is the reason, for good
	Before     bool   `json:"before,omitempty"`      // reply to start: somebody else did, see the unit's files
	Unknown    bool   `json:"unknown,omitempty"`     // reply to stop: no such command here
	Error      string `json:"error,omitempty"`       // hello, reply
}

// text is a string of bytes as the system has it: arguments, variables and paths need not be UTF-8, but JSON is. What is
// not UTF-8 is written as a list of one base64 string.
type text string

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal([1][]byte{[]byte(t)})
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return json.Unmarshal(b, (*string)(t))
	}
	var l [][]byte
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	if len(l) != 1 {
		return errors.New("a list of one base64 string is expected")
	}
	*t = text(l[0])
	return nil
}

func texts(l []string) []text {
	t := make([]text, len(l))
	for i, s := range l {
		t[i] = text(s)
	}
	return t
}

func plain(l []text) []string {
	t := make([]string, len(l))
	for i, s := range l {
		t[i] = string(s)
	}
	return t
}

// errLineTooLong says that a line passes maxLine.
var errLineTooLong = fmt.Errorf("line longer than %d bytes", maxLine)

// appendLine adds v as one line.
func appendLine(b []byte, v any) ([]byte, error) {
	j, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	if len(j) > maxLine {
		return b, errLineTooLong
	}
	b = append(b, j...)
	return append(b, '\n'), nil
}

// readLine reads one line into v. Memory beyond the reader's buffer is taken as bytes arrive, up to maxLine, and not kept.
func readLine(r *bufio.Reader, v any) error {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.ReadSlice('\n')
			if len(long)+len(line) > maxLine+1 {
				return errLineTooLong
			}
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	return json.Unmarshal(line, v)
}
