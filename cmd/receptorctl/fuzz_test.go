package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// plainText tells that a terminal obeys nothing in a text but its line feeds.
func plainText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) })
}

// FuzzStatus: whatever a daemon answers to status, it is an error or tables that are
// no larger than what they show, and say nothing to the terminal.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{
		`{"NodeID":"a","Version":"1.5.0","SystemCPUCount":2,"SystemMemoryMiB":1024,"Connections":[{"NodeID":"b","Cost":1.0}],"KnownConnectionCosts":{"a":{"b":1},"b":{"a":1e400}},"RoutingTable":{"b":"b"}}`,
		`{"NodeID":"\u001b]0;x\u0007","Version":"\r\n","SystemCPUCount":-0,"SystemMemoryMiB":1e999,"RoutingTable":{"\u009b31m":"\u202e"},"Connections":[{"NodeID":"x\ny","Cost":"1"}]}`,
		`{"NodeID":"a","Version":"1","SystemCPUCount":1,"SystemMemoryMiB":1,"Advertisements":[{"NodeID":"a","Service":"s","Time":"2026-01-02T03:04:05.6+02:00","ConnType":7,"Tags":{"a":["b",null,true,1.50]},"WorkCommands":[{"WorkType":"w","Secure":true}]},{"Time":"\u0000","Tags":7}]}`,
		`{"NodeID":"a","Version":"1","SystemCPUCount":1,"SystemMemoryMiB":1,"Certificates":[{"Section":"tls-server","Name":"\u0007","NotAfter":"0001-01-01T00:00:00Z"}],"More":{"\u0085":"\ud800"}}`,
		`{"NodeID":null}`, `null`, `[]`, `{}`, `{"Connections":{}}`, ``, `{"NodeID":"a"}x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		s, err := parseStatus(reply)
		if err != nil {
			return
		}
		var out bytes.Buffer
		a := &app{env: env{stdout: &out}}
		if err := s.print(a); err != nil {
			t.Fatal(err)
		}
		if !plainText(out.String()) {
			t.Errorf("a terminal would obey %q", out.String())
		}
		// Each row is at least as wide as the longest name, and each of its bytes may take six.
		if lines := bytes.Count(out.Bytes(), []byte("\n")); lines > len(reply)+40 || out.Len() > 100*(len(reply)+100)+6*lines*len(reply) {
			t.Errorf("%d bytes in %d lines of %d bytes", out.Len(), lines, len(reply))
		}
	})
}

// FuzzPrintJSON: what is printed as JSON is plain ASCII, and says what the daemon said.
func FuzzPrintJSON(f *testing.F) {
	for _, s := range []string{
		`{"b":[1,2.50,-0,1e5,1E-7,123456789012345678901234567890],"a":{"":null,"\u007f":true,"😀\ud800":"\"\\/\b\f\n\r\t"}}`,
		`[]`, `{}`, `[[],{}]`, `"\u2028"`, `-0.0`, `1e400`, `-1e400`, `null x`, ` 7 `, ``, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		var out bytes.Buffer
		if err := (&app{env: env{stdout: &out}}).printJSON(json.RawMessage(said)); err != nil {
			if json.Valid(said) {
				t.Fatal(err)
			}
			return
		}
		for _, c := range out.Bytes() {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Fatalf("byte %#x in %q", c, out.Bytes())
			}
		}
		want, err := decoded(json.RawMessage(said))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(out.Bytes(), []byte("Infinity")) {
			return // Python's own addition to JSON
		}
		got, err := decoded(json.RawMessage(out.Bytes()))
		if err != nil || !reflect.DeepEqual(numbers(got), numbers(want)) {
			t.Errorf("%q is printed as %s, %v", said, out.Bytes(), err)
		}
		if text := pythonLiteral(want); !plainText(text) || strings.Contains(text, "\n") {
			t.Errorf("a terminal would obey %q", text)
		}
	})
}

// numbers replaces the numbers in a value of JSON by what they are.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		if n, err := strconv.ParseFloat(string(v), 64); err == nil || math.IsInf(n, 0) {
			return n + 0 // -0 is 0
		}
	}
	return v
}

// FuzzTLSClient: whatever a file given with --config holds, an entry is found or it is
// said why not.
func FuzzTLSClient(f *testing.F) {
	for _, s := range []string{
		"- tls-client:\n    name: x\n    rootcas: ca\n    cert: c\n    key: k\n    insecureskipverify: true\n", "- TLS-Client: {Name: x, insecureskipverify: maybe}\n",
		"- &a\n  tls-client: &b {name: x}\n- tls-client: *b\n- *a\n", "- tls-client: [x]\n- tls-client:\n- 7\n- tls-client: {name: ~}\n", "node: {id: x}\n", "[", "- tls-client: {<<: {name: x}}\n",
		"- ? {a: b}\n  : tls-client\n", "", "- tls-client: {name: !!binary eA==, rootcas: {}}\n",
	} {
		f.Add([]byte(s), "x")
	}
	file := filepath.Join(f.TempDir(), "c.yml")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := lookupTLSClient(file, name)
		if err != nil {
			if text := explain(err).message; !strings.Contains(text, file) {
				t.Errorf("%q", text)
			}
			return
		}
		if s.missing != "" && (s.rootcas != "" || s.cert != "" || s.key != "" || s.skipVerify) {
			t.Errorf("%+v", s)
		}
	})
}

// What other nodes are called, and what they say, does nothing to a terminal.
func TestTerminalObeysNobody(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{env: env{stdout: &out, stderr: &errs, stderrTerminal: true, getenv: func(string) string { return "" }}}
	a.printf("Reply from %s in %s\n", "evil\x1b]0;owned\a", "1\u009b\u202ems\r\n")
	if got, want := out.String(), `Reply from evil\x1b]0;owned\x07 in 1\x9b\u202ems\x0d\x0a`+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	out.Reset()
	table{a: a, widths: []int{10}}.row("a\nb", "ü\x00")
	if got, want := out.String(), `a\x0ab`+"     "+`ü\x00`+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a.errorLine("two\nlines\x1b[2J")
	a.hint("try\t\x1b[2J")
	if got, want := errs.String(), "\x1b[31mERROR: two\nlines"+`\x1b[2J`+"\x1b[0m\nhint: try\t"+`\x1b[2J`+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
