package config

import (
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"foo", "foo", true}, {"foo", "Foo", false}, {"foo", "foobar", false}, {"fo.", "foo", false},
		{"/fo./", "foo", true}, {"/fo./", "foox", false}, {"/fo./", "xfoo", false},
		{"/a|b/", "a", true}, {"/a|b/", "b", true}, {"/a|b/", "ax", false}, {"/a|b/", "xb", false}, // anchored as a whole
		{"/(?i)a.*b/", "AxB", true}, {"/(?i)a.*b/", "AxBc", false},
		{"/a.b/", "a\nb", false}, {"/(?m)a$/", "a\nx", false}, {"/a/", "a\n", false},
		{"//", "", true}, {"//", "x", false}, {"/a/b/", "a/b", true}, {"a/", "a/", true},
	}
	for _, tt := range tests {
		p, err := ParsePattern(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if got := p.Match(tt.name); got != tt.want || p.String() != tt.pattern {
			t.Errorf("%s, %q: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
	if !(Pattern{}).Match("anything") || !(Pattern{}).Match("") {
		t.Error("the zero pattern does not match everything")
	}
	for _, s := range []string{"", "/", "/abc", "/([/", "/a)|(b/", `/a\/`, "/a**/", "/(?x)a/"} {
		if p, err := ParsePattern(s); err == nil {
			t.Errorf("%s is accepted as %v", s, p)
		}
	}
}

// TestRules: all patterns of a rule must match, and a rule without patterns
// matches every packet (spec configuration 7.1).
func TestRules(t *testing.T) {
	f := load(t, `
- node:
    firewallrules:
    - {ACTION: Accept, FromNode: a, toservice: control}
    - {action: reject, tonode: "/b.*/"}
    - {action: DROP}
`)
	packet := func(s string) Action {
		p := strings.Fields(s)
		for _, r := range f.Node.Firewall {
			if r.Match(p[0], p[1], p[2], p[3]) {
				return r.Action
			}
		}
		return ""
	}
	for s, want := range map[string]Action{
		"a bar x control": Accept, "a bar x other": Reject, "c bar x control": Reject, "c d x y": Drop, "a bar control x": Reject,
	} {
		if got := packet(s); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
	if rules := load(t, "- node: {firewallrules: }").Node.Firewall; rules != nil {
		t.Errorf("no rules: %v", rules)
	}
}
