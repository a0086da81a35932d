package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSchema compares the table with what ansible/receptor says in its help.
func TestSchema(t *testing.T) {
	data, err := os.ReadFile("testdata/help-shape.json")
	if err != nil {
		t.Fatal(err)
	}
	var shape struct {
		Actions []struct {
			Action string
			Keys   []struct {
				Key, Type string
				Required  bool
				Default   *string
			}
		}
	}
	if err := json.Unmarshal(data, &shape); err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, a := range shape.Actions {
		if a.Action == "help" || a.Action == "config" || a.Action == "bash-completion" {
			continue // only on the command line
		}
		known[a.Action] = true
		s := findSection(a.Action)
		if s == nil {
			t.Errorf("section %s is missing", a.Action)
			continue
		}
		for _, k := range a.Keys {
			got := s.key(k.Key)
			switch {
			case got == nil:
				t.Errorf("%s: key %s is missing", a.Action, k.Key)
			case got.required != k.Required:
				t.Errorf("%s: key %s is required: %v", a.Action, k.Key, got.required)
			case k.Default != nil && !strings.EqualFold(*k.Default, got.def):
				t.Errorf("%s: key %s has default %q, want %q", a.Action, k.Key, got.def, *k.Default)
			case got.typ.name != k.Type && k.Key != "firewallrules":
				t.Errorf("%s: key %s is %s, want %s", a.Action, k.Key, got.typ.name, k.Type)
			}
		}
		for _, k := range s.keys {
			if known := strings.Contains(string(mustJSON(t, a.Keys)), `"`+k.name+`"`); known == k.ours {
				t.Errorf("%s: key %s is known to ansible/receptor: %v", a.Action, k.name, known)
			}
		}
	}
	for _, s := range sections {
		if known[s.name] == s.ours && !s.hidden {
			t.Errorf("section %s is unknown to ansible/receptor", s.name)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSchemaIsSound: names are lower case and unique, one key at most is bare,
// all have help, all defaults convert.
func TestSchemaIsSound(t *testing.T) {
	names := make(map[string]bool)
	for i := range sections {
		s := &sections[i]
		if names[s.name] || s.name != strings.ToLower(s.name) || s.help == "" {
			t.Errorf("section %s: twice, not lower case, or without help", s.name)
		}
		names[s.name] = true
		keys, bare := make(map[string]bool), 0
		for _, k := range s.keys {
			if keys[k.name] || k.name != strings.ToLower(k.name) || k.help == "" || k.typ == nil {
				t.Errorf("section %s, key %s: twice, not lower case, without help or type", s.name, k.name)
			}
			keys[k.name] = true
			if k.bare {
				bare++
			}
		}
		if bare > 1 {
			t.Errorf("section %s: %d bare keys", s.name, bare)
		}
		// Panics if a default or a key in build is wrong.
		s.build(&File{}, convertSection(s, &section{name: s.name}, &report{}))
		if !slices.Contains(groups, s.group) {
			t.Errorf("section %s is in group %q, which the help has not", s.name, s.group)
		}
	}
}

// TestBareValues are those of spec configuration 7.
func TestBareValues(t *testing.T) {
	want := map[string]string{
		"node": "id", "log-level": "level", "work-signing": "privatekey", "work-verification": "publickey",
		"tcp-listener": "port", "udp-listener": "port", "ws-listener": "port",
		"metrics": "address", "audit-log": "filename", "tcp-peer": "address", "udp-peer": "address", "ws-peer": "address",
	}
	for i := range sections {
		s := &sections[i]
		got := ""
		if k := s.bareKey(); k != nil {
			got = k.name
		}
		if got != want[s.name] {
			t.Errorf("section %s takes %q bare, want %q", s.name, got, want[s.name])
		}
	}
}

// TestSingletons are those of spec configuration 7.
func TestSingletons(t *testing.T) {
	want := map[string]bool{"node": true, "local-only": true, "log-level": true, "metrics": true, "audit-log": true, "work-signing": true, "work-verification": true}
	for _, s := range sections {
		if s.single != want[s.name] {
			t.Errorf("section %s may be there once: %v", s.name, s.single)
		}
	}
}
