//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const hangingTest = "RECEPTOR_TEST_HANGING"

// TestSecondSignal runs this test in a process that is told to end and does not:
// a second signal ends it at once.
func TestSecondSignal(t *testing.T) {
	if os.Getenv(hangingTest) != "" {
		ctx, stop := untilSignal(context.Background())
		defer stop()
		os.Stdout.WriteString("ready\n")
		<-ctx.Done()
		os.Stdout.WriteString(context.Cause(ctx).Error() + "\n")
		time.Sleep(patience)
		os.Exit(42)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondSignal$")
	cmd.Env = append(os.Environ(), hangingTest+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, step := range []struct {
		line string
		then syscall.Signal
	}{{"ready", syscall.SIGTERM}, {"received signal: terminated", syscall.SIGINT}} {
		if line, err := lines.ReadString('\n'); line != step.line+"\n" {
			t.Errorf("it says %q %v, want %q", line, err, step.line)
		}
		if err := cmd.Process.Signal(step.then); err != nil {
			t.Error(err)
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("it ends with code %d, want 1", code)
	}
}

// program is this program as a process of its own, which is killed with the test.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, out *bufio.Reader) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Args = append([]string{"receptor"}, args...) // TestMain goes by the name
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewReader(stdout)
}

// A hangup that comes while a daemon starts (here it waits for its configuration)
// does not end it: it reloads once all runs.
func TestHangupDuringTheStart(t *testing.T) {
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "c.yml")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := program(t, "--config", file)
	w, err := os.OpenFile(file, os.O_WRONLY, 0) // returns when the daemon reads
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	conf := "- node: {id: a, datadir: " + dir + "}\n- local-only\n- control-service: {filename: " + dir + "/s}\n"
	if err := os.WriteFile(file+".new", []byte(conf+"- log-level: debug\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString(conf); err != nil {
		t.Fatal(err)
	}
	w.Close()
	want := []string{"Initialization complete", "DEBUG "}
	for len(want) > 0 {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("no %q: %v", want[0], err)
		}
		if strings.Contains(line, want[0]) {
			want = want[1:]
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
