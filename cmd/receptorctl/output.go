package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errOutput marks a failure to write to stdout.
var errOutput = errors.New("write to stdout")

// printf writes to stdout, texts as visible shows them. A failure is kept for
// outErr.
func (a *app) printf(format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = visible(text, "")
		}
	}
	a.Write(fmt.Appendf(nil, format, args...))
}

// visible writes out the characters in a text that a terminal would obey, but for
// those of kept: names and errors come from other nodes, who may be anybody.
func visible(text, kept string) string {
	obeyed := func(r rune) bool {
		return (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) && !strings.ContainsRune(kept, r)
	}
	if !strings.ContainsFunc(text, obeyed) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !obeyed(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Write writes to stdout; its errors are errOutput.
func (a *app) Write(p []byte) (int, error) {
	if a.written != nil {
		return 0, a.written
	}
	n, err := a.stdout.Write(p)
	if err != nil {
		a.written = fmt.Errorf("%w: %w", errOutput, err)
	}
	return n, a.written
}

// outErr is the first failure to write to stdout.
func (a *app) outErr() error { return a.written }

// printJSON writes v to stdout in the form of all JSON output (spec receptorctl
// 3.1).
func (a *app) printJSON(v any) error {
	value, err := decoded(v)
	if err != nil {
		return err
	}
	a.Write(append(appendJSON(nil, value, 0), '\n'))
	return a.outErr()
}

// decoded turns v into maps, lists, strings, booleans, nil and json.Number.
func decoded(v any) (any, error) {
	raw, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	err := d.Decode(&value)
	return value, err
}

// errorLine, warning and hint write to stderr.
func (a *app) errorLine(text string) { a.talk("ERROR: "+text, "31") }
func (a *app) warning(text string)   { a.talk("Warning: "+text, "35") }
func (a *app) hint(text string)      { fmt.Fprintf(a.stderr, "hint: %s\n", visible(text, "\n\t")) }

// talk writes a line to stderr, in colour on a terminal.
func (a *app) talk(line, colour string) {
	line = visible(line, "\n\t") // a list of problems has several lines
	if a.stderrTerminal && a.getenv("NO_COLOR") == "" {
		line = "\x1b[" + colour + "m" + line + "\x1b[0m"
	}
	fmt.Fprintln(a.stderr, line)
}

// table prints rows of cells, each padded to the width of its column and
// followed by one space, but for the last of a row.
type table struct {
	a      *app
	widths []int
}

func (t table) row(cells ...string) {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(' ')
		}
		cell = visible(cell, "")
		b.WriteString(cell)
		if i < len(t.widths) {
			if n := t.widths[i] - utf8.RuneCountInString(cell); n > 0 {
				b.WriteString(strings.Repeat(" ", n))
			}
		}
	}
	t.a.printf("%s\n", b.String())
}
