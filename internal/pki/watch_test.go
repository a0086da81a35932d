package pki

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/pki/pkitest"
)

// watching runs a watcher until the test ends.
func watching(t *testing.T, poll time.Duration, servers []*Server, clients []*Client) *Watcher {
	t.Helper()
	w := NewWatcher(nil)
	w.poll = poll
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) }) // ends with the test
	t.Cleanup(func() { cancel(); running.Wait() })
	w.Watch(servers, clients)
	return w
}

func until(t *testing.T, what string, log *lines, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s\n%s", what, log)
		}
	}
}

// shown is the issuer of the certificate that a server shows now.
func shown(t *testing.T, s *Server) string {
	t.Helper()
	issuer := ""
	shake(t, s.Link(), &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
		issuer = cs.PeerCertificates[0].Issuer.CommonName
		return nil
	}})
	return issuer
}

// TestRenewal: new files count from the next handshake on, broken ones never, however they come to be there.
func TestRenewal(t *testing.T) {
	for _, test := range []struct {
		name string
		poll time.Duration
		set  func(t *testing.T, dir string, files map[string][]byte)
	}{
		{"replaced", time.Hour, func(t *testing.T, dir string, files map[string][]byte) {
			for name, b := range files {
				pkitest.File(t, filepath.Join(dir, name), b)
			}
		}},
		{"overwritten", time.Hour, func(t *testing.T, dir string, files map[string][]byte) {
			for name, b := range files {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"mounted, as Kubernetes does", time.Hour, mount},
		{"polled", 50 * time.Millisecond, func(t *testing.T, dir string, files map[string][]byte) {
			// Links into a directory of which nobody knows before.
			other := t.TempDir()
			for name, b := range files {
				pkitest.File(t, filepath.Join(other, name), b)
				at := filepath.Join(dir, name)
				os.Remove(at)
				if err := os.Symlink(filepath.Join(other, name), at); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			one, two := pkitest.NewCA(t, "one"), pkitest.NewCA(t, "two")
			pair := func(ca *pkitest.CA, s pkitest.Template) map[string][]byte {
				cert, key := ca.Sign("foo", s)
				return map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.PEM}
			}
			foo := pkitest.Template{Nodes: []string{"foo"}}
			first := pair(one, foo)
			test.set(t, dir, first)
			var log lines
			s, err := NewServer(ServerConfig{
				Name: "s", Node: "foo", Cert: dir + "/tls.crt", Key: dir + "/tls.key", ClientCAs: dir + "/ca.crt", Logger: log.logger(),
			})
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewClient(ClientConfig{Name: "c", Node: "foo", Cert: dir + "/tls.crt", Key: dir + "/tls.key", RootCAs: dir + "/ca.crt", Logger: log.logger()})
			if err != nil {
				t.Fatal(err)
			}
			config, dialed := s.Link(), c.Host("localhost") // they stay the same
			w := watching(t, test.poll, []*Server{s}, []*Client{c})
			good := func() bool {
				_, _, a, b := shake(t, config, dialed)
				return a == nil && b == nil
			}
			if shown(t, s) != "one" || !good() {
				t.Fatal("not even the first certificate works")
			}

			// What is broken is said, and changes nothing.
			broken := pair(two, foo)
			broken["tls.key"] = first["tls.key"]
			broken["ca.crt"] = append(append([]byte{}, two.PEM...), two.PEM[:len(two.PEM)/2]...)
			test.set(t, dir, broken)
			until(t, "a word about broken files", &log, func() bool {
				return strings.Contains(log.String(), "private key does not match public key") && strings.Contains(log.String(), "ends in the middle")
			})
			if got := w.Certificates(); shown(t, s) != "one" || !good() || len(got) != 4 || got[0].Problem == "" || got[1].Problem == "" {
				t.Errorf("broken files are used: %+v", got)
			}
			test.set(t, dir, pair(two, pkitest.Template{Nodes: []string{"bar"}}))
			until(t, "a word about the wrong node", &log, func() bool {
				return strings.Contains(log.String(), "nodeID=foo not found in certificate name(s); names found=[bar]")
			})
			if shown(t, s) != "one" {
				t.Error("a certificate of another node is used")
			}

			test.set(t, dir, pair(two, foo))
			until(t, "the new certificate", &log, func() bool { return shown(t, s) == "two" && good() })
			for _, x := range w.Certificates() {
				if x.Problem != "" {
					t.Errorf("%+v", x)
				}
			}
			if text := log.String(); !strings.Contains(text, "certificate renewed") || !strings.Contains(text, "authorities renewed") {
				t.Errorf("the log does not say so:\n%s", text)
			}
		})
	}
}

// mount puts files into a directory in one step, as Kubernetes does with secrets: they are links through a link.
func mount(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	version, err := os.MkdirTemp(dir, "..v")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		pkitest.File(t, filepath.Join(version, name), b)
		at := filepath.Join(dir, name)
		if _, err := os.Lstat(at); err != nil {
			if err := os.Symlink(filepath.Join("..data", name), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	data := filepath.Join(dir, "..data")
	if err := os.Symlink(filepath.Base(version), data+".new"); err != nil {
		t.Fatal(err)
	}
	old, _ := os.Readlink(data)
	if err := os.Rename(data+".new", data); err != nil {
		t.Fatal(err)
	}
	if old != "" {
		os.RemoveAll(filepath.Join(dir, old))
	}
}

// TestOverlap: with both authorities in a bundle, certificates of either are good, so nodes can change one at a time.
func TestOverlap(t *testing.T) {
	dir := t.TempDir()
	one, two := pkitest.NewCA(t, "one"), pkitest.NewCA(t, "two")
	bundle := pkitest.File(t, dir+"/ca.crt", one.PEM, two.PEM)
	for _, a := range []*pkitest.CA{one, two} {
		for _, b := range []*pkitest.CA{one, two} {
			cert, key := a.Write(dir, "foo", pkitest.Template{})
			s, err := NewServer(ServerConfig{Name: "s", Node: "foo", Cert: cert, Key: key, ClientCAs: bundle, RequireClientCert: true})
			if err != nil {
				t.Fatal(err)
			}
			cert, key = b.Write(dir, "bar", pkitest.Template{})
			c, err := NewClient(ClientConfig{Name: "c", Node: "bar", Cert: cert, Key: key, RootCAs: bundle})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, x, y := shake(t, s.Link(), c.Host("localhost")); x != nil || y != nil {
				t.Error(x, y)
			}
		}
	}
}

// TestWarnings: what ends is said once within 30, 7 and 1 days, and at its end; what was renewed, no more.
func TestWarnings(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	old, fresh := pkitest.NewCAUntil(t, "old", now.Add(10*time.Hour)), pkitest.NewCA(t, "fresh")
	ca := pkitest.File(t, dir+"/ca.crt", old.PEM, fresh.PEM)
	cert, key := fresh.Write(dir, "foo", pkitest.Template{To: now.Add(40 * day1)})
	var log lines
	s, err := NewServer(ServerConfig{Name: "s", Node: "foo", Cert: cert, Key: key, ClientCAs: ca, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, step := range []struct {
		after time.Duration
		want  int
		text  string
	}{
		{0, 0, ""},
		{9 * day1, 0, ""},
		{11 * day1, 1, "level=WARN"},
		{12 * day1, 1, ""},
		{33*day1 + time.Hour, 2, `left="6 days"`},
		{39*day1 + time.Hour, 3, "left=23h0m0s"},
		{40*day1 + time.Hour, 4, "level=ERROR"},
		{80 * day1, 4, ""},
	} {
		s.warn(now.Add(step.after))
		said = strings.Count(log.String(), "certificate ends soon") + strings.Count(log.String(), "certificate has ended")
		if said != step.want || !strings.Contains(log.String(), step.text) {
			t.Fatalf("after %v: %d lines, want %d and %q:\n%s", step.after, said, step.want, step.text, log.String())
		}
	}
	fresh.Write(dir, "foo", pkitest.Template{To: now.Add(400 * day1)})
	s.refresh()
	s.warn(now.Add(80 * day1))
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("after the renewal:\n%s", log.String())
	}
	s.warn(now.Add(380 * day1))
	if n := strings.Count(log.String(), "certificate ends soon"); n != 4 {
		t.Errorf("of the new one:\n%s", log.String())
	}
	got := s.certificates()
	if len(got) != 2 || got[0].Use != "certificate" || got[1].Use != "authorities" || got[1].Subject != "CN=fresh" {
		t.Errorf("%+v", got)
	}
}

// FuzzAuthorities holds that whatever a file holds is read or refused.
func FuzzAuthorities(f *testing.F) {
	ca := pkitest.NewCA(f, "ca")
	f.Add(ca.PEM)
	f.Add(append(ca.PEM, ca.PEM[:100]...))
	f.Add([]byte("text\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAuthorities(b, "f")
		if err == nil && len(a.all) == 0 {
			t.Fatal("no certificate, and no error")
		}
		subjects(a.all)
		for _, c := range a.all {
			if len(which(c)) > 6*2*maxText {
				t.Fatal("a name is not cut")
			}
		}
	})
}
