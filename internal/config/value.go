package config

import "strings"

// form is how a section was written. A few rules of how values are taken
// differ.
type form byte

const (
	listForm form = iota // an item of a YAML list: version 1
	argsForm             // options of the command line
	mapForm              // an entry of a map: version 2
)

// section is a section as read: a name, and either a bare value or keys. What
// they mean is not looked at. Every way to write a configuration ends in a
// list of these.
type section struct {
	form  form
	name  string // as written, but for dashes in front
	place place
	bare  *value // a value without a key, or nil
	keys  []entry
}

// spec finds the section in the table, or gives nil: names are exact in a list
// and may have any letter case elsewhere.
func (s *section) spec() *sectionSpec {
	switch s.form {
	case argsForm:
		return findSection(strings.ToLower(s.name))
	case mapForm:
		return findInMap(s.name)
	}
	return findSection(s.name)
}

// kind is what a value looks like, before anything is known of the key it is
// given to.
type kind byte

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindHuge // an integer beyond int64
	kindFloat
	kindText
	kindList
	kindDict
)

// value is a value as read.
type value struct {
	kind  kind
	place place
	text  string // a scalar as written, quotes removed
	bool  bool
	int   int64
	float float64
	list  []value
	dict  []entry
}

// entry is one key of a dict with its value. Keys are unique as written.
type entry struct {
	key   value
	value value
}

// describe says what a value is, for problems.
func (v value) describe() string {
	switch v.kind {
	case kindNull:
		return "nothing"
	case kindBool:
		return "the boolean " + v.text
	case kindInt, kindHuge, kindFloat:
		return "the number " + v.text
	case kindText:
		return "a text"
	case kindList:
		return "a list"
	}
	return "a map"
}
