package config

import "strings"

// sectionSpec is what is known of a section: one row group of the table in
// sections.go. Reading, checking, suggestions, the command line and its help
// all go by it.
type sectionSpec struct {
	name   string
	help   string
	single bool      // may be there once
	keys   []keySpec // in the order of the help
	// build adds the section to f; nil if the section is known, but not
	// supported yet.
	build func(f *File, v values)
}

// keySpec is what is known of a key.
type keySpec struct {
	name     string
	typ      *keyType
	required bool
	bare     bool   // takes the value of a section that is given without a key
	def      string // default, written as on the command line; empty is the zero value
	help     string // includes unit and bounds
}

// key finds a key by its name in any letter case, or nil.
func (s *sectionSpec) key(name string) *keySpec {
	for i := range s.keys {
		if strings.EqualFold(s.keys[i].name, name) {
			return &s.keys[i]
		}
	}
	return nil
}

// bareKey is the key that takes a bare value, or nil.
func (s *sectionSpec) bareKey() *keySpec {
	for i := range s.keys {
		if s.keys[i].bare {
			return &s.keys[i]
		}
	}
	return nil
}

// keyNames are the names of all keys, for suggestions.
func (s *sectionSpec) keyNames() []string {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.name
	}
	return names
}

// findSection finds a section by its exact name, or nil.
func findSection(name string) *sectionSpec {
	for i := range sections {
		if sections[i].name == name {
			return &sections[i]
		}
	}
	return nil
}

// sectionNames are the names of all sections, for suggestions.
func sectionNames() []string {
	names := make([]string, len(sections))
	for i, s := range sections {
		names[i] = s.name
	}
	return names
}
