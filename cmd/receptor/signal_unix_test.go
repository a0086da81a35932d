//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
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
