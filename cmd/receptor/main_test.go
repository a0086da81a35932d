package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == superviseCommand { // of a daemon that runs in this process
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){"receptor": main})
}

// TestScripts runs the program as a user does. Scripts have commands of
// their own: `ready SOCKET` waits until a daemon answers there,
// `control SOCKET LINE` says a line of version 1 and prints the answer,
// `logged FILE TEXT` waits for a text in a file, and `mode MODE FILE...` compares
// the modes of files.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			// Sockets allow about 100 bytes of path, more than a work directory may have.
			dir, err := os.MkdirTemp("", "rs")
			env.Defer(func() { os.RemoveAll(dir) })
			env.Setenv("SOCKETS", dir)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":   ready,
			"control": controlLine,
			"logged":  awaitText,
			"mode":    checkMode,
		},
	})
}

const patience = 20 * time.Second

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready SOCKET")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := ask(args[0], "ping localhost"); err == nil {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("no daemon at %s: %v", args[0], err)
		}
	}
}

func controlLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: control SOCKET LINE")
	}
	answer, err := ask(args[0], args[1])
	ts.Check(err)
	_, err = ts.Stdout().Write([]byte(answer))
	ts.Check(err)
}

func awaitText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: logged FILE TEXT")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		data, _ := os.ReadFile(ts.MkAbs(args[0]))
		if strings.Contains(string(data), args[1]) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("%s has no %q:\n%s", args[0], args[1], data)
		}
	}
}

func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode MODE FILE...")
	}
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := fmt.Sprintf("%#o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", file, got, args[0])
		}
	}
}

func ask(socket, line string) (string, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	return r.ReadString('\n')
}

// TestRunSupervised holds that what starts the supervisor is recognised before
// anything else is looked at.
func TestRunSupervised(t *testing.T) {
	var out, errs strings.Builder
	if code := run([]string{superviseCommand, "--no-such-flag"}, nil, &out, &errs); code == 0 {
		t.Error("a supervisor with a wrong flag succeeds")
	}
	if _, err := os.Stat("receptor.yml"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
