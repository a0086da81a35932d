//go:build unix

package proxy

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// short is a directory with a path short enough for sockets.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestUnix: from Unix socket to Unix socket, with half closes; the way in has
// the mode it is given, and nothing stays behind.
func TestUnix(t *testing.T) {
	dir := short(t)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	a, b := twoNodes(t)
	started(t, b, UnixClient{Service: "unix", Filename: out})
	_, stop := started(t, a, UnixServer{Filename: in, Permissions: 0o620, RemoteNode: "b", RemoteService: "unix"})
	if info, err := os.Stat(in); err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("mode %v, %v", info, err)
	}
	open := func() *net.UnixConn {
		c, err := net.Dial("unix", in)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
		return c.(*net.UnixConn)
	}
	if b, err := io.ReadAll(open()); len(b) > 0 { // the target is not there yet
		t.Errorf("got %q, %v", b, err)
	}

	ln, err := net.Listen("unix", out)
	if err != nil {
		t.Fatal(err)
	}
	var target sync.WaitGroup
	target.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		c.Write(append([]byte("got "), b...))
	})
	t.Cleanup(func() { ln.Close(); target.Wait() })
	c := open()
	io.WriteString(c, "request")
	c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "got request" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(in); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

// TestUnixKeepsFiles: what is in the way and is no socket stays (weakness:
// a directory tree was deleted).
func TestUnixKeepsFiles(t *testing.T) {
	a, _ := twoNodes(t)
	dir := short(t)
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, file} {
		if s, err := (UnixServer{Filename: name, Permissions: 0o600, RemoteNode: "b", RemoteService: "x"}).Open(a, nil); err == nil {
			s.Close()
			t.Errorf("%s is replaced by a socket", name)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	os.Remove(dir + ".lock")
}

// TestServiceClose: a service that never ran frees what it has.
func TestServiceClose(t *testing.T) {
	a, _ := twoNodes(t)
	dir := short(t)
	for _, c := range []config{
		TCPClient{Service: "tcp", Address: "127.0.0.1:1"},
		UDPServer{Address: listenUDPAddr(t), RemoteNode: "b", RemoteService: "x"},
		UDPClient{Service: "udp", Address: "127.0.0.1:1"},
		UnixServer{Filename: filepath.Join(dir, "s"), Permissions: 0o600, RemoteNode: "b", RemoteService: "x"},
		UnixClient{Service: "unix", Filename: filepath.Join(dir, "x")},
		CommandService{Service: "cmd", Command: "cat"},
	} {
		for range 2 {
			s, err := c.Open(a, nil)
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			if other, err := c.Open(a, nil); err == nil {
				other.Close()
				t.Errorf("%+v opens twice", c)
			}
			s.Close()
		}
		s, err := c.Open(a, nil)
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ended); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// listenUDPAddr is an address that nobody listens on.
func listenUDPAddr(t *testing.T) string {
	c := listenUDP(t)
	defer c.Close()
	return c.LocalAddr().String()
}
