//go:build unix

package unixsocket

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListen holds the rules of the socket and its lock.
func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "ru")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "s.sock")
	first, err := Listen(name, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(name, 0o600); err == nil || !strings.Contains(err.Error(),
		"could not acquire lock on socket file: fslock is already locked") {
		t.Errorf("second listener: %v", err)
	}
	first.(*listener).Listener.(*net.UnixListener).SetUnlinkOnClose(false) // as if it was killed
	first.Close()
	again, err := Listen(name, 0o600)
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	again.Close()
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(name, 0o600); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("in place of a directory: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "no", "s.sock"), 0o600); err == nil ||
		!strings.Contains(err.Error(), "could not acquire lock on socket file: no such file or directory") {
		t.Errorf("in a directory that is not there: %v", err)
	}
}
