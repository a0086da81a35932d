package main

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// certCase is what ansible/receptor was seen to do with a command line.
type certCase struct {
	Args    []string
	Outcome string
	Stdout  string
}

// worded are the cases of which the message is in other words.
var worded = map[string]string{
	"cert-init-bad-date":          `"yesterday" is not a time`,
	"cert-init-missing-keys":      "required key missing",
	"cert-signreq-bad-verify":     `"maybe" is not a boolean`,
	"cert-init-directory-missing": "open no/such/a.crt: ",
}

// TestCertificateToolsRefuse runs what ansible/receptor refuses: all of it is refused, with its message, to which a place
// or more may be added, and with what it printed before.
func TestCertificateToolsRefuse(t *testing.T) {
	certs, err := filepath.Abs(filepath.Join("..", "..", "internal", "pki", "testdata", "certs"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := txtar.ParseFile(filepath.Join("..", "..", "internal", "config", "testdata", "invalid.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]map[string][]byte)
	for _, f := range a.Files {
		name, base := path.Split(f.Name)
		if name = path.Clean(name); strings.HasPrefix(name, "cert-") {
			if files[name] == nil {
				files[name] = make(map[string][]byte)
			}
			files[name][base] = f.Data
		}
	}
	if len(files) != 18 {
		t.Fatalf("%d cases", len(files))
	}
	for name, fs := range files {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.CopyFS("certs", os.DirFS(certs)); err != nil {
				t.Fatal(err)
			}
			var c certCase
			for file, data := range fs {
				if file == "expect.json" {
					if err := json.Unmarshal(data, &c); err != nil {
						t.Fatal(err)
					}
				} else if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.CopyFS(".", os.DirFS(certs)); err != nil { // noname.csr is looked for here
				t.Fatal(err)
			}
			before, err := os.ReadDir(".")
			if err != nil {
				t.Fatal(err)
			}
			var out, errs strings.Builder
			if code := run(c.Args, strings.NewReader(""), &out, &errs); code != 1 {
				t.Errorf("exit code %d", code)
			}
			shown, message, _ := strings.Cut(c.Stdout, "Error: ")
			message = strings.TrimSpace(message)
			if w := worded[name]; w != "" {
				message = w
			}
			if got, ok := strings.CutPrefix(out.String(), shown+"Error: "); !ok || !strings.Contains(got, message) {
				t.Errorf("printed %q, want %q", out.String(), c.Stdout)
			}
			if errs.Len() > 0 {
				t.Errorf("stderr: %s", errs.String())
			}
			if after, err := os.ReadDir("."); err != nil || len(after) != len(before) {
				t.Errorf("files are left: %v, %v", after, err)
			}
		})
	}
}
