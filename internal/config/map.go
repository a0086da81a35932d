package config

import "strings"

// mapDocument makes sections of a file of version 2: a map of sections, of
// which some are lists (spec configuration 8).
func mapDocument(root value, r *report) []section {
	switch root.kind {
	case kindNull:
		return nil
	case kindDict:
	case kindList:
		r.problem(at(root.place, "the file is a list of sections, which is version 1, not a map").
			suggest("read it without --config-v2"))
		return nil
	default:
		r.problem(at(root.place, "the file is %s, not a map of sections", root.describe()))
		return nil
	}
	var ss []section
	for _, e := range root.dict {
		switch {
		case e.key.kind != kindText:
			r.problem(at(e.key.place, "the name of a section must be a text, not %s", e.key.describe()))
		case isVersion(e.key):
			checkVersion(e, r)
		default:
			ss = append(ss, mapSections(e, r)...)
		}
	}
	return ss
}

// mapSections makes the sections of one entry of the map.
func mapSections(e entry, r *report) []section {
	wrong := func(v value, format string, args ...any) Problem {
		p := at(v.place, format, args...)
		p.Section = e.key.text
		return p
	}
	s := section{form: mapForm, name: e.key.text, place: e.key.place}
	spec := s.spec()
	if spec == nil {
		if !r.full() {
			r.problem(unknownSection(&s))
		}
		return nil
	}
	if e.value.kind == kindNull {
		return nil // as if it were not there
	}
	if _, list := spec.inMap(); !list {
		if e.value.kind != kindDict {
			p := wrong(e.value, "must be a map of keys, not %s", e.value.describe())
			if k := spec.bareKey(); k != nil && e.value.kind == kindText {
				p = p.suggest("write {%s: %s}", k.name, e.value.text)
			}
			r.problem(p)
			return nil
		}
		s.keys = e.value.dict
		return []section{s}
	}
	items := e.value.list
	switch e.value.kind {
	case kindList:
	case kindDict: // one is enough
		items = []value{e.value}
	default:
		r.problem(wrong(e.value, "must be a list of maps, not %s", e.value.describe()))
	}
	var ss []section
	for i, item := range items {
		if item.kind != kindDict {
			r.problem(wrong(item, "item %d must be a map of keys, not %s", i+1, item.describe()))
			continue
		}
		one := s
		one.keys = item.dict
		if e.value.kind == kindList {
			one.place = item.place
		}
		ss = append(ss, one)
	}
	return ss
}

func isVersion(key value) bool { return strings.EqualFold(key.text, "version") }

// checkVersion looks at the version that a file says to have. It is never
// needed.
func checkVersion(e entry, r *report) {
	if e.value.text != "2" {
		r.warn(at(e.key.place, "version %s: the file is read as version 2", e.value.text))
	}
}
