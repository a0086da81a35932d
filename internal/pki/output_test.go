package pki

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// files are the names and contents in a directory.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil && !e.IsDir() {
			t.Fatal(err)
		}
		got[e.Name()] = string(data)
	}
	return got
}

func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := filesIn(t, dir)
	for name, content := range want {
		if c, ok := got[name]; !ok || c != content {
			t.Errorf("%s has %q, want %q", name, c, content)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left", name)
		}
	}
}

func mode(t *testing.T, file string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	key := Output{File: filepath.Join(dir, "key"), Data: []byte("k1"), Mode: 0o600, Secret: true}
	crt := Output{File: filepath.Join(dir, "crt"), Data: []byte("c1"), Mode: 0o644}
	if err := Write(false, key, crt); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, map[string]string{"key": "k1", "crt": "c1"})
	if runtime.GOOS != "windows" && (mode(t, key.File) != 0o600 || mode(t, crt.File) != 0o644) {
		t.Errorf("modes %o, %o", mode(t, key.File), mode(t, crt.File))
	}

	key.Data, crt.Data = []byte("k2"), []byte("c2")
	if err := Write(false, key, crt); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), key.File) {
		t.Errorf("%v", err)
	}
	if err := os.Remove(key.File); err != nil {
		t.Fatal(err)
	}
	if err := Write(false, key, crt); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), crt.File) {
		t.Errorf("%v", err)
	}
	wantFiles(t, dir, map[string]string{"crt": "c1"})

	// Files that are replaced keep their modes, but for a key's for everybody.
	if err := os.WriteFile(key.File, []byte("k0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(key.File, 0o644), os.Chmod(crt.File, 0o664)); err != nil {
		t.Fatal(err)
	}
	if err := Write(true, key, crt); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, map[string]string{"key": "k2", "crt": "c2"})
	if runtime.GOOS != "windows" && (mode(t, key.File) != 0o640 || mode(t, crt.File) != 0o664) {
		t.Errorf("modes %o, %o", mode(t, key.File), mode(t, crt.File))
	}
}

// TestWriteAllOrNothing: nothing is left, or what was there, if one of the files cannot be written.
func TestWriteAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{at("dir"), at("no/such"), ""} {
		if err := Write(true, Output{File: at("key"), Data: []byte("k"), Mode: 0o600}, Output{File: bad, Data: []byte("c")}); err == nil {
			t.Errorf("%q is written", bad)
		} else if bad == at("no/such") && err.Error() != "open "+bad+": "+errNotFound() {
			t.Error(err)
		}
		wantFiles(t, dir, map[string]string{"dir": ""})
	}
	if err := Write(true, Output{File: at("a")}, Output{File: dir + "/./a"}); err == nil || !strings.Contains(err.Error(), "only one") {
		t.Error(err)
	}
	wantFiles(t, dir, map[string]string{"dir": ""})

	// The second file cannot take its place: something has come there since it was looked at.
	if err := os.WriteFile(at("old"), []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{"old", "new"} {
		one, err := stage(Output{File: at(first), Data: []byte("after"), Mode: 0o600}, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := one.commit(true); err != nil {
			t.Fatal(err)
		}
		if got := filesIn(t, dir)[first]; got != "after" {
			t.Errorf("%q", got)
		}
		if err := one.undo(); err != nil {
			t.Error(err)
		}
		one.cleanUp()
		wantFiles(t, dir, map[string]string{"dir": "", "old": "before"})
	}
	s, err := stage(Output{File: at("late"), Data: []byte("x"), Mode: 0o600}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("late"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(true); err == nil {
		t.Error("a directory is replaced")
	}
	s.cleanUp()
	wantFiles(t, dir, map[string]string{"dir": "", "old": "before", "late": ""})
}

// errNotFound is how the system says that there is no such file.
func errNotFound() string {
	_, err := os.Stat("no such file here")
	pe, _ := errors.AsType[*fs.PathError](err)
	return pe.Err.Error()
}

// TestWriteInPlace: what is no file is written to, and links stay.
func TestWriteInPlace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need rights there")
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	if err := Write(true, Output{File: link, Data: []byte("new"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, map[string]string{"link": "new", "file": "new"})
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Error(to, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "file")), Write(false, Output{File: link, Data: []byte("first"), Mode: 0o600})); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, map[string]string{"link": "first", "file": "first"})
	if err := Write(false, Output{File: os.DevNull, Data: []byte("x")}, Output{File: os.DevNull, Data: []byte("y")}); err != nil {
		t.Error(err)
	}
}
