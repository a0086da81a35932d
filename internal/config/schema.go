package config

import "strings"

// sectionSpec is what is known of a section: one row group of the table in
// sections.go. Reading, checking, suggestions, the command line and its help
// all go by it.
type sectionSpec struct {
	name      string
	group     string // its title in the help; one of the groups
	help      string
	single    bool      // may be there once
	exclusive bool      // must be alone: the program does this one thing and ends
	hidden    bool      // not for people: not in the help, but completed
	mapName   string    // in version 2, if it is not the name, or the name and an s where it is a list
	mapOne    bool      // in version 2 it is a map, not a list of maps; so are singles
	ours      bool      // an extension: ansible/receptor refuses the section
	noMap     bool      // there is no such section in version 2
	keys      []keySpec // in the order of the help
	build     func(f *File, v values)
}

// The groups of the help, in its order. Sections outside of them come first.
const (
	tlsGroup     = "TLS settings"
	linkGroup    = "Links to other nodes"
	serviceGroup = "Services on the mesh"
	workGroup    = "Work"
	certGroup    = "Certificates"
)

var groups = []string{"", tlsGroup, linkGroup, serviceGroup, workGroup, certGroup}

// keySpec is what is known of a key.
type keySpec struct {
	name     string
	typ      *keyType
	required bool
	bare     bool   // takes the value of a section that is given without a key
	def      string // default, written as on the command line; empty is the zero value
	ours     bool   // an extension: ansible/receptor refuses the key
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

// inMap is the name of the section in version 2 and whether it is a list there
// (spec configuration 8). The name is empty if there is none.
func (s *sectionSpec) inMap() (name string, list bool) {
	switch {
	case s.noMap:
		return "", false
	case s.mapOne || s.single:
		return s.name, false
	case s.mapName != "":
		return s.mapName, true
	}
	return s.name + "s", true
}

// findInMap finds a section by its name in version 2, in any letter case, or
// nil.
func findInMap(name string) *sectionSpec {
	if strings.EqualFold(name, "ip-routers") { // what the manual of ansible/receptor calls them
		name = "iprouters"
	}
	for i := range sections {
		if n, _ := sections[i].inMap(); n != "" && strings.EqualFold(n, name) {
			return &sections[i]
		}
	}
	return nil
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

// sectionNames are the names of all sections in a form, for suggestions.
func sectionNames(f form) []string {
	var names []string
	for i := range sections {
		name := sections[i].name
		if f == mapForm {
			name, _ = sections[i].inMap()
		}
		if name != "" && !sections[i].hidden {
			names = append(names, name)
		}
	}
	return names
}
