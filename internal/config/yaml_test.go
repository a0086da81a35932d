package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestAnchorsAndMergeKeys(t *testing.T) {
	f := load(t, `
- node: foo
- tcp-listener: &base
    bindaddr: &host 127.0.0.1
    port: 1
    cost: 2
- udp-listener:
    <<: *base
    port: 2
- udp-listener:
    <<: [{port: 3}, *base]
- tcp-listener:
    bindaddr: *host
    port: 4
- udp-listener: {"port": 5, "cost": 3}
`)
	var got []string
	for _, l := range f.Listeners {
		got = append(got, fmt.Sprintf("%s %s %v", l.Transport, l.Address, l.Cost))
	}
	want := []string{"tcp 127.0.0.1:1 2", "udp 127.0.0.1:2 2", "udp 127.0.0.1:3 2", "tcp 127.0.0.1:4 1", "udp 0.0.0.0:5 3"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSONIsYAML(t *testing.T) {
	f := load(t, `[{"node": {"id": "foo"}}, "local-only", {"control-service": {"filename": "x.sock", "permissions": 432}}]`)
	if f.Node.ID != "foo" || !f.LocalOnly || f.ControlServices[0].Permissions != 0o660 {
		t.Errorf("got %+v", f)
	}
}

// TestHostileYAML has files that are small and expand to much, or are
// recursive: a problem each, and soon.
func TestHostileYAML(t *testing.T) {
	bomb := "- &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("- &%c [%s]\n", c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	merges := "- a0: &a0 {x: 1}\n"
	for i := 1; i < 12; i++ {
		merges += fmt.Sprintf("- a%d: &a%d\n    <<: [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 12))
	}
	for name, text := range map[string]string{
		"bomb":      bomb,
		"merges":    merges,
		"recursive": "- node: &a {id: *a}\n",
		"cycle":     "&a [*a]",
		"merge":     "- node: &a\n    <<: *a\n",
		"scalar":    "- node: {<<: 1}\n",
		"unknown":   "- node: *nope\n",
		"deep":      strings.Repeat("[", 5000),
		"deep maps": strings.Repeat("{a: ", 5000),
		"binary":    "\x00\x01",
		"utf-16":    "\xff\xfe-\x00",
	} {
		_, err := LoadReader(testOptions, "c.yml", strings.NewReader(text))
		if ps, ok := errors.AsType[Problems](err); !ok || len(ps) == 0 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFurtherDocuments(t *testing.T) {
	for text, warned := range map[string]bool{
		"- local-only\n---\n":          false,
		"- local-only\n...\n":          false,
		"---\n- local-only\n---\n# x":  false,
		"- local-only\n---\n- trace":   true,
		"- local-only\n---\n{{{":       true,
		"- local-only\n---\n\"\"":      false,
		"---\n---\n- tcp-listener: 'x": true,
	} {
		f := load(t, text)
		if got := len(f.Warnings) > 0; got != warned {
			t.Errorf("%q: warnings %v", text, f.Warnings)
		}
	}
}
