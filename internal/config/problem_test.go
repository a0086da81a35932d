package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestProblemTexts runs the cases of testdata/problems: each archive has the
// files of one configuration, in args the arguments that come after them, one
// in a line, then what is said about it (`error`, or
// `warnings` if it is good). With UPDATE=1 the answers are written.
func TestProblemTexts(t *testing.T) {
	testdata, err := filepath.Abs("testdata/problems")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := filepath.Glob(filepath.Join(testdata, "*.txtar"))
	if err != nil || len(cases) < 18 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			last := &a.Files[len(a.Files)-1]
			if last.Name != "error" && last.Name != "warnings" {
				t.Fatalf("the last file is %s", last.Name)
			}
			dir := t.TempDir()
			t.Chdir(dir)
			var args []string
			for _, f := range a.Files[:len(a.Files)-1] {
				if f.Name == "args" {
					args = append(args, strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")...)
					continue
				}
				if err := os.WriteFile(f.Name, f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", f.Name)
			}
			f, err := loadArgs(args, map[string]string{"LOG-LEVEL.LEVEL": "verbose"})
			got, kind := "", "warnings"
			if err != nil {
				got, kind = err.Error(), "error"
			} else {
				got = f.Warnings.Error()
			}
			got += "\n"
			if os.Getenv("UPDATE") != "" {
				last.Name, last.Data = kind, []byte(got)
				if err := os.WriteFile(filepath.Join(testdata, filepath.Base(file)), txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if last.Name != kind || string(last.Data) != got {
				t.Errorf("got %s\n%s\nwant %s\n%s", kind, got, last.Name, last.Data)
			}
		})
	}
}

func TestProblemFields(t *testing.T) {
	_, err := LoadReader(testOptions, "c.yml", strings.NewReader("- node: a\n- tcp-listener:\n    port: 1\n    prot: 2\n"))
	ps, ok := errors.AsType[Problems](err)
	want := Problem{File: "c.yml", Line: 4, Column: 5, Section: "tcp-listener", Key: "prot", Text: "unknown key", Suggestion: `did you mean "port"?`}
	if !ok || len(ps) != 1 || ps[0] != want {
		t.Errorf("got %+v\nwant %+v", err, want)
	}
	const line = `c.yml:4: section "tcp-listener", key "prot": unknown key (did you mean "port"?)`
	if err.Error() != line {
		t.Errorf("got  %s\nwant %s", err, line)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(testOptions, filepath.Join(dir, "nowhere.yml"), dir)
	ps, _ := errors.AsType[Problems](err)
	if len(ps) != 2 || !strings.Contains(ps[0].Text, "no such file") || ps[1].File != dir {
		t.Errorf("got %v", err)
	}
	_, err = LoadReader(testOptions, "c.yml", strings.NewReader(strings.Repeat("#", MaxFileSize+1)))
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file over the limit: %v", err)
	}
	if _, err := LoadReader(testOptions, "c.yml", strings.NewReader(strings.Repeat("#", MaxFileSize))); err != nil {
		t.Errorf("a file of the largest size: %v", err)
	}
}

// TestManyProblems bounds what is said about a hopeless file.
func TestManyProblems(t *testing.T) {
	_, err := LoadReader(testOptions, "c.yml", strings.NewReader(strings.Repeat("- nonsense\n", maxProblems+7)))
	ps, _ := errors.AsType[Problems](err)
	if len(ps) != maxProblems+1 || ps[maxProblems].String() != "7 more problems are not shown" {
		t.Errorf("%d problems, the last is %v", len(ps), ps[len(ps)-1])
	}
}

func TestHostnames(t *testing.T) {
	for host, good := range map[string]bool{
		"relayer01": true, "localhosts": true, "a.localhost": true,
		"localhost": false, "Localhost": false, "localhost.localdomain": false, "": false,
	} {
		_, err := LoadReader(Options{Hostname: host}, "c.yml", strings.NewReader("- local-only"))
		if (err == nil) != good {
			t.Errorf("host %q: %v", host, err)
		}
		if _, err := LoadReader(Options{Hostname: host}, "c.yml", strings.NewReader("- node: foo")); err != nil {
			t.Errorf("host %q with a node ID: %v", host, err)
		}
	}
}

func TestNodeIDs(t *testing.T) {
	long := strings.Repeat("x", maxNodeID)
	for id, want := range map[string]string{
		"foo": "", "ノード": "", "...": "", "a..b": "",
		strings.Repeat("x", 113): "",
		long:                     "", long + "x": "refused",
		"a/b": "warned", `a\\b`: "warned",
		"with space": "refused", "a:b": "refused",
		"../x": "refused", "..": "refused", ".": "refused", "a/../..": "refused", "/": "refused", `..\\x`: "refused",
		`\t`: "refused", `\0`: "refused", `\x7f`: "refused",
	} {
		f, err := LoadReader(testOptions, "c.yml", strings.NewReader(`- node: "`+id+`"`))
		got := ""
		if err != nil {
			got = "refused"
		} else if len(f.Warnings) > 0 {
			got = "warned"
		}
		if got != want {
			t.Errorf("%q: %q, want %q (%v)", id, got, want, err)
		}
	}
}

func TestSuggestions(t *testing.T) {
	names := sectionNames(listForm)
	for written, want := range map[string]string{
		"tcp-listner": "tcp-listener", "tcplistener": "tcp-listener", "--node": "node", "nodes": "node", "work-comand": "work-command",
		"tls": "tls-server", "nonsense": "", "": "", "-": "", "x": "", "ws-peers": "ws-peer", strings.Repeat("node", 100): "",
	} {
		if want != "" {
			want = `did you mean "` + want + `"?`
		}
		if got := didYouMean(written, names); got != want {
			t.Errorf("%q: got %q, want %q", written, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"prot", "port", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
