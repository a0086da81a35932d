package controlproto

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	tests := []struct {
		in      string
		command string
		text    bool
		params  string
		err     string
	}{
		{in: "status", command: "status", text: true},
		{in: "STATUS ", command: "status", text: true},
		{in: "ping executor01", command: "ping", text: true, params: "executor01"},
		{in: "ping  a b ", command: "ping", text: true, params: " a b "},
		{in: "ping\tcontroller01", command: "ping\tcontroller01", text: true},
		{in: " status", command: "", text: true, params: "status"},
		{in: "", command: "", text: true},
		{in: `["status"]`, command: `["status"]`, text: true},
		{in: ` {"command":"status"}`, command: "", text: true, params: `{"command":"status"}`},
		{in: "\xff\xfe", command: "\xef\xbf\xbd\xef\xbf\xbd", text: true}, // unknown as it is
		{in: `{"command":"status"}`, command: "status"},
		{in: `{"command":"STATUS"}`, command: "STATUS"},
		{in: `{"command":"nosuch","command":"ping"}`, command: "ping"},
		{in: `{"command":"work","startpos":9007199254740993}`, command: "work"},
		{in: `{"command":""}`, command: ""},
		// The texts of spec control-protocol 2.5.
		{in: `{oops`, err: "invalid character 'o' looking for beginning of object key string"},
		{in: `{"command":"status"} trailing`, err: "invalid character 't' after top-level value"},
		{in: `{`, err: "unexpected end of JSON input"},
		{in: `{"subcommand":"list"}`, err: "JSON did not contain a command"},
		{in: `{}`, err: "JSON did not contain a command"},
		{in: `{"Command":"status"}`, err: "JSON did not contain a command"},
		{in: `{"command":7}`, err: "command must be a string"},
		{in: `{"command":null}`, err: "command must be a string"},
		{in: `{"command":["x"]}`, err: "command must be a string"},
	}
	for _, tt := range tests {
		r, err := ParseRequest([]byte(tt.in))
		if tt.err != "" {
			wantError(t, err, Invalid, tt.err)
			continue
		}
		if err != nil || r.Command != tt.command || r.Text != tt.text || r.Params != tt.params {
			t.Errorf("%q: %+v, %v", tt.in, r, err)
		}
		if !r.Text && r.Fields == nil {
			t.Errorf("%q: no fields", tt.in)
		}
	}
	r, _ := ParseRequest([]byte(`{"command":"work","startpos":9007199254740993}`))
	if n, ok := r.Fields["startpos"].(json.Number); !ok || n.String() != "9007199254740993" {
		t.Errorf("a number lost its digits: %v", r.Fields["startpos"])
	}
}

var recordedLine = regexp.MustCompile(`^ *[0-9.]+ ([SC])> (.*)\\n$`)

// The first reply of the original to a request line tells whether it could
// decode it, and with what text not.
func TestParseRequestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/raw-*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	decoding := map[string]bool{"JSON did not contain a command": true, "command must be a string": true}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		request := ""
		for line := range strings.Lines(string(raw)) {
			m := recordedLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil {
				continue
			}
			text, err := strconv.Unquote(`"` + strings.ReplaceAll(m[2], `"`, `\"`) + `"`)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, m[2], err)
			}
			if m[1] == "C" {
				request = strings.ReplaceAll(text, "\r", "")
				continue
			}
			reply, failed := strings.CutPrefix(text, "ERROR: ")
			if request == "" || !strings.HasPrefix(request, "{") {
				continue
			}
			_, err = ParseRequest([]byte(request))
			if failed && (decoding[reply] || strings.HasPrefix(reply, "invalid character")) {
				wantError(t, err, Invalid, reply)
			} else if err != nil {
				t.Errorf("%s: %s: %v", file, request, err)
			}
			request = ""
		}
	}
}

func TestParseLine2(t *testing.T) {
	const noID = "a request needs an id, a positive whole number"
	tests := []struct {
		in      string
		command string // of a request
		frame   Frame
		err     string
	}{
		{in: `{"id":1,"command":"ping","target":"x"}`, command: "ping"},
		{in: `{"id":1,"command":""}`},
		{in: `{"id":1,"bytes":1048576}`, frame: Frame{ID: 1, Bytes: 1 << 20}},
		{in: `{"id":1,"eof":true}`, frame: Frame{ID: 1, EOF: true}},
		{in: `{"id":1,"cancel":true}`, frame: Frame{ID: 1, Cancel: true}},
		{in: `{"id":9223372036854775807,"eof":true}`, frame: Frame{ID: 1<<63 - 1, EOF: true}},
		{in: `{"id":1,"colour":"blue"}`, frame: Frame{ID: 1}},
		{in: `{"id":1,"ID":2,"eof":true}`, frame: Frame{ID: 1, EOF: true}},
		{in: `{"id":1,"bytes":1048577}`, err: "bytes announced are out of range"},
		{in: `{"id":1,"bytes":-1}`, err: "bytes announced are out of range"},
		{in: `{"command":"ping"}`, err: noID},
		{in: `{"id":0,"command":"ping"}`, err: noID},
		{in: `{"id":-1,"command":"ping"}`, err: noID},
		{in: `{"id":1.5,"command":"ping"}`, err: noID},
		{in: `{"id":"1","command":"ping"}`, err: noID},
		{in: `{"id":null,"command":"ping"}`, err: noID},
		{in: `{"id":9223372036854775808,"command":"ping"}`, err: noID},
		{in: `null`, err: noID},
		{in: `{"id":1,"command":7}`, err: "command must be a string"},
		{in: ``, err: "unexpected end of JSON input"},
		{in: `ping x`, err: "invalid character 'p' looking for beginning of value"},
		{in: `{"id":1,"eof":true}{`, err: "invalid character '{' after top-level value"},
	}
	for _, tt := range tests {
		got, err := ParseLine2([]byte(tt.in))
		if tt.err != "" {
			wantError(t, err, Invalid, tt.err)
			continue
		}
		switch isRequest := strings.Contains(tt.in, `"command"`); {
		case err != nil, isRequest != (got.Request != nil):
			t.Errorf("%s: %+v, %v", tt.in, got, err)
		case isRequest && (got.Request.Command != tt.command || got.Request.ID != 1):
			t.Errorf("%s: %+v", tt.in, got.Request)
		case !isRequest && (got.Frame.ID != tt.frame.ID || got.Frame.Bytes != tt.frame.Bytes ||
			got.Frame.EOF != tt.frame.EOF || got.Frame.Cancel != tt.frame.Cancel):
			t.Errorf("%s: %+v, want %+v", tt.in, got.Frame, tt.frame)
		}
	}
	for _, in := range []string{`[]`, `{"id":1,"bytes":"x"}`, `{"id":1,"bytes":1.5}`, `7`, `"x"`} {
		if _, err := ParseLine2([]byte(in)); CodeOf(err) != Invalid {
			t.Errorf("%s: %v, want an error of code invalid", in, err)
		}
	}
}

func TestParseGreeting(t *testing.T) {
	tests := []struct{ in, node string }{
		{"Receptor Control, node controller01", "controller01"},
		{"  Receptor Control, node a b \t", "a b"},
		{Greeting("x"), "x"},
		{"Receptor Control, node ", ""},
		{"Receptor Control, node", ""},
		{"220 mail.example.org ESMTP", ""},
		{"", ""},
		{strings.Repeat("x", 10000), ""},
	}
	for _, tt := range tests {
		node, err := ParseGreeting(tt.in)
		if node != tt.node || (err == nil) != (tt.node != "") {
			t.Errorf("%.80q: %q, %v", tt.in, node, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}

func TestCodes(t *testing.T) {
	for _, code := range []Code{Invalid, NotFound, Exists, Denied, Unreachable, Timeout, Busy, Canceled, Internal} {
		if got := CodeOf(New(code, "x")); got != code {
			t.Errorf("CodeOf(%s) = %s", code, got)
		}
	}
	if got := CodeOf(New("new_in_a_later_version", "x")); got != Internal {
		t.Errorf("unknown code is %s", got)
	}
	if got := CodeOf(os.ErrNotExist); got != Internal {
		t.Errorf("another error is %s", got)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{"", "ping x", `{"command":"status","requested_fields":["a"]}`, `{"command":7}`,
		`{oops`, "{", ` {}`, `{"command":"work","startpos":1e400}`, "\xff \x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRequest(line)
		if err != nil {
			if CodeOf(err) != Invalid || r.Text {
				t.Errorf("%q: %+v, %v", line, r, err)
			}
			return
		}
		if r.Text {
			word, rest, _ := strings.Cut(string(line), " ")
			if r.Command != strings.ToLower(word) || r.Params != rest {
				t.Errorf("%q: %+v", line, r)
			}
			return
		}
		again, err := json.Marshal(r.Fields)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r2, err := ParseRequest(again); err != nil || r2.Command != r.Command || len(r2.Fields) != len(r.Fields) {
			t.Errorf("%q: %+v again as %q: %+v, %v", line, r, again, r2, err)
		}
	})
}

func FuzzParseLine2(f *testing.F) {
	for _, seed := range []string{`{"id":1,"command":"ping"}`, `{"id":1,"bytes":5}`, `{"id":1,"eof":true}`, `{"id":1,"bytes":3,"stream":"stderr"}`, `{"id":1,"stream":7}`, `{"id":1,"ID":2,"cancel":true}`,
		`{"id":0}`, `null`, `[]`, `{"id":18446744073709551616}`, `{"id":1,"bytes":-9223372036854775808}`, `{"id":1,"error":{"code":7}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ParseLine2(line)
		switch {
		case err != nil && CodeOf(err) != Invalid:
			t.Errorf("%q: %v", line, err)
		case err != nil:
		case l.Request != nil && (l.Request.ID == 0 || l.Request.Text):
			t.Errorf("%q: request %+v", line, l.Request)
		case l.Request == nil && (l.Frame.ID == 0 || l.Frame.Bytes < 0 || l.Frame.Bytes > MaxChunk):
			t.Errorf("%q: frame %+v", line, l.Frame)
		}
	})
}
