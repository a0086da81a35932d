package config

import (
	"fmt"
	"slices"
	"strings"
)

// convert makes a File of sections: looks each up in the table, converts its
// keys, fills in defaults, and builds its struct. What is wrong is reported and
// left out.
func convert(ss []section, r *report) *File {
	f := &File{}
	first := make(map[string]place) // of sections that may be there once
	tools, others := 0, 0
	for i := range ss {
		s := &ss[i]
		spec := s.spec()
		if spec == nil {
			others++
			if !r.full() {
				r.problem(unknownSection(s))
			}
			continue
		}
		if spec.exclusive {
			tools++
		} else {
			others++
		}
		if spec.exclusive && s.form != mapForm && len(ss) > 1 {
			r.problem(atSection(s, "cannot specify any other options with %s", spec.name))
			continue
		}
		if p, twice := first[spec.name]; twice && spec.single {
			r.problem(atSection(s, "only one %s section is allowed", spec.name).suggest("the first is at %s", inFile(p.file, p.line)))
			continue
		}
		first[spec.name] = s.place
		spec.build(f, convertSection(spec, s, r))
	}
	f.ToolsOnly = tools > 0 && others == 0
	return f
}

// atSection makes a problem with a section as read.
func atSection(s *section, format string, args ...any) Problem {
	p := at(s.place, format, args...)
	p.Section = s.name
	return p
}

// unknownSection is the problem of a section that is not in the table.
func unknownSection(s *section) Problem {
	p := atSection(s, "unknown section")
	switch {
	case s.form == listForm && (s.name == "config" || s.name == "help"):
		return p.suggest("only an option of the command line; a file cannot include another")
	case s.form == listForm && findSection(strings.ToLower(s.name)) != nil:
		return p.suggest("section names are lower case: did you mean %q?", strings.ToLower(s.name))
	case s.form == listForm && findInMap(s.name) != nil:
		return p.suggest("that is its name in version 2: did you mean %q?", findInMap(s.name).name)
	}
	if s.form == mapForm {
		if spec := findSection(strings.ToLower(s.name)); spec != nil {
			name, list := spec.inMap()
			switch {
			case list:
				return p.suggest("version 2 has a list of them: did you mean %q?", name)
			case name == "":
				return p.suggest("not in a file of version 2")
			}
		}
	}
	p.Suggestion = didYouMean(s.name, sectionNames(s.form))
	return p
}

// values are the converted keys of a section, defaults included.
type values struct {
	spec   *sectionSpec
	form   form
	origin Origin
	set    map[string]any
}

// get is the value of a key, or the zero value if it was not given and has no
// default.
func get[T any](v values, key string) T {
	var zero T
	x, ok := v.set[key]
	if !ok {
		if v.spec.key(key) == nil {
			panic("BUG: section " + v.spec.name + " has no key " + key)
		}
		return zero
	}
	return x.(T)
}

// conversion is the context of converting one key, for problems.
type conversion struct {
	report *report
	form   form
	origin Origin
	key    string
}

func (c *conversion) fail(suggestion, format string, args ...any) bool {
	p := atKey(c.origin, c.key, format, args...)
	p.Suggestion = suggestion
	c.report.problem(p)
	return false
}

func (c *conversion) warn(format string, args ...any) {
	c.report.warn(atKey(c.origin, c.key, format, args...))
}

// convertSection converts all keys of a section.
func convertSection(spec *sectionSpec, s *section, r *report) values {
	v := values{spec: spec, form: s.form, set: make(map[string]any), origin: Origin{
		File: s.place.file, Line: s.place.line, Section: s.name, column: s.place.column,
		keys: make(map[string]place), failed: make(map[string]bool),
	}}
	for _, g := range given(spec, s, &v.origin, r) {
		c := conversion{report: r, form: s.form, origin: v.origin, key: g.spec.name}
		x, ok := g.spec.typ.convert(&c, g.value)
		if !ok {
			v.origin.failed[c.key] = true
		} else if x != nil {
			v.set[g.spec.name] = x
		}
	}
	for i := range spec.keys {
		v.complete(&spec.keys[i], r)
	}
	return v
}

// complete reports a required key that is missing and fills in a default.
func (v *values) complete(k *keySpec, r *report) {
	if _, have := v.set[k.name]; have {
		return
	}
	if k.required && !v.origin.given(k.name) && !v.origin.failed[k.name] {
		v.origin.failed[k.name] = true
		r.problem(atKey(v.origin, k.name, "required key missing"))
	}
	if k.def == "" {
		return
	}
	x, ok := k.typ.convert(&conversion{report: &report{}, form: argsForm, origin: v.origin, key: k.name}, value{kind: kindText, text: k.def})
	if !ok {
		panic(fmt.Sprintf("BUG: section %s, key %s: bad default %q", v.spec.name, k.name, k.def))
	}
	v.set[k.name] = x
}

// givenKey is a key of the table with the value it was given.
type givenKey struct {
	spec  *keySpec
	value value
}

// given finds the keys of a section in the table and notes their places.
func given(spec *sectionSpec, s *section, o *Origin, r *report) []givenKey {
	var gs []givenKey
	if s.bare != nil {
		k := spec.bareKey()
		if k == nil {
			r.problem(atSection(s, "does not take a value without a key").suggest("%s", bareHint(spec)))
			o.failed[""] = true
			return nil
		}
		o.keys[k.name] = s.bare.place
		gs = append(gs, givenKey{k, *s.bare})
	}
	spelt := make(map[string]string)
	for _, e := range s.keys {
		k := spec.key(e.key.text)
		if k == nil || e.key.kind != kindText {
			o.failed[e.key.text] = true
			if !r.full() {
				r.problem(unknownKey(spec, s, e.key))
				o.failed[nearest(e.key.text, spec.keyNames())] = true // it is not missed as well
			}
			continue
		}
		if s.form == mapForm && e.value.kind == kindNull {
			p := at(e.key.place, "has no value, which is as if it were not there")
			p.Section, p.Key = s.name, k.name
			r.warn(p)
			continue
		}
		if s.form == argsForm {
			gs = again(gs, k, e, o, r)
			continue
		}
		o.keys[k.name] = e.key.place
		if other, twice := spelt[k.name]; twice {
			r.problem(atKey(*o, k.name, "given twice, as %q and as %q", other, e.key.text))
			o.failed[k.name] = true
			continue
		}
		spelt[k.name] = e.key.text
		gs = append(gs, givenKey{k, e.value})
	}
	return gs
}

// again adds a key of the command line, where one may be given more than once:
// lists grow, of other values the last one counts (spec configuration 3).
func again(gs []givenKey, k *keySpec, e entry, o *Origin, r *report) []givenKey {
	i := slices.IndexFunc(gs, func(g givenKey) bool { return g.spec == k })
	switch {
	case i < 0:
		gs = append(gs, givenKey{k, e.value})
	case k.typ.name == textsName:
		if g := &gs[i]; g.value.kind != kindList {
			g.value = value{kind: kindList, place: g.value.place, list: []value{g.value}}
		}
		gs[i].value.list = append(gs[i].value.list, e.value)
	default:
		r.warn(atKey(*o, k.name, "is given again in argument %d: the last one counts", e.key.place.line))
		gs[i].value = e.value
	}
	o.keys[k.name] = e.key.place
	return gs
}

// unknownKey is the problem of a key that is not in the table.
func unknownKey(spec *sectionSpec, s *section, key value) Problem {
	p := at(key.place, "unknown key")
	p.Section, p.Key = s.name, key.text
	if key.kind != kindText {
		p.Text = "the name of a key must be a text, not " + key.describe()
		return p
	}
	p.Suggestion = didYouMean(key.text, spec.keyNames())
	if p.Suggestion == "" {
		p.Suggestion = keysHint(spec)
	}
	return p
}

// bareHint says how to give the value of a section that takes none bare.
func bareHint(spec *sectionSpec) string {
	if len(spec.keys) == 0 {
		return "the section has no keys"
	}
	return fmt.Sprintf("name the key, as in %q", spec.keys[0].name+": ...")
}

// keysHint lists the keys of a section.
func keysHint(spec *sectionSpec) string {
	if len(spec.keys) == 0 {
		return "the section has no keys"
	}
	return "known keys: " + strings.Join(spec.keyNames(), ", ")
}
