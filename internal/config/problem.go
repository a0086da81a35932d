package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is something wrong with a configuration, and where.
type Problem struct {
	File       string // as given to Load; CommandLine for options
	Line       int    // from 1; 0 is the file as a whole; on the command line the number of the argument
	Column     int    // from 1; 0 is unknown
	Section    string // empty outside of sections
	Key        string // empty if the section as a whole is meant
	Text       string // what is wrong
	Suggestion string // what was probably meant or what to do; may be empty
}

// CommandLine stands for the name of a file in places on the command line.
const CommandLine = "command line"

// inFile is the place of a line, or of an argument, for people.
func inFile(file string, line int) string {
	switch {
	case line == 0:
		return file
	case file == CommandLine:
		return file + ", argument " + strconv.Itoa(line)
	}
	return file + ":" + strconv.Itoa(line)
}

// String is one line, `file:line: section "s", key "k": text (suggestion)`,
// without the parts that are not known.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(inFile(p.File, p.Line) + ": ")
	}
	if p.Section != "" {
		fmt.Fprintf(&b, "section %q", p.Section)
		if p.Key != "" {
			fmt.Fprintf(&b, ", key %q", p.Key)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Suggestion != "" {
		b.WriteString(" (" + p.Suggestion + ")")
	}
	return b.String()
}

// Problems is the error of Load: everything that is wrong, in the order of the
// files and of the lines in them.
type Problems []Problem

// Error is one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Origin tells where a section was read from. The zero Origin is that of a
// section that was in no file.
type Origin struct {
	File    string
	Line    int
	Section string

	column int
	keys   map[string]place // where each key that was given stands
	failed map[string]bool  // keys with a problem already; further ones would only follow from it
}

// String is `file:line` or `command line, argument n`, or empty for a section that was in no file.
func (o Origin) String() string {
	if o.File == "" {
		return ""
	}
	return inFile(o.File, o.Line)
}

// Problem makes a problem with a key of the section, or with all of it if key
// is empty, for those who find out later.
func (o Origin) Problem(key, text string) Problem { return atKey(o, key, "%s", text) }

// given tells whether a key stands in the section.
func (o Origin) given(key string) bool {
	_, ok := o.keys[key]
	return ok
}

// place of a key, or of the section if the key is not given.
func (o Origin) place(key string) place {
	if p, ok := o.keys[key]; ok {
		return p
	}
	return place{file: o.File, line: o.Line, column: o.column}
}

// place is a position in a file.
type place struct {
	file         string
	line, column int
}

// maxProblems bounds what a hopeless file makes us say, of each kind.
const maxProblems = 500

// report gathers problems and warnings.
type report struct {
	problems, warnings Problems
	more               int      // problems beyond maxProblems, only counted
	files              []string // in the order of reading, for sorting
}

// problem notes something that stops the start.
func (r *report) problem(p Problem) {
	if r.full() {
		return
	}
	r.problems = append(r.problems, p)
}

// full tells that no more problems are kept, and counts the one that is not:
// whoever would have to search for a suggestion asks first.
func (r *report) full() bool {
	if len(r.problems) < maxProblems {
		return false
	}
	r.more++
	return true
}

// warn notes an oddity that does not stop the start.
func (r *report) warn(p Problem) {
	if len(r.warnings) < maxProblems {
		r.warnings = append(r.warnings, p)
	}
}

// at makes a problem at a place outside of any section.
func at(p place, format string, args ...any) Problem {
	return Problem{File: p.file, Line: p.line, Column: p.column, Text: fmt.Sprintf(format, args...)}
}

// atKey makes a problem with a key, or with the whole section if key is empty.
func atKey(o Origin, key, format string, args ...any) Problem {
	p := at(o.place(key), format, args...)
	p.Section, p.Key = o.Section, key
	return p
}

// suggest adds a suggestion to a problem.
func (p Problem) suggest(format string, args ...any) Problem {
	if format != "" {
		p.Suggestion = fmt.Sprintf(format, args...)
	}
	return p
}

// sorted puts problems into the order of files and lines.
func (r *report) sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := slices.Index(r.files, a.File) - slices.Index(r.files, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return ps
}

// fail notes that a key has a problem, so that none is reported that only
// follows from it.
func (o *Origin) fail(key string) {
	if o.failed == nil {
		o.failed = make(map[string]bool)
	}
	o.failed[key] = true
}
