package config

import (
	"slices"
	"strings"
)

// Args is a command line: sections, files, and what else it asks for. It is
// not changed after it was parsed; it may be loaded any number of times, each
// time the files are read again.
type Args struct {
	Help       bool // the help is asked for, and nothing else matters
	Completion bool // a script for bash is asked for, and nothing else matters
	V2         bool // files are of version 2
	inputs     []input
	report     report
}

// input is a section of the command line or a file.
type input struct {
	file    string // empty for a section
	section section
}

// Files are the configuration files named, in order.
func (a *Args) Files() []string {
	var files []string
	for _, in := range a.inputs {
		if in.file != "" {
			files = append(files, in.file)
		}
	}
	return files
}

// FromFiles is a command line that names nothing but files.
func FromFiles(v2 bool, files ...string) *Args {
	a := &Args{V2: v2}
	for _, f := range files {
		a.inputs = append(a.inputs, input{file: f})
	}
	return a
}

// With is a with all that b names after it.
func (a *Args) With(b *Args) *Args {
	return &Args{V2: a.V2 || b.V2, inputs: slices.Concat(a.inputs, b.inputs)}
}

// ParseArgs reads a command line without the name of the program (spec
// configuration 3). An error is of type Problems and holds everything that is
// wrong; what is wrong with the sections shows only when they are loaded. Up to
// an option for help everything must be right.
func ParseArgs(args []string) (*Args, error) {
	a := &Args{V2: slices.Contains(args, "--config-v2")}
	p := argsParser{args: a}
	for i, arg := range args {
		if arg != "--config-v2" {
			p.arg(i+1, arg)
		}
		if a.Help || a.Completion {
			if len(a.report.problems) == 0 {
				convert(a.sections(), &a.report)
			}
			break
		}
	}
	p.end()
	if len(a.report.problems) > 0 {
		return nil, a.report.problems
	}
	return a, nil
}

// sections are those of the command line alone.
func (a *Args) sections() []section {
	var ss []section
	for _, in := range a.inputs {
		if in.file == "" {
			ss = append(ss, in.section)
		}
	}
	return ss
}

// argsParser goes through a command line.
type argsParser struct {
	args *Args
	open bool  // the last of the inputs is a section that takes keys
	file place // of a --config that waits for its file
}

func (p *argsParser) wrong(at_ place, suggestion, format string, args ...any) {
	p.args.report.problem(at(at_, format, args...).suggest("%s", suggestion))
}

// end is the end of a section, or of everything.
func (p *argsParser) end() {
	if p.file.line > 0 {
		p.wrong(p.file, "write --config FILE", "--config without a file")
	}
	p.open, p.file = false, place{}
}

func (p *argsParser) arg(number int, arg string) {
	here := place{file: CommandLine, line: number}
	if !strings.HasPrefix(arg, "-") {
		p.parameter(here, arg)
		return
	}
	p.end()
	name := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
	option, file, withFile := strings.Cut(name, "=")
	switch {
	case strings.EqualFold(arg, "-h"), strings.EqualFold(arg, "--help"):
		p.args.Help = true
	case strings.EqualFold(arg, "--bash-completion"):
		p.args.Completion = true
	case strings.EqualFold(option, "config"), strings.EqualFold(option, "c"):
		switch {
		case !withFile:
			p.file = here
		case file == "":
			p.wrong(here, "write --config FILE", "--config without a file")
		default:
			p.args.inputs = append(p.args.inputs, input{file: file})
		}
	case p.args.V2 && !strings.EqualFold(name, "version"):
		p.wrong(here, "with --config-v2 all is in the file", "unknown flag: %s", arg)
	default:
		p.section(here, name, arg)
	}
}

// section opens a section.
func (p *argsParser) section(here place, name, arg string) {
	s := section{form: argsForm, name: name, place: here}
	if s.spec() == nil {
		problem := atSection(&s, "unknown section")
		if strings.EqualFold(name, "help") || strings.EqualFold(name, "bash-completion") {
			problem = problem.suggest("write --%s", strings.ToLower(name))
		} else if key, _, found := strings.Cut(name, "="); found && findSection(strings.ToLower(key)) != nil {
			problem = problem.suggest("keys are arguments of their own: %s KEY=VALUE", strings.SplitN(arg, "=", 2)[0])
		} else {
			problem.Suggestion = didYouMean(name, append(sectionNames(argsForm), "config", "config-v2", "help", "bash-completion"))
		}
		p.args.report.problem(problem)
		p.open = true // its keys are not worth a word
		p.args.inputs = append(p.args.inputs, input{section: section{form: argsForm, name: "", place: here}})
		return
	}
	p.args.inputs = append(p.args.inputs, input{section: s})
	p.open = true
}

// parameter takes an argument without a dash: the file of --config, a key of
// the section before it, or its bare value.
func (p *argsParser) parameter(here place, arg string) {
	switch {
	case p.file.line > 0 && arg != "":
		p.args.inputs = append(p.args.inputs, input{file: arg})
		p.file = place{}
		return
	case arg == "":
		p.wrong(here, `write KEY="" for an empty value`, "an empty argument")
		return
	case !p.open:
		if _, _, pair := strings.Cut(arg, "="); !pair {
			p.wrong(here, "see --help", "unknown command %q", arg)
			return
		}
		p.wrong(here, "begin with a section, as in --node id=NAME", "parameter specified before command: %s", arg)
		return
	}
	s := &p.args.inputs[len(p.args.inputs)-1].section
	key, text, pair := strings.Cut(arg, "=")
	if !pair {
		v := value{kind: kindText, text: arg, place: here}
		if s.bare == nil {
			s.bare = &v
		} else if spec := s.spec(); spec != nil && spec.bareKey() != nil {
			s.keys = append(s.keys, entry{value{kind: kindText, text: spec.bareKey().name, place: here}, v})
		}
		return
	}
	s.keys = append(s.keys, entry{value{kind: kindText, text: key, place: here}, value{kind: kindText, text: text, place: here}})
}
