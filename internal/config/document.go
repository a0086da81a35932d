package config

// document makes sections of a file's value.
func (y *yamlReader) document(root value) []section {
	switch root.kind {
	case kindNull:
		return nil
	case kindList:
		var ss []section
		for _, item := range root.list {
			if s, ok := y.section(item); ok {
				ss = append(ss, s)
			}
		}
		return ss
	case kindDict:
		p := at(root.place, "the file is a map of sections, not a list")
		for _, e := range root.dict {
			if e.key.kind == kindText && findSection(e.key.text) == nil && findInMap(e.key.text) != nil {
				y.report.problem(p.suggest("%q is a section of version 2, which needs the line \"version: 2\" or the option --config-v2", e.key.text))
				return nil
			}
		}
		y.report.problem(p.suggest(`write each section as an item of a list, as in "- node:"`))
		return nil
	}
	y.report.problem(at(root.place, "the file is %s, not a list of sections", root.describe()).
		suggest(`write each section as an item of a list, as in "- node:"`))
	return nil
}

// section makes a section of one item of the list: a name, or a map of one
// name.
func (y *yamlReader) section(item value) (section, bool) {
	switch item.kind {
	case kindText:
		return section{name: item.text, place: item.place}, true
	case kindDict:
		switch len(item.dict) {
		case 0:
			y.report.problem(at(item.place, "an item without a section name"))
			return section{}, false
		case 1:
			return y.named(item.dict[0])
		}
		y.report.problem(severalNames(item))
		return section{}, false
	}
	y.report.problem(at(item.place, "an item of the list must be a section, not %s", item.describe()))
	return section{}, false
}

// named makes a section of its name and value.
func (y *yamlReader) named(e entry) (section, bool) {
	if e.key.kind != kindText {
		y.report.problem(at(e.key.place, "the name of a section must be a text, not %s", e.key.describe()))
		return section{}, false
	}
	s := section{name: e.key.text, place: e.key.place}
	switch v := e.value; v.kind {
	case kindNull:
	case kindText:
		s.bare = &v
	case kindDict:
		s.keys = v.dict
	default:
		p := at(v.place, "the value of a section must be a map of keys or a text, not %s", v.describe())
		p.Section = s.name
		if v.kind == kindInt {
			p = p.suggest("put it in quotes: %q", v.text)
		}
		y.report.problem(p)
		return section{}, false
	}
	return s, true
}

// severalNames is the problem of an item with more than one name, which most
// often has its keys indented too little.
func severalNames(item value) Problem {
	first, second := item.dict[0], item.dict[1]
	p := at(second.key.place, "an item with several names, %q and %q: write one section per item", first.key.text, second.key.text)
	if s := findSection(first.key.text); s != nil && first.value.kind == kindNull && s.key(second.key.text) != nil {
		return p.suggest("indent %q further to make it a key of %q", second.key.text, first.key.text)
	}
	return p
}
