package internal

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWeaknesses: each test that docs/weaknesses.md names exists, and each weakness
// names one.
func TestWeaknesses(t *testing.T) {
	text, err := os.ReadFile("../docs/weaknesses.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)?[A-Z]\\w+)`")
	sources := map[string]string{}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what |") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test holds this: %s", line)
		}
		for _, m := range tests {
			dir, name := m[1], m[2]
			if _, ok := sources[dir]; !ok {
				files, _ := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*_test.go"))
				var all strings.Builder
				for _, f := range files {
					b, err := os.ReadFile(f)
					if err != nil {
						t.Fatal(err)
					}
					all.Write(b)
				}
				sources[dir] = all.String()
			}
			if !strings.Contains(sources[dir], "\nfunc "+name+"(") {
				t.Errorf("%s has no %s", dir, name)
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d weaknesses were found in the document", rows)
	}
}
