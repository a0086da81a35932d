package config

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestHelp: every section and key of the table is in the help and in the manual,
// with its default.
func TestHelp(t *testing.T) {
	var b strings.Builder
	if err := WriteHelp(&b); err != nil {
		t.Fatal(err)
	}
	help := b.String()
	manual, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sections {
		s := &sections[i]
		if s.hidden {
			if strings.Contains(help, s.name) {
				t.Errorf("section %s is in the help", s.name)
			}
			continue
		}
		at := strings.Index(help, "   --"+s.name+": ")
		if at < 0 {
			t.Errorf("section %s is not in the help", s.name)
			continue
		}
		part, _, _ := strings.Cut(help[at+5:], "\n   --")
		if !regexp.MustCompile("`" + s.name + "`|\\*\\*[^*]*\\b" + s.name + "\\b[^*]*\\*\\*").Match(manual) {
			t.Errorf("section %s is not in docs/configuration.md", s.name)
		}
		for _, k := range s.keys {
			line := regexp.MustCompile(`(?m)^      ` + k.name + `=<.*$`).FindString(part)
			if line == "" || !strings.Contains(line, k.typ.name) || k.required != strings.Contains(line, "required") ||
				k.def != "" && !strings.Contains(line, "default: "+k.def) || k.ours != strings.Contains(line, "not in ansible/receptor") {
				t.Errorf("section %s, key %s: the help says %q", s.name, k.name, line)
			}
			if !strings.Contains(string(manual), "`"+k.name+"`") {
				t.Errorf("section %s, key %s is not in docs/configuration.md", s.name, k.name)
			}
		}
	}
	for _, g := range groups {
		if g != "" && !strings.Contains(help, "\n "+g+":\n") {
			t.Errorf("no group %s", g)
		}
	}
	if err := WriteHelp(failing{}); err == nil {
		t.Error("an error of the writer is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestSuggest(t *testing.T) {
	tests := []struct {
		words []string
		last  string
		want  []string // all of them
		files bool
	}{
		{nil, "--tcp-", []string{"--tcp-listener", "--tcp-peer", "--tcp-server", "--tcp-client"}, false},
		{nil, "--config", []string{"--config", "--config-v2"}, false},
		{nil, "--command-r", []string{"--command-runner"}, false},
		{[]string{"--node"}, "d", []string{"datadir="}, false},
		{[]string{"-NODE", "id=a"}, "D", []string{"datadir="}, false},
		{[]string{"--local-only", "--log-level"}, "l", []string{"level="}, false},
		{[]string{"--node"}, "datadir=/t", nil, true},
		{[]string{"--config"}, "rec", nil, true},
		{[]string{"-c"}, "", nil, true},
		{[]string{"--config", "a.yml"}, "x", nil, false},
		{[]string{"--nonsense"}, "i", nil, false},
	}
	for _, tt := range tests {
		got, files := Suggest(tt.words, tt.last)
		for i, s := range got {
			word, help, found := strings.Cut(s, "\t")
			if !found || help == "" {
				t.Errorf("%q has no meaning", s)
			}
			got[i] = word
		}
		if !slices.Equal(got, tt.want) || files != tt.files {
			t.Errorf("%q %q: got %q, %v", tt.words, tt.last, got, files)
		}
	}
	if all, _ := Suggest([]string{"--local-only"}, ""); len(all) != len(sections)+4+1 {
		t.Errorf("%d suggestions", len(all))
	}
}
