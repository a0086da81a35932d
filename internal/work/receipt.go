package work

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// receiptVersion is the version of the receipt file's format: 1, lines of JSON,
// each the struct below. The last complete line counts: what a crash leaves of a
// line that was being appended says nothing.
const receiptVersion = 1

// receipt is what we know of a submission beyond its status. It is written when
// the unit is accepted; for a unit with an id that its submitter chose also when
// it is made, as the submitter may come back after a restart.
type receipt struct {
	Version  int    `json:"version"`
	Node     string `json:"node,omitempty"`     // that submitted the unit; empty for a socket of this node
	Chosen   bool   `json:"chosen,omitempty"`   // the submitter chose the id, and may repeat the submission
	Accepted bool   `json:"accepted"`           // payload complete; the unit is to be started
	Payload  int64  `json:"payload"`            // its bytes, once accepted; fewer in stdin: it was not synced
	RemoteID string `json:"remoteid,omitempty"` // id chosen for the unit on the other node
	Stream   bool   `json:"stream,omitempty"`   // the command reads the payload while it comes; Payload is 0
	Broken   string `json:"broken,omitempty"`   // why the rest of a streamed payload never came: the unit's Detail
	Stderr   string `json:"stderr,omitempty"`   // of a remote unit, as it was submitted
	Order    int64  `json:"order,omitempty"`    // place of a command unit in the order of acceptance
	Status   record `json:"status"`             // as it was
}

func parseReceipt(b []byte) (receipt, error) {
	var r receipt
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	line := bytes.TrimSuffix(b, []byte("\n"))
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	if err := json.Unmarshal(line, &r); err != nil {
		return receipt{}, fmt.Errorf("decode receipt: %w", err)
	}
	if r.Version != receiptVersion {
		return receipt{}, fmt.Errorf("receipt of version %d, only %d is known", r.Version, receiptVersion)
	}
	var err error
	if r.Status, err = r.Status.checked(); err != nil {
		return receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

func (r receipt) encode() ([]byte, error) {
	if len(r.Status.ExtraData) == 0 {
		r.Status.ExtraData = json.RawMessage("null")
	}
	r.Version = receiptVersion
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode receipt: %w", err)
	}
	return append(b, '\n'), nil
}

// saveReceipt appends to the receipt, unsynced. It makes no new file when there
// is one: on a busy disk that is the dearest part of a submission.
func (s *store) saveReceipt(id string, r receipt) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.path(id, fileReceipt), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	before := int64(0)
	if info, e := f.Stat(); e == nil && info.Size() > 0 {
		before = info.Size()
		b = append([]byte("\n"), b...) // ends what a crash may have left of a line
	}
	if err = s.step("create", f.Name()); err == nil {
		if _, err = f.Write(b); err != nil {
			f.Truncate(before) // a full disk took a part of it
		} else {
			err = s.step("write", f.Name())
		}
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// voidReceipt makes the receipt say nothing: the unit it was to accept was
// refused, and the status that says so may find no room on the disk.
func (s *store) voidReceipt(id string) { os.Truncate(s.path(id, fileReceipt), 0) }

// maxReceipt is how much of a receipt is read, from its end: enough for one
// whole line behind which another was cut short.
const maxReceipt = 2 * (maxStatus + 64<<10)

func (s *store) loadReceipt(id string) (receipt, error) {
	f, err := s.open(id, fileReceipt)
	if err != nil {
		return receipt{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return receipt{}, err
	}
	from := max(0, info.Size()-maxReceipt)
	b, err := io.ReadAll(io.NewSectionReader(f, from, maxReceipt))
	if err == nil && len(b) == 0 { // a power cut emptied it, or it was made void
		err = &fs.PathError{Op: "read", Path: f.Name(), Err: fs.ErrNotExist}
	}
	if err != nil {
		return receipt{}, err
	}
	return parseReceipt(b)
}
