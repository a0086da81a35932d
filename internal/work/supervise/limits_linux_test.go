package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (n *node) stderr(unit string) string {
	b, _ := os.ReadFile(filepath.Join(n.dir, unit, stderrName))
	return string(b)
}

// Separate error output goes on, in append mode, when the supervisor and the daemon are killed.
func TestSeparateStderr(t *testing.T) {
	n := newNode(t)
	j := n.shell("u", "echo out; echo err >&2; read x <"+fifo(t, n.dir)+"; echo out2; echo err2 >&2; sed -n 's/flags:.*\\(.\\)...$/\\1/p' /proc/self/fdinfo/2; exit 5")
	j.Stderr = true
	if err := os.WriteFile(filepath.Join(j.UnitDir, stderrName), []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setSubreaper(t, 0)
	f := n.startForeign(j)
	eventually(t, "first output", func() bool { return n.stderr("u") == "before\nerr\n" && n.output("u") == "out\n" })
	pid := n.supervisor()
	kill(t, pid, unix.SIGKILL)
	f.kill()
	eventually(t, "supervisor is gone", n.free)
	d := n.daemon()
	if err := d.Adopt("u", j.UnitDir); err != nil {
		t.Fatal(err)
	}
	d.running("u")
	openFifo(t, n.dir)
	if e := d.exit("u"); e.Known {
		wantExit(t, e, exited(5))
	}
	if got := n.stderr("u"); got != "before\nerr\nerr2\n" {
		t.Errorf("error output %q", got)
	}
	if got := n.output("u"); got != "out\nout2\n2\n" {
		t.Errorf("output %q", got)
	}

	// It is made when needed, and no other unit has one.
	k := n.shell("made", "echo err >&2")
	k.Stderr = true
	d.start(k)
	wantExit(t, d.exit("made"), exited(0))
	if fi, err := os.Stat(filepath.Join(k.UnitDir, stderrName)); err != nil || fi.Mode().Perm() != 0o600 || fi.Size() != 4 {
		t.Errorf("stderr: %v, %v", fi, err)
	}
	d.start(n.shell("mixed", "echo err >&2"))
	wantExit(t, d.exit("mixed"), exited(0))
	if _, err := os.Stat(filepath.Join(n.dir, "mixed", stderrName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stderr of a unit that wants none: %v", err)
	}
}

// Limits hold whoever looks after the command: supervisor with a daemon, without one, or a daemon that found it.
func TestLimits(t *testing.T) {
	const (
		runtimeText = "stopped: it ran longer than 300ms (maxruntime)"
		outputText  = "stopped: its output became larger than 100000 bytes (maxoutput)"
	)
	write := "while :; do echo 0123456789012345678901234567890123456789; echo 0123456789012345678901234567890123456789 >&2; [ -e " // and a file
	for _, tt := range []struct {
		name   string
		job    Job
		script string
		want   Exit
	}{
		{"runtime", Job{MaxRuntime: 300 * time.Millisecond}, "exec sleep 1000",
			Exit{Code: -1, Signal: "interrupt", Detail: runtimeText + "; signal: interrupt", Trouble: runtimeText, Started: true, Known: true}},
		{"kill", Job{MaxRuntime: 300 * time.Millisecond, Grace: 50 * time.Millisecond}, "trap '' INT; while :; do sleep 1; done",
			Exit{Code: -1, Signal: "killed", Detail: runtimeText + "; signal: killed", Trouble: runtimeText, Started: true, Known: true}},
		{"zero", Job{MaxRuntime: 300 * time.Millisecond}, "trap 'exit 0' INT; while :; do sleep 0.01; done",
			Exit{Detail: runtimeText + "; exit status 0", Trouble: runtimeText, Started: true, Known: true}},
		{"output", Job{MaxOutput: 100_000, Stderr: true}, write + "x ] && sleep 0.01; done",
			Exit{Code: -1, Signal: "interrupt", Detail: outputText + "; signal: interrupt", Trouble: outputText, Started: true, Known: true}},
		{"goes on writing", Job{MaxOutput: 1000, Grace: time.Hour}, "trap '' INT; while :; do head -c 10000 /dev/zero; done",
			Exit{Code: -1, Signal: "killed", Detail: "stopped: its output became larger than 1000 bytes (maxoutput); signal: killed",
				Trouble: "stopped: its output became larger than 1000 bytes (maxoutput)", Started: true, Known: true}},
		{"within", Job{MaxOutput: 100_000, MaxRuntime: time.Hour}, "head -c 100000 /dev/zero; exit 3", exited(3)},
	} {
		for _, who := range []string{"daemon and supervisor", "supervisor", "daemon"} {
			t.Run(tt.name+"/"+who, func(t *testing.T) {
				n := newNode(t)
				n.idle = 5 * time.Second
				j := n.shell("u", "while [ ! -e "+n.dir+"/go ]; do sleep 0.01; done; "+tt.script)
				j.MaxRuntime, j.MaxOutput, j.Grace, j.Stderr = tt.job.MaxRuntime, tt.job.MaxOutput, tt.job.Grace, tt.job.Stderr
				goOn := func() {
					if err := os.WriteFile(filepath.Join(n.dir, "go"), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if who == "daemon and supervisor" {
					goOn()
					d := n.daemon()
					d.start(j)
					wantExit(t, d.exit("u"), tt.want)
					d.stop()
					return
				}
				setSubreaper(t, 0)
				if who == "supervisor" {
					goOn()
				}
				f := n.startForeign(j)
				pid := n.supervisor()
				t.Cleanup(func() { unix.Kill(pid, unix.SIGTERM) })
				f.kill()
				if who == "supervisor" {
					var e Exit
					eventually(t, "end recorded without a daemon", func() (ok bool) {
						var err error
						e, err = ReadExit(j.UnitDir)
						return err == nil
					})
					wantExit(t, e, tt.want)
				} else {
					kill(t, pid, unix.SIGKILL)
					eventually(t, "supervisor is gone", n.free)
				}
				d := n.daemon()
				defer d.stop()
				if err := d.Adopt("u", j.UnitDir); err != nil {
					t.Fatal(err)
				}
				goOn()
				e := d.exit("u")
				// Who killed supervisor and daemon may have been too slow to find the command before its limit; that is told alike.
				if !e.Known {
					if tt.want.Trouble != "" && (e.Trouble != tt.want.Trouble || !strings.HasPrefix(e.Detail, tt.want.Trouble+"; ")) {
						t.Errorf("exit %+v, want the trouble %q", e, tt.want.Trouble)
					}
					return
				}
				wantExit(t, e, tt.want)
			})
		}
	}
}

// A run time counts from the start of the process, not from when somebody began to look.
func TestRuntimeCountsFromStart(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	p := d.start(n.shell("u", "exec sleep 1000"))
	began := p.began()
	if age := time.Since(began); age < 0 || age > patience {
		t.Errorf("a command that was just started began %v ago", age)
	}
	self, err := identifySelf()
	if err != nil || !self.began().Before(began) {
		t.Errorf("we began at %v, our command at %v; %v", self.began(), began, err)
	}
	x := &limited{terms: terms{MaxRuntimeMS: 3_600_000}, began: time.Now().Add(-59 * time.Minute)}
	if text, _, next := x.look(); text != "" || next <= 0 || next > time.Minute {
		t.Errorf("look: %q, next in %v", text, next)
	}
	x.began = time.Now().Add(-61 * time.Minute)
	if text, _, _ := x.look(); text != "stopped: it ran longer than 1h0m0s (maxruntime)" {
		t.Errorf("look: %q", text)
	}
	if err := d.Stop(t.Context(), "u", 0); err != nil {
		t.Error(err)
	}
	d.exit("u")
}

// A command without limits is not looked at, and costs the supervisor no thread, goroutine or descriptor.
func TestManyCostNothing(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("first", "exec sleep 1000"))
	pid := n.supervisor()
	count := func() (fds, threads int) {
		l, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(l), status(t, pid)["Threads"]
	}
	fds, _ := count()
	const many = 100
	for i := range many {
		d.start(n.shell(fmt.Sprintf("u%d", i), "exec sleep 1000"))
	}
	eventually(t, "supervisor is back at the descriptors of one command", func() bool { now, _ := count(); return now <= fds })
	if _, threads := count(); threads > 24 {
		t.Errorf("%d threads with %d commands", threads, many)
	}
	for i := range many {
		d.Stop(t.Context(), fmt.Sprintf("u%d", i), 0)
	}
	d.Stop(t.Context(), "first", 0)
	for i := range many {
		d.exit(fmt.Sprintf("u%d", i))
	}
	d.exit("first")
}
