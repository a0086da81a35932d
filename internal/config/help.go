package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteHelp lists all sections with their keys, types and defaults, by the
// table and in its order. Errors are those of w.
func WriteHelp(w io.Writer) error {
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
