package config

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// reload loads what Convert wrote.
func reload(t *testing.T, form Form, text string) (*File, error) {
	t.Helper()
	if form == ArgsForm {
		out, err := exec.Command("sh", "-c", "receptor() { for a; do printf '%s\\0' \"$a\"; done; }\n"+text).Output()
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		words := strings.Split(string(out), "\x00")
		return loadArgs(words[:len(words)-1], nil)
	}
	return LoadReader(testOptions, "c.yml", strings.NewReader(text))
}

// TestConvertVectors: every valid configuration has the same value in each form
// that it is written in, and writing that again changes nothing.
func TestConvertVectors(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell to read the command lines")
	}
	converted := 0
	for _, v := range vectors(t, "valid.txtar") {
		for _, r := range v.Runs[:1] {
			t.Chdir(v.dir)
			a, err := ParseArgs(r.Args)
			if err != nil {
				t.Fatal(err)
			}
			want, err := a.Load(testOptions)
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range forms {
				text, _, err := a.Convert(testOptions, form)
				if err != nil {
					if !want.PrintVersion || form != V2 { // there is no such section
						t.Errorf("%s to %s: %v", v.name, form, err)
					}
					continue
				}
				got, err := reload(t, form, text)
				if err != nil {
					t.Errorf("%s to %s: %v\nin\n%s", v.name, form, err, text)
					continue
				}
				if a, b := plainly(got), plainly(want); !reflect.DeepEqual(a, b) {
					t.Errorf("%s to %s:\n%+v\nwant\n%+v\nin\n%s", v.name, form, a, b, text)
				}
				converted++
			}
		}
	}
	if converted < 150 {
		t.Errorf("%d conversions", converted)
	}
}

// TestConvertTexts has what each form looks like. With UPDATE=1 the answers are
// written.
func TestConvertTexts(t *testing.T) {
	const file = "testdata/convert.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input := filepath.Join(t.TempDir(), "c.yml")
	if err := os.WriteFile(input, a.Files[0].Data, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, form := range forms {
		text, _, err := FromFiles(false, input).Convert(testOptions, form)
		if err != nil {
			t.Fatal(err)
		}
		f := &a.Files[i+1]
		if os.Getenv("UPDATE") != "" {
			f.Data = []byte(text)
		}
		if f.Name != string(form) || string(f.Data) != text {
			t.Errorf("%s: got\n%s\nwant\n%s", form, text, f.Data)
		}
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"- version":                     `section "version": cannot be written as version 2: there is no such section`,
		"- nod: a":                      `section "nod": unknown section (did you mean "node"?)`,
		"- node: \"a\xff\"":             "",
		"- work-command: {worktype: x}": `section "work-command", key "command": required key missing`,
	} {
		name := filepath.Join(t.TempDir(), "c.yml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := FromFiles(false, name).Convert(testOptions, V2)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	a, err := ParseArgs([]string{"--local-only", "--work-command", "worktype=x", "command=\xff"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = a.Convert(testOptions, V1)
	if ps, ok := errors.AsType[Problems](err); !ok || len(ps) != 1 || ps[0].Key != "command" {
		t.Errorf("a text that is not UTF-8: %v", err)
	}
	file := filepath.Join(t.TempDir(), "c.yml")
	if err := os.WriteFile(file, []byte("version: 2\nlocal-only: {local: true}\ncert-init: {commonname: x, bits: 0, outcert: a, outkey: b}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := FromFiles(false, file).Convert(testOptions, V1); err == nil || !strings.Contains(err.Error(), "there it must be alone") {
		t.Errorf("certificates and a node as version 1: %v", err)
	}
	if _, err := ParseForm("v3"); err == nil {
		t.Error("there is a form v3")
	}
}
