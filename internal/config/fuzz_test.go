package config

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad: no file makes Load fail in any other way than with problems, and a
// File that it returns keeps what its comments promise.
func FuzzLoad(f *testing.F) {
	for _, archive := range []string{"testdata/valid.txtar", "testdata/invalid.txtar", "testdata/problems/warnings.txtar"} {
		a, err := txtar.ParseFile(archive)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if !strings.HasSuffix(file.Name, "expect.json") {
				f.Add(string(file.Data))
			}
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
				if p.Text == "" || strings.Contains(p.Text, "%!") {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		checkPromises(t, file)
	})
}

func checkPromises(t *testing.T, f *File) {
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
