package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxFileSize is the largest file that is read, in bytes.
const MaxFileSize = 4 << 20

// Options are facts about the machine that some defaults depend on.
type Options struct {
	Hostname string // node ID of a configuration that names none
	TempDir  string // where an explicitly empty datadir goes; empty means /tmp
	Home     string // where the file of version 2 is looked for that is not named; empty for nowhere
	// LookupEnv finds variables of the environment that take the place of keys
	// of a file of version 2; nil finds none.
	LookupEnv func(string) (string, bool)
}

// Load reads configuration files as one configuration: all their sections
// together, in the order given. Each is a YAML list of sections (version 1); a
// single one may be a map that says that its version is 2. An error is of type
// Problems and holds everything that is wrong; then no File is returned. No
// file at all is an empty configuration.
func Load(o Options, files ...string) (*File, error) {
	return FromFiles(false, files...).Load(o)
}

// LoadReader is Load for one configuration that is not a file; name stands for
// it in problems.
func LoadReader(o Options, name string, r io.Reader) (*File, error) {
	l := loader{options: o}
	l.read(name, r)
	return l.finish()
}

// Load reads all that the command line names, as one configuration, like the
// function Load.
func (a *Args) Load(o Options) (*File, error) { return a.gather(o).finish() }

// gather reads everything and puts it in order.
func (a *Args) gather(o Options) *loader {
	l := &loader{options: o, v2: a.V2}
	l.report.files = append(l.report.files, CommandLine)
	inputs := a.inputs
	if a.V2 && len(inputs) == 0 {
		file, ok := defaultFile(o.Home)
		if !ok {
			l.report.problem(Problem{
				Text:       "Could not locate config file (default is $HOME/receptor.yaml)",
				Suggestion: "name it with --config",
			})
			return l
		}
		inputs = []input{{file: file}}
	}
	for _, in := range inputs {
		if in.file == "" {
			l.sections = append(l.sections, in.section)
			l.sources++
			continue
		}
		f, err := os.Open(in.file)
		if err != nil {
			l.unreadable(in.file, err)
			continue
		}
		l.read(in.file, f)
		f.Close()
	}
	return l
}

// defaultFile finds the file of version 2 that is read if none is named.
func defaultFile(home string) (name string, ok bool) {
	if home != "" {
		for _, ext := range []string{".json", ".toml", ".yaml", ".yml", ""} {
			name := filepath.Join(home, "receptor"+ext)
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				return name, true
			}
		}
	}
	return "", false
}

// loader gathers the sections of all files.
type loader struct {
	options  Options
	v2       bool // files are maps, whatever they say
	report   report
	sections []section
	sources  int    // how many files and sections of the command line there are
	mapFile  string // the file of version 2, or empty
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
	l.sources++
	var ss []section
	f := mapForm
	if strings.EqualFold(filepath.Ext(name), ".toml") {
		ss = readTOML(name, data, &l.report)
	} else {
		ss, f = readYAML(name, bytes.NewReader(data), l.v2, &l.report)
	}
	if f == mapForm {
		l.mapFile = name
		override(ss, l.options.LookupEnv)
	}
	l.sections = append(l.sections, ss...)
}

// finish converts, completes and checks what was read.
func (l *loader) finish() (*File, error) {
	l.alone()
	f := convert(l.sections, &l.report)
	complete(f, l.options, &l.report)
	if err := l.err(); err != nil {
		return nil, err
	}
	f.Warnings = l.report.sorted(l.report.warnings)
	return f, nil
}

// alone refuses a file of version 2 beside anything else.
func (l *loader) alone() {
	if l.mapFile != "" && l.sources > 1 {
		l.report.problem(at(place{file: l.mapFile}, "a configuration of version 2 is one file and nothing else").
			suggest("put all into one file, or see receptor config convert"))
	}
}

// err is what is wrong, or nil.
func (l *loader) err() error {
	if len(l.report.problems) == 0 {
		return nil
	}
	ps := l.report.sorted(l.report.problems)
	if l.report.more > 0 {
		ps = append(ps, Problem{Text: fmt.Sprintf("%d more problems are not shown", l.report.more)})
	}
	return ps
}
