package controlproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Request is a decoded request of either version.
type Request struct {
	ID      uint64         // version 2
	Command string         // as it was sent; in text form lower-cased
	Text    bool           // version 1's text form
	Params  string         // text form: what follows the first space
	Fields  map[string]any // JSON forms: all members, numbers as json.Number
}

// ParseRequest decodes a request line of version 1 (spec control-protocol
// 2.3). Its errors have the texts of 2.5.
func ParseRequest(line []byte) (Request, error) {
	if len(line) == 0 || line[0] != '{' {
		word, rest, _ := strings.Cut(string(line), " ")
		return Request{Command: strings.ToLower(word), Text: true, Params: rest}, nil
	}
	fields, err := decodeObject(line)
	if err != nil {
		return Request{}, New(Invalid, err.Error())
	}
	r := Request{Fields: fields}
	command, ok := fields["command"]
	if !ok {
		return r, New(Invalid, "JSON did not contain a command")
	}
	if r.Command, ok = command.(string); !ok {
		return r, New(Invalid, "command must be a string")
	}
	return r, nil
}

// decodeObject is json.Unmarshal into a map, but keeps numbers exact.
func decodeObject(line []byte) (map[string]any, error) {
	if len(line) > freeLine && countValues(line) > MaxValues {
		return nil, errValues
	}
	// Unmarshal checks the whole line first, so its messages are those that a
	// client of version 1 knows; a Decoder would stop after the first value.
	if !json.Valid(line) {
		var v any
		return nil, json.Unmarshal(line, &v)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	return fields, nil
}

var errValues = errors.New("request has too many values")

// countValues is how many values a JSON text has, or one may have that is none:
// each takes much more memory than its characters.
func countValues(line []byte) (n int) {
	inside, escaped := false, false // of a string
	for _, c := range line {
		switch {
		case escaped:
			escaped = false
		case inside:
			escaped = c == '\\'
			inside = c != '"'
		case c == '"':
			inside = true
		case c == ',' || c == ':' || c == '[' || c == '{':
			n++
		}
	}
	return n
}

// Line2 is one line of a client in version 2: a Request, or a Frame about one.
type Line2 struct {
	Request *Request
	Frame   Frame
}

// ParseLine2 decodes a client's line of version 2.
func ParseLine2(line []byte) (Line2, error) {
	fields, err := decodeObject(line)
	if err != nil {
		return Line2{}, New(Invalid, err.Error())
	}
	number, ok := fields["id"].(json.Number)
	id, err := number.Int64()
	if !ok || err != nil || id <= 0 {
		return Line2{}, New(Invalid, "a request needs an id, a positive whole number")
	}
	if _, ok := fields["command"]; ok {
		r := Request{ID: uint64(id), Fields: fields}
		if r.Command, ok = fields["command"].(string); !ok {
			return Line2{}, New(Invalid, "command must be a string")
		}
		return Line2{Request: &r}, nil
	}
	f, err := parseFrame(line)
	f.ID = uint64(id) // as encoding/json would also take "ID"
	return Line2{Frame: f}, err
}

// parseFrame decodes a line that is no request.
func parseFrame(line []byte) (Frame, error) {
	var f Frame
	if err := json.Unmarshal(line, &f); err != nil {
		return f, New(Invalid, err.Error())
	}
	if f.Bytes < 0 || f.Bytes > MaxChunk {
		return f, New(Invalid, "bytes announced are out of range")
	}
	return f, nil
}

// String returns the string member name, ok telling that it is there and one.
func (r Request) String(name string) (value string, ok bool) {
	value, ok = r.Fields[name].(string)
	return value, ok
}

// Greeting is the daemon's first line, without its LF.
func Greeting(node string) string { return GreetingPrefix + node }

// ParseGreeting returns the node id of a greeting line.
func ParseGreeting(line string) (node string, err error) {
	node, ok := strings.CutPrefix(strings.TrimSpace(line), GreetingPrefix)
	if !ok || node == "" {
		return "", errors.New("the other side is no receptor control service: it greets with " + quote(line))
	}
	return node, nil
}
