package config

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// knownKey is a row of testdata/keys.tsv.
type knownKey struct {
	section, inMap, name, kind string
	required                   bool
	def                        string
	bare                       bool
	with                       []string // other keys that have to be there, as on the command line
}

// spelling is a row of testdata/spellings.tsv.
type spelling struct {
	forms         []string
	text, meaning string
}

// rows reads a table with so many columns, of which the last may be missing.
func rows(t *testing.T, name string, columns int) [][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for len(row) < columns {
			row = append(row, "")
		}
		out = append(out, row)
	}
	return out
}

func knownKeys(t *testing.T) []knownKey {
	var keys []knownKey
	for _, r := range rows(t, "keys.tsv", 8) {
		keys = append(keys, knownKey{
			section: r[0], inMap: r[1], name: r[2], kind: r[3], required: r[4] != "", def: r[5], bare: r[6] != "",
			with: strings.Fields(r[7]),
		})
	}
	return keys
}

func spellings(t *testing.T) map[string][]spelling {
	kinds := make(map[string][]spelling)
	for _, r := range rows(t, "spellings.tsv", 4) {
		kinds[r[0]] = append(kinds[r[0]], spelling{strings.Fields(r[1]), r[2], r[3]})
	}
	return kinds
}

// TestEverySpelling takes every section and key of the specification and gives
// it every spelling that its kind of value has, in each form.
func TestEverySpelling(t *testing.T) {
	keys, kinds := knownKeys(t), spellings(t)
	tried := make(map[string]int)
	for _, k := range keys {
		for _, form := range []string{"v1", "v2", "args"} {
			if form == "v2" && k.inMap == "" {
				continue
			}
			if k.name == "" {
				if _, err := loadSpelt(form, k, keys, kinds, "", ""); err != nil {
					t.Errorf("%s: %s: %v", form, k.section, err)
				}
				continue
			}
			for _, s := range kinds[k.kind] {
				if !slices.Contains(s.forms, form) {
					continue
				}
				tried[form]++
				names := []string{k.name, strings.ToUpper(k.name), strings.ToUpper(k.name[:1]) + k.name[1:]}
				if k.bare && !strings.Contains(s.text, "=") {
					names = append(names, "")
				}
				for _, name := range names {
					if name == "" && (form == "v2" || form == "v1" && plain(s.text).kind != kindText) {
						continue // no bare values there; only texts are bare
					}
					want := s.meaning
					if k.section == "local-only" {
						want = "true" // written where it counts, see TestLocalOnly
					}
					got, err := loadSpelt(form, k, keys, kinds, name, s.text)
					if err != nil || got != want {
						t.Errorf("%s: %s: %s=%s: got %q, want %q (%v)", form, k.section, name, s.text, got, want, err)
					}
				}
			}
			if kinds[k.kind] == nil {
				t.Errorf("%s, %s: kind %q has no spellings", k.section, k.name, k.kind)
			}
		}
	}
	if tried["v1"] < 1000 || tried["v2"] < 700 || tried["args"] < 600 {
		t.Errorf("tried %v", tried)
	}
}

// loadSpelt loads a configuration with one key written as said, under a name in
// some letter case or bare, and gives its value as it would be written.
func loadSpelt(form string, k knownKey, keys []knownKey, kinds map[string][]spelling, name, text string) (string, error) {
	others := slices.Clone(k.with)
	for _, o := range keys {
		if o.section == k.section && o.required && o.name != k.name {
			others = append(others, o.name+"="+example(kinds, o))
		}
	}
	if name == "" && form == "v1" && len(others) > 0 {
		name = k.name // a bare value is alone
	}
	var args []string
	var file string
	switch form {
	case "args":
		args = append(args, "--"+strings.ToUpper(k.section))
		switch {
		case k.name == "":
		case name == "":
			args = append(args, text)
		default:
			args = append(args, name+"="+text)
		}
		args = append(args, others...)
	case "v1":
		switch {
		case k.name == "":
			file = "- " + k.section + "\n"
		case name == "":
			file = fmt.Sprintf("- %s: %s\n", k.section, text)
		default:
			file = fmt.Sprintf("- %s: {%s}\n", k.section, pairs(name, text, others))
		}
	case "v2":
		mapName, isList := strings.CutSuffix(k.inMap, "[]")
		file = fmt.Sprintf("version: 2\n%s: {%s}\n", mapName, pairs(name, text, others))
		if isList {
			file = fmt.Sprintf("version: 2\n%s: [{%s}]\n", strings.ToUpper(mapName), pairs(name, text, others))
		}
	}
	file, args = company(form, k.section, file, args)
	return writtenAs(form, k, file, args)
}

// example is a value that a key takes in every form.
func example(kinds map[string][]spelling, k knownKey) string {
	for _, s := range kinds[k.kind] {
		if len(s.forms) == 3 {
			return s.text
		}
	}
	return "x"
}

func pairs(name, text string, others []string) string {
	var ps []string
	if name != "" {
		ps = append(ps, name+": "+text)
	}
	for _, o := range others {
		key, value, _ := strings.Cut(o, "=")
		quoted, _ := json.Marshal(value)
		ps = append(ps, key+": "+string(quoted))
	}
	return strings.Join(ps, ", ")
}

// company adds the sections that others refer to.
func company(form, section, file string, args []string) (string, []string) {
	if strings.HasPrefix(section, "cert-") || section == "version" {
		return file, args
	}
	if form == "args" {
		args = append(args, "--tls-server", "name=srv", "cert=c", "key=k", "--tls-client", "name=cli", "cert=", "key=")
		if section != "work-verification" {
			args = append(args, "--work-verification", "k")
		}
		return file, args
	}
	for _, s := range [][2]string{
		{"tls-server", `{name: srv, cert: c, key: k}`}, {"tls-client", `{name: cli, cert: "", key: ""}`}, {"work-verification", "{publickey: k}"},
	} {
		if s[0] == section {
			continue
		}
		switch {
		case form == "v1":
			file += fmt.Sprintf("- %s: %s\n", s[0], s[1])
		case s[0] == "work-verification":
			file += fmt.Sprintf("%s: %s\n", s[0], s[1])
		default:
			file += fmt.Sprintf("%ss: %s\n", s[0], s[1])
		}
	}
	return file, args
}

// writtenAs loads a configuration and gives the value of one key of its first
// section.
func writtenAs(form string, k knownKey, file string, args []string) (string, error) {
	var l *loader
	if form == "args" {
		a, err := ParseArgs(args)
		if err != nil {
			return "", err
		}
		l = a.gather(testOptions)
	} else {
		l = &loader{options: testOptions}
		l.read("c.yml", strings.NewReader(file))
	}
	sections := l.sections
	if _, err := l.finish(); err != nil {
		return "", fmt.Errorf("%w in\n%s%q", err, file, args)
	}
	s := &sections[0]
	for _, w := range write(s, s.spec()).keys {
		if w.name != k.name {
			continue
		}
		if w.value.Kind == yaml.ScalarNode {
			return w.value.Value, nil
		}
		return jsonText(w.value), nil
	}
	return "", nil
}

// TestLocalOnly: the section counts as such, but in version 2 it has to say so.
func TestLocalOnly(t *testing.T) {
	for _, s := range spellings(t)["bool"] {
		for _, form := range s.forms {
			var f *File
			var err error
			want := true
			switch form {
			case "args":
				f, err = loadArgs([]string{"--local-only", "local=" + s.text}, nil)
			case "v1":
				f = load(t, "- local-only: {local: "+s.text+"}")
			case "v2":
				f = load(t, "version: 2\nlocal-only: {local: "+s.text+"}")
				want = s.meaning == "true"
			}
			if err != nil || f.LocalOnly != want {
				t.Errorf("%s: %s: got %v, want %v (%v)", form, s.text, f.LocalOnly, want, err)
			}
		}
	}
}

// TestKnownKeys: the table has every section and key of the specification, with
// its default, and is otherwise ours.
func TestKnownKeys(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range knownKeys(t) {
		s := findSection(k.section)
		if s == nil {
			t.Errorf("section %s is missing", k.section)
			continue
		}
		name, list := s.inMap()
		if list {
			name += "[]"
		}
		ours := k.section == "command-service" || k.section == "work-python" // in version 2
		if name != k.inMap && !ours {
			t.Errorf("section %s is %q in version 2, want %q", k.section, name, k.inMap)
		}
		if k.name == "" {
			continue
		}
		seen[k.section+" "+k.name] = true
		got := s.key(k.name)
		if got == nil || got.required != k.required || !strings.EqualFold(got.def, k.def) && k.def != "" || got.bare != k.bare {
			t.Errorf("section %s, key %s: got %+v, want %+v", k.section, k.name, got, k)
		}
	}
	if len(seen) != 147 {
		t.Errorf("%d keys", len(seen))
	}
	for _, s := range sections {
		for _, k := range s.keys {
			if !seen[s.name+" "+k.name] && !k.ours {
				t.Errorf("section %s, key %s is not in the specification", s.name, k.name)
			}
		}
	}
}
