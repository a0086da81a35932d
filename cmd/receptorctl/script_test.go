package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// packageDir is where testdata is, as tests change their directory.
var packageDir, _ = os.Getwd()

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"receptorctl": scriptMain})
}

// scriptMain is main with nothing taken from the machine that runs the test:
// default sockets are those of a variable.
func scriptMain() {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	e := systemEnv()
	e.sockets = filepath.SplitList(os.Getenv("TEST_DEFAULT_SOCKETS"))
	os.Exit(run(ctx, e, os.Args[1:]))
}

// TestScript runs the program as users do. Besides the usual commands scripts
// have
//
//	daemon VECTOR VERSION   start a stand-in that answers as recorded, at $SOCKET
//	exits CODE PROGRAM...   run a program that must end with that code
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			dir, err := os.MkdirTemp("", "ctl")
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("SOCKET", filepath.Join(dir, "daemon.sock"))
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": func(ts *testscript.TestScript, _ bool, args []string) {
				startDaemon(t, ts, args)
			},
			"exits": exits,
		},
	})
}

func startDaemon(t *testing.T, ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: daemon VECTOR VERSION")
	}
	version := controlproto.V1
	if args[1] == "2" {
		version = controlproto.V2
	}
	v := readVector(t, filepath.Join(packageDir, "testdata/vectors", args[0]+".txt"))
	f := newFake(t, version, v.conns)
	ln, err := net.Listen("unix", ts.Getenv("SOCKET"))
	ts.Check(err)
	f.listen(ln)
	ts.Defer(f.stop)
}

// exits runs a program to its end and compares the exit code; stdout and stderr
// then work as after exec.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d\n%s", got, want, ts.ReadFile("stderr"))
	}
}
