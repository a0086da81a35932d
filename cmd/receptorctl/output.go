package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// errOutput marks a failure to write to stdout.
var errOutput = errors.New("write to stdout")

// printf writes to stdout. A failure is kept for outErr.
func (a *app) printf(format string, args ...any) {
	a.Write(fmt.Appendf(nil, format, args...))
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
func (a *app) hint(text string)      { fmt.Fprintf(a.stderr, "hint: %s\n", text) }

// talk writes a line to stderr, in colour on a terminal.
func (a *app) talk(line, colour string) {
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
		b.WriteString(cell)
		if i < len(t.widths) {
			if n := t.widths[i] - utf8.RuneCountInString(cell); n > 0 {
				b.WriteString(strings.Repeat(" ", n))
			}
		}
	}
	t.a.printf("%s\n", b.String())
}
