package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Entry is what was asked for, by whom, and what came of it. It has no
// parameters, payloads, signatures or other things that may be secret.
type Entry struct {
	Time     time.Time `json:"time"`
	Node     string    `json:"node"` // that was asked, and writes this
	Command  string    `json:"command"`
	Unit     string    `json:"unit,omitempty"`
	WorkType string    `json:"worktype,omitempty"`
	ToNode   string    `json:"tonode,omitempty"`  // that it is about
	Service  string    `json:"service,omitempty"` // that was connected to
	From     From      `json:"from"`
	Result   Result    `json:"result"`
	Error    string    `json:"error,omitempty"` // as the caller was told
	Code     string    `json:"code,omitempty"`  // of Error, as in version 2 of the control protocol
	Rule     *int      `json:"rule,omitempty"`  // of the access rules, that denied it; absent if none matched
	Lost     uint64    `json:"lost,omitempty"`  // entries that are missing here, with the command CommandLost

	Reads bool `json:"-"` // it changes nothing
}

// CommandLost is the command of an entry that stands for others, which could not be written.
const CommandLost = "audit-lost"

// From is who asked. What is not known is left out.
type From struct {
	Node        string   `json:"node,omitempty"`
	Certificate []string `json:"certificate,omitempty"` // all names
	UID         *uint32  `json:"uid,omitempty"`
	User        string   `json:"user,omitempty"` // of UID; filled in here
	GID         *uint32  `json:"gid,omitempty"`
	PID         int      `json:"pid,omitempty"`
	Address     string   `json:"address,omitempty"`
	Signal      string   `json:"signal,omitempty"`
}

// Result is what came of a request.
type Result string

// The results.
const (
	OK     Result = "ok"
	Denied Result = "denied"
	Failed Result = "error"
	// Refused is what became later of a submission that was OK: its unit ended
	// without having been started.
	Refused Result = "refused"
)

// Bounds on what others have written, in bytes; the rest is cut.
const (
	maxName  = 256
	maxError = 512
	maxCerts = 16 // names of one certificate
)

// bounded is the entry with its texts cut.
func (e Entry) bounded() Entry {
	for _, s := range []*string{&e.Command, &e.Unit, &e.WorkType, &e.ToNode, &e.Service, &e.From.Node, &e.From.Address, &e.Code} {
		*s = cut(*s, maxName)
	}
	e.Error = cut(e.Error, maxError)
	certs := e.From.Certificate
	e.From.Certificate = nil
	for _, name := range certs[:min(len(certs), maxCerts)] {
		e.From.Certificate = append(e.From.Certificate, cut(name, maxName))
	}
	return e
}

func cut(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s) // it may be a part of a long line
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// appendLine appends the entry as a line.
func (e Entry) appendLine(b *bytes.Buffer) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		panic("BUG: " + err.Error()) // there are only texts and numbers in it
	}
}
