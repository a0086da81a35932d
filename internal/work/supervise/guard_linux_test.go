package supervise

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// guardVariable is in the environment of all that the tests start, and tells one run of the tests from another.
const guardVariable = "SUPERVISE_TEST_RUN"

// startGuard starts a process that waits for the end of this one, however it ends, and then kills what the tests have left behind: supervisors, daemons,
// feeders, commands. The file that it gives must stay open.
func startGuard() (io.Closer, error) {
	self, err := identifySelf()
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := fmt.Sprintf("%d-%d", self.PID, self.StartTime)
	cmd := exec.Command(exe, "guard", run)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe() // its other end is closed with this process
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	os.Setenv(guardVariable, run)
	return in, nil
}

// guard is the process of startGuard.
func guard(run string) int {
	io.Copy(io.Discard, os.Stdin)
	for range 100 { // what is being started meanwhile is found in the next round
		if killMarked(run) == 0 {
			return 0
		}
	}
	return 1
}

// killMarked kills all processes of a run, and gives their number.
func killMarked(run string) (killed int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if marked(pid, run) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
			killed++
		}
		unix.Close(fd)
	}
	return killed
}

func marked(pid int, run string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if s, e := readStat(pid); err != nil || e != nil || s.ended() {
		return false
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if string(v) == guardVariable+"="+run {
			return true
		}
	}
	return false
}

// What a run of the tests leaves behind is ended, and nothing else is.
func TestGuard(t *testing.T) {
	sleep := func(run string) *exec.Cmd {
		cmd := exec.Command("sleep", "1000")
		cmd.Env = append(os.Environ(), guardVariable+"="+run)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd
	}
	left, other := sleep("left"), sleep("other")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "guard", "left") // its input has ended
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for cmd, want := range map[*exec.Cmd]bool{left: false, other: true} {
		p, err := identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if want != p.Alive() {
			t.Errorf("%v: alive %t, want %t", cmd, p.Alive(), want)
		}
	}
}
