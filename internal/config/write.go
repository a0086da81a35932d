package config

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Form is a way to write a configuration.
type Form string

// The forms (spec configuration 2).
const (
	V1       Form = "v1"   // a YAML list of sections
	V2       Form = "v2"   // a YAML map of sections
	ArgsForm Form = "args" // options of a command line, quoted for a shell
)

// Forms are all of them.
var forms = []Form{V1, V2, ArgsForm}

// ParseForm finds a form by its name.
func ParseForm(name string) (Form, error) {
	for _, f := range forms {
		if strings.EqualFold(name, string(f)) {
			return f, nil
		}
	}
	return "", fmt.Errorf("%q is not a form of a configuration: v1, v2 or args", name)
}

// Convert writes all that the command line names in another form, such that
// both load to the same value. Keys that are not given are not written, nor are
// comments. It also returns the warnings of loading. The error is of type
// Problems.
func (a *Args) Convert(o Options, to Form) (string, Problems, error) {
	l := a.gather(o)
	sections := l.sections
	f, err := l.finish()
	if err != nil {
		return "", nil, err
	}
	var ws []written
	var r report
	r.files = l.report.files
	for i := range sections {
		s := &sections[i]
		spec := s.spec()
		if spec.name == "local-only" && !f.LocalOnly {
			continue // version 2 has a way to say no
		}
		if p, ok := misfit(s, spec, to, len(sections)); !ok {
			r.problem(p)
			continue
		}
		w := write(s, spec)
		for _, k := range w.keys {
			if bad := unwritable(k.value, to); bad != "" {
				p := atSection(s, "cannot be written as %s: a text has %s in it", to, bad)
				p.Key = k.name
				r.problem(p)
			}
		}
		ws = append(ws, w)
	}
	if len(r.problems) > 0 {
		return "", nil, r.sorted(r.problems)
	}
	switch to {
	case V1:
		return writeList(ws), f.Warnings, nil
	case V2:
		return writeMap(ws), f.Warnings, nil
	}
	return writeArgs(ws), f.Warnings, nil
}

// misfit is the problem of a section that there cannot be in a form.
func misfit(s *section, spec *sectionSpec, to Form, count int) (Problem, bool) {
	if name, _ := spec.inMap(); to == V2 && name == "" {
		return atSection(s, "cannot be written as version 2: there is no such section"), false
	}
	if to != V2 && spec.exclusive && count > 1 {
		return atSection(s, "cannot be written as %s: there it must be alone", to), false
	}
	return Problem{}, true
}

// unwritable is what is in a text that a form cannot hold, or empty.
func unwritable(n *yaml.Node, to Form) string {
	switch {
	case !utf8.ValidString(n.Value):
		return "bytes that are not UTF-8"
	case to == ArgsForm && strings.Contains(n.Value, "\x00"):
		return "a zero byte"
	}
	for _, c := range n.Content {
		if bad := unwritable(c, to); bad != "" {
			return bad
		}
	}
	return ""
}

// written is a section with its values in a form that all ways of writing can
// express: texts, numbers, booleans, lists and maps.
type written struct {
	spec *sectionSpec
	keys []writtenKey
}

type writtenKey struct {
	name  string
	value *yaml.Node
}

// write takes the keys that are given, in the order of the table.
func write(s *section, spec *sectionSpec) written {
	w := written{spec: spec}
	set := make(map[string]any)
	origin := Origin{keys: make(map[string]place), failed: make(map[string]bool)}
	for _, g := range given(spec, s, &origin, &report{}) {
		c := conversion{report: &report{}, form: s.form, key: g.spec.name}
		if x, ok := g.spec.typ.convert(&c, g.value); ok && x != nil {
			set[g.spec.name] = x
		}
	}
	for _, k := range spec.keys {
		x, given := set[k.name]
		switch {
		case spec.name == "local-only":
			x, given = true, true
		case k.typ == stderrType && given:
			x = map[bool]string{false: "mixed", true: "separate"}[x.(bool)]
		}
		if given {
			w.keys = append(w.keys, writtenKey{k.name, node(x)})
		}
	}
	return w
}

// node makes a YAML node of a value of the table. Texts that could be taken for
// something else are quoted.
func node(x any) *yaml.Node {
	switch x := x.(type) {
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: x}
		if plain(x).kind != kindText || x == "<<" || strings.ContainsAny(x, "{}[]:,#&*!|>'\"%@`\n") {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(x)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(x)}
	case int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(x, 10)}
	case float64:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: strconv.FormatFloat(x, 'g', -1, 64)}
		if plain(n.Value).kind == kindInt {
			n.Tag = "!!int"
		}
		return n
	case time.Duration:
		return node(x.String())
	case time.Time:
		return node(x.Format(time.RFC3339Nano))
	case os.FileMode:
		return node(fmt.Sprintf("%#o", x))
	case slog.Level:
		return node(levelName(x))
	case netip.Prefix:
		return node(x.String())
	case []netip.Prefix:
		texts := make([]string, len(x))
		for i, p := range x {
			texts[i] = p.String()
		}
		return node(strings.Join(texts, ","))
	case []string:
		return list(x)
	case [][]byte:
		return list(x)
	case []byte:
		return node(hex.EncodeToString(x))
	case []any:
		return list(x)
	case []FirewallRule:
		return list(x)
	case FirewallRule:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for i, text := range []string{string(x.Action), x.FromNode.text, x.ToNode.text, x.FromService.text, x.ToService.text} {
			if text != "" {
				n.Content = append(n.Content, node(ruleKeys[i]), node(text))
			}
		}
		return n
	case []AccessRule:
		return list(x)
	case AccessRule:
		return x.node()
	case []Pattern:
		return list(x)
	case Pattern:
		return node(x.text)
	case map[string]float64:
		return dict(x)
	case map[string]any:
		return dict(x)
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	panic(fmt.Sprintf("BUG: a key of type %T cannot be written", x))
}

// node is the rule as it is written.
func (r AccessRule) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	action := deny
	if r.Allow {
		action = allow
	}
	for i, x := range []any{action, r.Node.text, r.CertName.text, r.User, r.Group, r.Commands, r.WorkTypes, r.ToNode.text, r.ToService.text} {
		if v := node(x); v.Value != "" || len(v.Content) > 0 {
			n.Content = append(n.Content, node(accessKeys[i]), v)
		}
	}
	return n
}

func list[T any](xs []T) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, x := range xs {
		n.Content = append(n.Content, node(x))
	}
	return n
}

func dict[T any](m map[string]T) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		n.Content = append(n.Content, node(k), node(m[k]))
	}
	return n
}

// levelName is the name of a log level in a configuration.
func levelName(l slog.Level) string {
	if l == slog.LevelWarn {
		return "warning"
	}
	return strings.ToLower(l.String())
}

// block is the keys of a section as a YAML map.
func (w written) block() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	if len(w.keys) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, k := range w.keys {
		n.Content = append(n.Content, node(k.name), k.value)
	}
	return n
}

// encode is the text of a YAML document.
func encode(n *yaml.Node) string {
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		panic("BUG: " + err.Error()) // only what node made
	}
	e.Close()
	return b.String()
}

func writeList(ws []written) string {
	doc := &yaml.Node{Kind: yaml.SequenceNode}
	for _, w := range ws {
		item := node(w.spec.name)
		if len(w.keys) > 0 && w.spec.name != "local-only" {
			item = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{item, w.block()}}
		}
		doc.Content = append(doc.Content, item)
	}
	return "---\n" + encode(doc)
}

func writeMap(ws []written) string {
	doc := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{node("version"), node(2)}}
	lists := make(map[string]*yaml.Node)
	for _, w := range ws {
		name, isList := w.spec.inMap()
		if !isList && lists[name] == nil {
			lists[name] = w.block()
			doc.Content = append(doc.Content, node(name), lists[name])
		}
		if !isList {
			continue // a second trace says nothing more
		}
		if lists[name] == nil {
			lists[name] = &yaml.Node{Kind: yaml.SequenceNode}
			doc.Content = append(doc.Content, node(name), lists[name])
		}
		lists[name].Content = append(lists[name].Content, w.block())
	}
	return "---\n" + encode(doc)
}

func writeArgs(ws []written) string {
	lines := []string{"receptor"}
	for _, w := range ws {
		line := "  --" + w.spec.name
		for _, k := range w.keys {
			switch {
			case w.spec.name == "local-only":
			case k.value.Kind == yaml.ScalarNode:
				line += " " + shellWord(k.name+"="+k.value.Value)
			case w.spec.key(k.name).typ.name == textsName && len(k.value.Content) > 0:
				line += texts(k)
			default:
				line += " " + shellWord(k.name+"="+jsonText(k.value))
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " \\\n") + "\n"
}

// texts is a key that is repeated for each of its texts. One that begins like
// JSON has to be JSON.
func texts(k writtenKey) string {
	line := ""
	for _, e := range k.value.Content {
		text := e.Value
		if strings.HasPrefix(text, "[") {
			text = jsonText(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{e}})
		}
		line += " " + shellWord(k.name+"="+text)
	}
	return line
}

// jsonText is a node as JSON.
func jsonText(n *yaml.Node) string {
	var x any
	if err := n.Decode(&x); err != nil {
		panic("BUG: " + err.Error()) // only what node made
	}
	if x == nil || len(n.Content) == 0 {
		return map[yaml.Kind]string{yaml.SequenceNode: "[]", yaml.MappingNode: "{}"}[n.Kind]
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		panic("BUG: " + err.Error()) // native lets no other numbers through
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var safeWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// shellWord quotes a word for a shell where needed.
func shellWord(s string) string {
	if safeWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
