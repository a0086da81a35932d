package work

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// maxStatus is the size in bytes of the largest status file that is read;
// parameters travel in a control line, and are in the record once, where each
// of their bytes takes up to six (\u003c).
const maxStatus = 6*controlproto.MaxLine + 64<<10

// remoteType is the work type of units that stand for work on another node.
const remoteType = "remote"

// record is the status of a unit as it is on disk (spec work 3), members in the
// order of the file.
type record struct {
	State      controlproto.State
	Detail     string
	StdoutSize int64
	WorkType   string
	ExtraData  json.RawMessage

	// Ours; the original ignores them.

	ExitCode   *int      `json:",omitempty"` // of a command that ended by itself
	StderrSize *int64    `json:",omitempty"` // bytes in stderr; nil: error output goes to stdout
	Ended      time.Time `json:",omitzero"`  // when the state became final
}

// commandExtra is the ExtraData of a command unit that has not ended.
type commandExtra struct {
	Pid    int
	Params string
}

// remoteExtra is the ExtraData of a remote unit. RemoteUnitID is set as soon as
// the other node may know the unit, RemoteStarted when it has accepted it.
type remoteExtra struct {
	RemoteNode     string
	RemoteWorkType string
	RemoteParams   map[string]string
	RemoteUnitID   string
	RemoteStarted  bool
	LocalCancelled bool
	LocalReleased  bool
	SignWork       bool
	TLSClient      string
	Expiration     time.Time

	refusal *controlproto.Error // why it was never started though it was accepted, once it has ended so; nil after a restart
}

// appendStatus appends the record as the line that is in the file.
func (r record) appendStatus(b []byte) ([]byte, error) {
	if len(r.ExtraData) == 0 {
		r.ExtraData = json.RawMessage("null")
	}
	line, err := json.Marshal(r)
	if err != nil {
		return b, fmt.Errorf("encode status: %w", err)
	}
	return append(append(b, line...), '\n'), nil
}

// parseStatus decodes a status file: members in any order, with spaces, missing
// ones zero.
func parseStatus(b []byte) (record, error) {
	var r record
	if len(b) > maxStatus {
		return r, fmt.Errorf("status of %d bytes is too long", len(b))
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return r, errors.New("status is empty")
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("decode status: %w", err)
	}
	return r.checked()
}

// checked is the record if it can be that of a unit.
func (r record) checked() (record, error) {
	switch {
	case r.StdoutSize < 0 || r.StderrSize != nil && *r.StderrSize < 0:
		return record{}, errors.New("status has a negative size of the output")
	case r.State < controlproto.Pending || r.State > controlproto.StateCanceled:
		return record{}, fmt.Errorf("status has a State %d, which does not exist", r.State)
	}
	if string(r.ExtraData) == "null" {
		r.ExtraData = nil
	}
	r.Ended = storable(r.Ended)
	return r, nil
}

// storable is a time that can be written: decoders take zones and, with these, years
// that encoders refuse. It is zero if there is none.
func storable(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// view is the record as clients see it; extra is its ExtraData, nil for null.
func (r record) view(extra json.RawMessage) controlproto.UnitStatus {
	if len(extra) == 0 {
		extra = json.RawMessage("null")
	}
	return controlproto.UnitStatus{
		Detail: r.Detail, ExtraData: extra, State: r.State, StateName: r.State.String(),
		StdoutSize: r.StdoutSize, WorkType: r.WorkType,
		ExitCode: r.ExitCode, StderrSize: r.StderrSize, Ended: r.Ended,
	}
}

// exitOf is the exit code of a command whose record does not tell it otherwise:
// one that a node of ansible/receptor ran. nil: its Detail does not tell.
func exitOf(state controlproto.State, detail string) *int {
	code := 0
	if text, ok := strings.CutPrefix(detail, "exit status "); ok {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil
		}
		code = n
	}
	if state == controlproto.Succeeded && code == 0 || state == controlproto.Failed && code != 0 {
		return &code
	}
	return nil
}

// shown is the ExtraData for clients: without secrets.
func (x *remoteExtra) shown() json.RawMessage {
	c := *x
	c.RemoteParams = maps.Clone(x.RemoteParams)
	maps.DeleteFunc(c.RemoteParams, func(name, _ string) bool { return isSecret(name) })
	return c.encode()
}

func (x *remoteExtra) encode() json.RawMessage {
	c := *x
	if c.RemoteParams == nil {
		c.RemoteParams = map[string]string{}
	}
	raw, err := json.Marshal(c)
	if err != nil { // only a year beyond 9999 in Expiration
		c.Expiration = time.Time{}
		raw, _ = json.Marshal(c)
	}
	return raw
}

func (x *commandExtra) encode() json.RawMessage {
	raw, _ := json.Marshal(x) // a number and a string always encode
	return raw
}

// isSecret tells that a parameter is not to be shown nor sent in the clear.
func isSecret(name string) bool {
	return len(name) >= 7 && strings.EqualFold(name[:7], "secret_")
}
