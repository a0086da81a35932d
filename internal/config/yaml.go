package config

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds on what a file may expand to by anchors and merge keys.
const (
	maxValues = 1 << 18 // values of one file, after aliases are expanded
	maxDepth  = 16      // a real configuration has 5 levels
)

// readYAML reads a file: a list of sections, which is version 1, or a map of
// them, which is version 2 (spec configuration 4, 8). It is taken as a map if
// that is asked for, or if it is one and says that its version is 2. Sections
// that cannot be made out are left out and reported.
func readYAML(file string, r io.Reader, asMap bool, rep *report) ([]section, form) {
	y := yamlReader{file: file, report: rep, plain: plain}
	want := listForm
	if asMap {
		want = mapForm
	}
	dec := yaml.NewDecoder(r)
	var doc yaml.Node
	switch err := decodeYAML(dec, &doc); {
	case errors.Is(err, io.EOF):
		return nil, want
	case err != nil:
		rep.problem(yamlProblem(file, err))
		return nil, want
	}
	if asMap || saysVersion2(&doc) {
		y.plain, want = plainV2, mapForm
	}
	root, ok := y.value(&doc, 0)
	if !ok {
		return nil, want
	}
	y.further(dec)
	if want == mapForm {
		return mapDocument(root, rep), mapForm
	}
	return y.document(root), listForm
}

// saysVersion2 tells whether a document is a map with the key version, which is
// 2.
func saysVersion2(doc *yaml.Node) bool {
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return false
	}
	n := doc.Content[0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		if strings.EqualFold(n.Content[i].Value, "version") && n.Content[i+1].Value == "2" {
			return true
		}
	}
	return false
}

// readJSON reads a value that stands as JSON in a text, by the rules of version
// 2, which are those of JSON.
func readJSON(v value, rep *report) value {
	y := yamlReader{file: v.place.file, report: rep, plain: plainV2, at: &v.place}
	dec := yaml.NewDecoder(strings.NewReader(v.text))
	var doc yaml.Node
	if err := decodeYAML(dec, &doc); err != nil {
		rep.problem(yamlProblem(v.place.file, err))
		return v
	}
	x, ok := y.value(&doc, 0)
	if !ok {
		return v
	}
	return x
}

// decodeYAML reads one document. A panic of the YAML library becomes an error:
// no file may end the process.
func decodeYAML(dec *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML reader failed: %v", r)
		}
	}()
	return dec.Decode(doc)
}

var yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?(?:line ([0-9]+): )?`)

// yamlProblem takes the line out of an error of the YAML library.
func yamlProblem(file string, err error) Problem {
	text := err.Error()
	m := yamlErrorLine.FindStringSubmatch(text)
	line, _ := strconv.Atoi(m[1])
	p := at(place{file: file, line: line}, "not valid YAML: %s", text[len(m[0]):])
	if strings.Contains(text, "cannot start any token") {
		return p.suggest("indent with spaces, not tabs, and quote texts that begin with a special character")
	}
	return p
}

// yamlReader turns YAML nodes into values.
type yamlReader struct {
	file   string
	report *report
	plain  func(string) value // the value of a scalar without quotes
	at     *place             // of all that is read, or nil
	count  int
}

// further warns of documents after the first, which are not read.
func (y *yamlReader) further(dec *yaml.Decoder) {
	var doc yaml.Node
	err := decodeYAML(dec, &doc)
	if errors.Is(err, io.EOF) {
		return
	}
	p := place{file: y.file}
	if err == nil && len(doc.Content) > 0 {
		n := doc.Content[0]
		if n.Kind == yaml.ScalarNode && n.Value == "" {
			return // a last line of `---`
		}
		p = y.place(n)
	}
	y.report.warn(at(p, "only the first YAML document of a file is read: what follows it is ignored"))
}

func (y *yamlReader) place(n *yaml.Node) place {
	if y.at != nil {
		return *y.at
	}
	return place{file: y.file, line: n.Line, column: n.Column}
}

// value expands a node. It is false if that was given up, which is reported.
func (y *yamlReader) value(n *yaml.Node, depth int) (value, bool) {
	y.count++
	if y.count > maxValues || depth > maxDepth {
		if y.count <= maxValues {
			y.report.problem(at(y.place(n), "nested too deeply"))
		} else {
			y.report.problem(at(y.place(n), "more than %d values after anchors are expanded", maxValues))
		}
		return value{}, false
	}
	v := value{place: y.place(n)}
	switch n.Kind {
	case yaml.DocumentNode:
		return y.value(n.Content[0], depth)
	case yaml.AliasNode:
		v, ok := y.value(n.Alias, depth+1)
		v.place = y.place(n)
		return v, ok
	case yaml.SequenceNode:
		v.kind = kindList
		for _, c := range n.Content {
			e, ok := y.value(c, depth+1)
			if !ok {
				return value{}, false
			}
			v.list = append(v.list, e)
		}
		return v, true
	case yaml.MappingNode:
		v.kind = kindDict
		var ok bool
		v.dict, ok = y.entries(n, depth)
		return v, ok
	}
	return y.scalar(n)
}

// scalar reads a scalar by its quotes and its tag, if it has one.
func (y *yamlReader) scalar(n *yaml.Node) (value, bool) {
	v := value{kind: kindText, text: n.Value}
	tag := n.ShortTag()
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		switch tag {
		case "!!bool", "!!int", "!!float", "!!null":
			v = y.plain(n.Value)
		case "!!binary":
			y.report.problem(at(y.place(n), "binary values are not supported"))
			return value{}, false
		}
	case n.Style == 0:
		v = y.plain(n.Value)
	}
	v.place = y.place(n)
	return v, true
}

// entries reads a map: its own keys, then those that it merges in (<<) and
// does not have itself. A key given twice takes its last value, as in
// ansible/receptor, with a warning.
func (y *yamlReader) entries(n *yaml.Node, depth int) ([]entry, bool) {
	var own, merged []entry
	index := make(map[keyID]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		v, ok := y.value(n.Content[i+1], depth+1)
		if !ok {
			return nil, false
		}
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			more, ok := y.merge(v)
			if !ok {
				return nil, false
			}
			merged = append(merged, more...)
			continue
		}
		k, ok := y.value(n.Content[i], depth+1)
		if !ok {
			return nil, false
		}
		id := keyID{k.kind, k.text}
		if j, twice := index[id]; twice {
			y.report.warn(at(k.place, "key %q is given twice, the first time in line %d: the last one counts",
				k.text, own[j].key.place.line))
			own[j] = entry{k, v}
			continue
		}
		index[id] = len(own)
		own = append(own, entry{k, v})
	}
	for _, e := range merged {
		id := keyID{e.key.kind, e.key.text}
		if _, have := index[id]; !have {
			index[id] = len(own)
			own = append(own, e)
		}
	}
	return own, true
}

// keyID tells the keys of a map apart.
type keyID struct {
	kind kind
	text string
}

// merge gives the entries behind a merge key: of a map, or of a list of maps of
// which the first counts.
func (y *yamlReader) merge(v value) ([]entry, bool) {
	switch v.kind {
	case kindDict:
		return v.dict, true
	case kindList:
		var es []entry
		for _, e := range v.list {
			if e.kind != kindDict {
				y.report.problem(at(e.place, "only maps can be merged, not %s", e.describe()))
				return nil, false
			}
			es = append(es, e.dict...)
		}
		return es, true
	}
	y.report.problem(at(v.place, "only maps can be merged, not %s", v.describe()))
	return nil, false
}
