package config

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad: no file makes Load fail in any other way than with problems, and a
// File that it returns keeps what its comments promise.
func FuzzLoad(f *testing.F) {
	for _, archive := range []string{"valid", "invalid", "problems/warnings"} {
		for _, text := range archiveTexts(f, archive) {
			f.Add(text)
		}
	}
	f.Add("- node: &a\n    <<: *a\n")
	f.Add("- tcp-listener: {port: .nan, cost: 1e400, nodecost: '{\"a\": 1e300}'}")
	f.Add("- control-service: {permissions: 1e5, tcplisten: '::'}")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := LoadReader(testOptions, "c.yml", strings.NewReader(text))
		if err != nil {
			ps, ok := errors.AsType[Problems](err)
			if !ok || len(ps) == 0 || file != nil {
				t.Fatalf("error %T %v with %v", err, err, file)
			}
			for _, p := range ps {
				if p.Text == "" || strings.Contains(p.Text, "%!") && !strings.Contains(text, "%!") {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		checkPromises(t, file)
	})
}

// archiveTexts are the configurations in an archive.
func archiveTexts(f *testing.F, archive string) []string {
	a, err := txtar.ParseFile("testdata/" + archive + ".txtar")
	if err != nil {
		f.Fatal(err)
	}
	var texts []string
	for _, file := range a.Files {
		if !strings.HasSuffix(file.Name, "expect.json") {
			texts = append(texts, string(file.Data))
		}
	}
	return texts
}

func checkPromises(t *testing.T, f *File) {
	if f.ToolsOnly {
		return
	}
	if f.Node.ID == "" || len(f.Node.ID) > maxNodeID || f.Node.DataDir == "" || f.Node.IdleTimeout < MinIdleTimeout {
		t.Fatalf("node %+v", f.Node)
	}
	if f.Log.Format != LogText && f.Log.Format != LogJSON {
		t.Fatalf("log %+v", f.Log)
	}
	good := func(cost float64) bool { return cost > 0 && !math.IsInf(cost, 0) }
	for _, l := range f.Listeners {
		if !good(l.Cost) || l.Transport == UDP && l.TLS != "" {
			t.Fatalf("listener %+v", l)
		}
		for _, c := range l.NodeCost {
			if !good(c) {
				t.Fatalf("listener %+v", l)
			}
		}
	}
	for _, p := range f.Peers {
		if !good(p.Cost) || p.Address == "" {
			t.Fatalf("peer %+v", p)
		}
	}
	for _, s := range f.ControlServices {
		if s.Service == "" && s.Filename == "" && s.TCPListen == "" || len(s.Service) > maxService || s.Permissions > 0o777 {
			t.Fatalf("control service %+v", s)
		}
	}
	types := make(map[string]bool)
	for _, w := range f.WorkCommands {
		if w.WorkType == "" || w.WorkType == "remote" || types[w.WorkType] || w.VerifySignature && f.WorkVerification == nil {
			t.Fatalf("work command %+v", w)
		}
		types[w.WorkType] = true
	}
	names := make(map[string]bool)
	for _, s := range f.TLSServers {
		if s.Name == "" || names[s.Name] {
			t.Fatalf("TLS server %+v", s)
		}
		names[s.Name] = true
	}
	for _, r := range f.Node.Firewall {
		if r.Action != Accept && r.Action != Reject && r.Action != Drop {
			t.Fatalf("rule %+v", r)
		}
	}
}

// FuzzReaders: no command line and no file of version 2, in YAML or TOML, makes
// loading fail in any other way than with problems; what loads keeps the
// promises, and has the same value in every form that it can be written in.
func FuzzReaders(f *testing.F) {
	for _, archive := range []string{"valid", "invalid", "links"} {
		for _, text := range archiveTexts(f, archive) {
			f.Add(byte(1), text)
		}
	}
	f.Add(byte(0), "--node\x00id=a\x00--tcp-listener\x00port=1\x00allowedpeers=[\"a\"]\x00allowedpeers=b\x00nodecost={\"a\": 2}")
	f.Add(byte(0), "--config\x00--help\x00-c=\x00\x00x\x00--node\x00a\x00b\x00firewallrules=[{\"action\":\"drop\"}]\x00--work-python\x00config={\"a\":{}}")
	f.Add(byte(0), "--local-only\x00--work-command\x00worktype=\"\x00command='\n\x00params=\t y ")
	f.Add(byte(0), "-e%!")
	f.Add(byte(2), "version = 2\n[node]\nid = 'a'\n[[tcp-listeners]]\nport = 1\nnodecost = {a.b = 2, \"c\" = 1e3}\nallowedpeers = [\n'a', 1, 2024-01-01]\n")
	f.Add(byte(2), "[[a]]\n[[a.b]]\nc = [{d = 1}, {d = 2}]\n[a.e]\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, kind byte, text string) {
		var a *Args
		var err error
		switch kind % 3 {
		case 0:
			var words []string
			for w := range strings.SplitSeq(text, "\x00") {
				if w != "" && w[0] != '-' && !strings.Contains(w, "=") {
					w = "bare" // no file of this machine is to be opened
				}
				words = append(words, w)
			}
			a, err = ParseArgs(words)
			if err == nil && (a.Help || a.Completion) {
				return
			}
		case 1:
			a = FromFiles(true, write1(t, dir, "c.yml", text))
		default:
			a = FromFiles(true, write1(t, dir, "c.toml", text))
		}
		var file *File
		if err == nil {
			file, err = a.Load(testOptions)
		}
		if err != nil {
			for _, p := range err.(Problems) {
				if p.Text == "" || strings.Contains(p.String(), "%!") && !strings.Contains(text, "%!") {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		checkPromises(t, file)
		checkForms(t, dir, a, file)
	})
}

func write1(t *testing.T, dir, name, text string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// checkForms writes a configuration as version 1 and 2 and compares what these
// load to. Some cannot be written.
func checkForms(t *testing.T, dir string, a *Args, want *File) {
	for _, form := range []Form{V1, V2} {
		text, _, err := a.Convert(testOptions, form)
		if err != nil {
			if !strings.Contains(err.Error(), "cannot be written as") {
				t.Fatalf("as %s: %v", form, err)
			}
			continue
		}
		got, err := FromFiles(form == V2, write1(t, dir, "again.yml", text)).Load(testOptions)
		if err != nil {
			t.Fatalf("as %s: %v\n%s", form, err, text)
		}
		if d := Diff(want, got); !d.Empty() {
			t.Fatalf("as %s: %v\n%s", form, d.Lines(), text)
		}
	}
}
