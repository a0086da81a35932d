package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteHelp lists all sections, or those that are named, with their keys, types
// and defaults, by the table and in its order. A name may be that of version 2,
// in any letter case and with dashes before it. Errors are those of w, or Problems
// with names that are unknown.
func WriteHelp(w io.Writer, names ...string) error {
	if len(names) > 0 {
		return writeSections(w, names)
	}
	for _, g := range groups {
		if g != "" {
			if _, err := fmt.Fprintf(w, "\n %s:\n", g); err != nil {
				return err
			}
		}
		for i := range sections {
			s := &sections[i]
			if s.group != g || s.hidden {
				continue
			}
			if _, err := io.WriteString(w, s.usage()); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSections is WriteHelp for some sections.
func writeSections(w io.Writer, names []string) error {
	var problems Problems
	text := ""
	for _, name := range names {
		name = strings.ToLower(strings.TrimLeft(name, "-"))
		s := findSection(name)
		if s == nil {
			s = findInMap(name)
		}
		if s == nil {
			problems = append(problems, Problem{Section: name, Text: "unknown section", Suggestion: didYouMean(name, sectionNames(argsForm))})
			continue
		}
		text += s.usage()
	}
	if len(problems) > 0 {
		return problems
	}
	_, err := io.WriteString(w, text)
	return err
}

// usage is the help of a section.
func (s *sectionSpec) usage() string {
	notes := []string{}
	switch {
	case s.exclusive:
		notes = append(notes, "alone")
	case s.single:
		notes = append(notes, "once")
	}
	if s.ours {
		notes = append(notes, "not in ansible/receptor")
	}
	text := fmt.Sprintf("   --%s: %s%s\n", s.name, strings.TrimSuffix(s.help, "."), inBrackets(notes))
	for i := range s.keys {
		text += "      " + s.keys[i].usage() + "\n"
	}
	return text
}

// usage is the help of a key.
func (k *keySpec) usage() string {
	var notes []string
	if k.required {
		notes = append(notes, "required")
	}
	if k.bare {
		notes = append(notes, "the name may be left out")
	}
	if k.def != "" {
		notes = append(notes, "default: "+k.def)
	}
	if k.ours {
		notes = append(notes, "not in ansible/receptor")
	}
	return fmt.Sprintf("%s=<%s>: %s%s", k.name, k.typ.name, k.help, inBrackets(notes))
}

func inBrackets(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, ", ") + ")"
}

// Suggest completes the last word of a command line of sections; words are those
// before it. Each suggestion is a word, a tab and what it means. files tells that
// the names of files are possible too.
func Suggest(words []string, last string) (suggestions []string, files bool) {
	var open *sectionSpec
	previous := ""
	for _, w := range words {
		previous = w
		if strings.HasPrefix(w, "-") {
			open = findSection(strings.ToLower(strings.TrimLeft(w, "-")))
		}
	}
	if name := strings.TrimLeft(previous, "-"); name != previous && (strings.EqualFold(name, "config") || strings.EqualFold(name, "c")) {
		return nil, true
	}
	add := func(word, help string) {
		if strings.HasPrefix(word, strings.ToLower(last)) {
			suggestions = append(suggestions, word+"\t"+help)
		}
	}
	if open != nil && !strings.HasPrefix(last, "-") {
		if strings.Contains(last, "=") {
			return nil, true
		}
		for i := range open.keys {
			add(open.keys[i].name+"=", open.keys[i].help)
		}
	}
	for i := range sections {
		add("--"+sections[i].name, sections[i].help)
	}
	add("--config", "Read a file")
	add("--config-v2", "The file is of version 2")
	add("--help", "List all sections")
	add("--bash-completion", "Print a script for bash")
	return suggestions, false
}

// SuggestSections completes the name of a section. Each suggestion is a name, a
// tab and what it means.
func SuggestSections(last string) (suggestions []string) {
	for i := range sections {
		if s := &sections[i]; !s.hidden && strings.HasPrefix(s.name, strings.ToLower(last)) {
			suggestions = append(suggestions, s.name+"\t"+s.help)
		}
	}
	return suggestions
}
