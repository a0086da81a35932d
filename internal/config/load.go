package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxFileSize is the largest file that is read, in bytes.
const MaxFileSize = 4 << 20

// Options are facts about the machine that some defaults depend on.
type Options struct {
	Hostname string // node ID of a configuration that names none
	TempDir  string // where an explicitly empty datadir goes; empty means /tmp
}

// Load reads configuration files of version 1 (a YAML list of sections) as one
// configuration: all their sections together, in the order given. An error is
// of type Problems and holds everything that is wrong; then no File is
// returned. No file at all is an empty configuration.
func Load(o Options, files ...string) (*File, error) {
	l := loader{options: o}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			l.unreadable(name, err)
			continue
		}
		l.read(name, f)
		f.Close()
	}
	return l.finish()
}

// LoadReader is Load for one configuration that is not a file; name stands for
// it in problems.
func LoadReader(o Options, name string, r io.Reader) (*File, error) {
	l := loader{options: o}
	l.read(name, r)
	return l.finish()
}

// loader gathers the sections of all files.
type loader struct {
	options  Options
	report   report
	sections []section
}

// unreadable notes that a file could not be read.
func (l *loader) unreadable(name string, err error) {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the name is said already
	}
	l.report.files = append(l.report.files, name)
	l.report.problem(at(place{file: name}, "cannot be read: %v", err))
}

// read adds the sections of one file.
func (l *loader) read(name string, r io.Reader) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileSize+1))
	if err == nil && len(data) > MaxFileSize {
		err = fmt.Errorf("larger than %d bytes", MaxFileSize)
	}
	if err != nil {
		l.unreadable(name, err)
		return
	}
	l.report.files = append(l.report.files, name)
	l.sections = append(l.sections, readYAML(name, bytes.NewReader(data), &l.report)...)
}

// finish converts, completes and checks what was read.
func (l *loader) finish() (*File, error) {
	f := convert(l.sections, &l.report)
	complete(f, l.options, &l.report)
	if len(l.report.problems) > 0 {
		ps := l.report.sorted(l.report.problems)
		if l.report.more > 0 {
			ps = append(ps, Problem{Text: fmt.Sprintf("%d more problems are not shown", l.report.more)})
		}
		return nil, ps
	}
	f.Warnings = l.report.sorted(l.report.warnings)
	return f, nil
}
