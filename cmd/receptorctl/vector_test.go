package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// vector is one recorded call of the original tool (testdata/vectors): what it
// was given, what it gave, and what went over each connection.
type vector struct {
	name     string
	command  string
	stdin    []byte
	signal   string
	exit     int
	stdout   string
	stderr   string
	help     bool   // stdout is a help text, which is no part of the interface
	terminal string // what a terminal showed, if the call was on one
	typed    []byte // what was typed on it
	conns    [][]event
}

// event is something on a connection.
type event struct {
	client bool // else the daemon
	data   string
	end    bool // of that side's direction
}

func readVectors(t *testing.T) []vector {
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	vectors := make([]vector, len(files))
	for i, file := range files {
		vectors[i] = readVector(t, file)
	}
	return vectors
}

func readVector(t *testing.T, file string) vector {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v := vector{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
	for _, section := range strings.Split("\n"+string(raw), "\n== ")[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		if err := v.section(heading, strings.TrimSuffix(body, "\n")); err != nil {
			t.Fatalf("%s: %s: %v", file, heading, err)
		}
	}
	return v
}

func (v *vector) section(heading, body string) (err error) {
	switch word, _, _ := strings.Cut(heading, " "); word {
	case "command":
		v.command = strings.TrimPrefix(body, "$ ")
	case "stdin":
		v.stdin = []byte(unescape(body))
	case "signal":
		v.signal, _, _ = strings.Cut(body, " ")
	case "exit":
		v.exit, err = strconv.Atoi(body)
	case "stdout":
		v.help = strings.HasPrefix(body, "(the help text")
		v.stdout = printed(body)
	case "stderr":
		v.stderr = printed(body)
	case "terminal":
		for line := range strings.Lines(body) {
			line = strings.TrimSuffix(line, "\n")
			if _, shown, ok := strings.Cut(line, " terminal shows: "); ok {
				v.terminal += strings.ReplaceAll(unescape(shown), "\r\n", "\n")
			} else if _, typed, ok := strings.Cut(line, " user types: "); ok {
				v.typed = append(v.typed, unescape(typed)...)
			}
		}
	case "connection":
		var conn []event
		for line := range strings.Lines(body) {
			conn = append(conn, parseEvent(strings.TrimSuffix(line, "\n")))
		}
		v.conns = append(v.conns, conn)
	case "elapsed":
	default:
		err = fmt.Errorf("unknown section")
	}
	return err
}

// parseEvent reads a line like `  0.09 S> text\n`.
func parseEvent(line string) event {
	_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	side, data, _ := strings.Cut(rest, " ")
	e := event{client: side == "C>"}
	if strings.HasPrefix(data, "[") {
		e.end = true
		return e
	}
	e.data = unescape(data)
	return e
}

var escapes = regexp.MustCompile(`\\(x[0-9a-f]{2}|[nrt\\])`)

func unescape(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(e string) string {
		switch e[1] {
		case 'n':
			return "\n"
		case 'r':
			return "\r"
		case 't':
			return "\t"
		case 'x':
			n, _ := strconv.ParseUint(e[2:], 16, 8)
			return string([]byte{byte(n)})
		}
		return `\`
	})
}

var hexEscapes = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// printed is the output that a section stdout or stderr shows.
func printed(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body + "\n") {
		if text, ok := strings.CutPrefix(line, "| "); ok {
			b.WriteString(hexEscapes.ReplaceAllStringFunc(text, unescape))
		} else if line == "|\n" {
			b.WriteString("\n")
		}
	}
	s := b.String()
	if strings.Contains(body, "(no newline at the end)") {
		s = strings.TrimSuffix(s, "\n")
	}
	return s
}
