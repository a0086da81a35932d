package config

// section is a section as read: a name, and either a bare value or keys. What
// they mean is not looked at. Every way to write a configuration ends in a
// list of these.
type section struct {
	name  string
	place place
	bare  *value // a value without a key, or nil
	keys  []entry
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
