package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// fakeFor starts a stand-in that answers as a vector says and returns it with
// the address of its socket.
func fakeFor(t *testing.T, name string, version int) (*fake, string) {
	v := readVector(t, filepath.Join(packageDir, "testdata/vectors", name+".txt"))
	f := newFake(t, version, v.conns)
	ln, socket := listenUnix(t)
	f.listen(ln)
	return f, socket
}

func listenUnix(t *testing.T) (net.Listener, string) {
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, socket
}

// serveOnce hands each of a row of connections to the function of its number.
func serveOnce(t *testing.T, conns ...func(conn net.Conn, r *bufio.Reader)) (socket string) {
	ln, socket := listenUnix(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, serve := range conns {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn, bufio.NewReader(conn))
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return socket
}

// greet2 begins a session of version 2.
func greet2(conn net.Conn, r *bufio.Reader) {
	io.WriteString(conn, "Receptor Control, node x\n")
	r.ReadString('\n')
	io.WriteString(conn, `{"version":2,"node":"x","software":"1.5.0"}`+"\n")
}

// greet1 begins a session of version 1, in which the version is asked for if
// first is set.
func greet1(conn net.Conn, r *bufio.Reader, first bool) {
	io.WriteString(conn, "Receptor Control, node x\n")
	if first {
		r.ReadString('\n')
		io.WriteString(conn, "ERROR: Unknown command\n")
		r.ReadString('\n')
		io.WriteString(conn, `{"Version":"1.5.0"}`+"\n")
	}
}

func TestConnectPipes(t *testing.T) {
	_, socket := fakeFor(t, "cli-connect-terminal", controlproto.V1)
	c := newCall(strings.NewReader("ping controller01\n"), nil)
	if code := run(t.Context(), c.env, []string{"--socket", socket, "connect", "executor01", "control"}); code != 0 {
		t.Errorf("exit code %d: %s", code, &c.err)
	}
	want := "Receptor Control, node executor01\n" + `{"From":"controller01","Success":true,"Time":629359,"TimeStr":"629.359µs"}` + "\n"
	if got := c.out.String(); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
}

// A service whose first words come in one packet with the daemon's answer, and
// that sends bytes that are no text.
func TestConnectBinary(t *testing.T) {
	sent := "\xff\x00\xc3first" + strings.Repeat("\x80", 1<<16)
	socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
		greet1NoHello(conn, r)
		r.ReadString('\n')
		io.WriteString(conn, "Connecting\n"+sent)
		back, _ := io.ReadAll(r) // up to the half-close
		conn.Write(back)
	})
	c := newCall(strings.NewReader("last\x00"), nil)
	if code := run(t.Context(), c.env, []string{"--socket", socket, "connect", "a", "b"}); code != 0 {
		t.Errorf("exit code %d: %s", code, &c.err)
	}
	if got := c.out.String(); got != sent+"last\x00" {
		t.Errorf("got %d bytes, want %d", len(got), len(sent)+5)
	}
}

func greet1NoHello(conn net.Conn, r *bufio.Reader) {
	io.WriteString(conn, "Receptor Control, node x\n")
	r.ReadString('\n')
	io.WriteString(conn, `{"Version":"1.5.0"}`+"\n")
}

// A raw terminal is restored, also when the call is interrupted.
func TestConnectRaw(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
			greet1NoHello(conn, r)
			r.ReadString('\n')
			io.WriteString(conn, "Connecting\nhello")
			if interrupted {
				cancel()
				io.Copy(io.Discard, r)
			}
		})
		raw := 0
		block, unblock := io.Pipe()
		c := newCall(block, nil)
		c.stdinTerminal = true
		c.raw = func() (func(), error) { raw++; return func() { raw-- }, nil }
		code := run(ctx, c.env, []string{"--socket", socket, "connect", "-r", "a", "b"})
		unblock.Close()
		cancel()
		want := 0
		if interrupted {
			want = exitInterrupted
		}
		if code != want || raw != 0 {
			t.Errorf("interrupted %v: exit code %d, terminal raw %d times", interrupted, code, raw)
		}
	}
}

// Ctrl-C ends the process with 130, SIGTERM kills it.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such signals")
	}
	for name, sig := range map[string]syscall.Signal{
		"cli-results-running-interrupted": syscall.SIGINT,
		"cli-results-running-sigterm":     syscall.SIGTERM,
	} {
		_, socket := fakeFor(t, name, controlproto.V1)
		cmd := exec.Command("receptorctl", "--socket", socket, "work", "results", "0gb2uZHZ")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && lines.Text() != "tick 8" {
		}
		cmd.Process.Signal(sig)
		cmd.Wait()
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case sig == syscall.SIGINT && (cmd.ProcessState.ExitCode() != exitInterrupted || stderr.String() != "\n"):
			t.Errorf("SIGINT: %v, stderr %q", cmd.ProcessState, &stderr)
		case sig == syscall.SIGTERM && (!ws.Signaled() || ws.Signal() != sig):
			t.Errorf("SIGTERM: %v", cmd.ProcessState)
		}
	}
}

// NO_COLOR forbids colour on a terminal.
func TestNoColor(t *testing.T) {
	for value, want := range map[string]string{"": "\x1b[31mERROR: Missing command.\x1b[0m\n", "1": "ERROR: Missing command.\n"} {
		c := newCall(nil, map[string]string{"NO_COLOR": value})
		c.stderrTerminal = true
		run(t.Context(), c.env, []string{"--socket", "x"})
		if got := c.err.String(); !strings.HasPrefix(got, want) {
			t.Errorf("NO_COLOR=%q: %q, want %q", value, got, want)
		}
	}
}
