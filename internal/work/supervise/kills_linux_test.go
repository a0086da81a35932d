package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Scripts whose first process ends at the interrupt, and leaves one behind that does not end.
const (
	leavesOne  = `trap '' INT; sleep 10000 & echo child $!; trap 'exit 3' INT; echo ready; while :; do sleep 0.02; done`
	startsLate = `trap '(trap "" INT; exec sleep 10000) & echo child $!; exit 3' INT; echo ready; while :; do sleep 0.02; done`
)

// child is what such a script leaves behind.
func (n *node) child(unit string) Process {
	n.t.Helper()
	var p Process
	eventually(n.t, "child has told its number", func() bool {
		for line := range strings.Lines(n.output(unit)) {
			if s, ok := strings.CutPrefix(line, "child "); ok && strings.HasSuffix(s, "\n") {
				pid, _ := strconv.Atoi(strings.TrimSpace(s))
				p, _ = identify(pid)
			}
		}
		return p.PID > 1
	})
	return p
}

func (n *node) ready(unit string) {
	n.t.Helper()
	eventually(n.t, "command is ready", func() bool { return strings.Contains(n.output(unit), "ready") })
}

func (n *node) kills() []string {
	entries, _ := os.ReadDir(filepath.Join(n.supervisorDir(), killsName))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// killSupervisor waits until it is gone.
func (n *node) killSupervisor() {
	n.t.Helper()
	kill(n.t, n.supervisor(), unix.SIGKILL)
	eventually(n.t, "supervisor is gone", n.free)
}

// What is left of the group of a command that was stopped is killed, whoever dies during the grace, and though the unit was released meanwhile.
func TestKillIsNotLost(t *testing.T) {
	const grace = 2 * time.Second
	for _, tt := range []struct {
		name string
		// stop starts the job, stops it, and kills; the next daemon is started when it is asked for.
		stop func(n *node, j Job, released func())
		next bool
	}{
		{"supervisor killed", func(n *node, j Job, released func()) {
			d := n.daemon()
			d.start(j)
			n.ready("u")
			if err := d.Stop(t.Context(), "u", grace); err != nil {
				t.Fatal(err)
			}
			d.exit("u")
			if err := d.Forget("u"); err != nil {
				t.Fatal(err)
			}
			released()
			n.killSupervisor()
		}, false},
		{"daemon killed", func(n *node, j Job, released func()) {
			f := n.startForeign(j)
			n.ready("u")
			f.stop("u", grace)
			f.kill()
			released()
		}, false},
		{"both killed", func(n *node, j Job, released func()) {
			f := n.startForeign(j)
			n.ready("u")
			f.stop("u", grace)
			released()
			supervisor := n.supervisor()
			f.kill()
			kill(t, supervisor, unix.SIGKILL)
			eventually(t, "supervisor is gone", n.free)
		}, true},
		{"both killed, watched", func(n *node, j Job, released func()) {
			f := n.startForeign(j)
			n.ready("u")
			n.killSupervisor()
			f.stop("u", grace)
			released()
			f.kill()
		}, true},
		{"daemon killed, watched, next supervisor", func(n *node, j Job, released func()) {
			f := n.startForeign(j)
			n.ready("u")
			n.killSupervisor()
			f.start(n.shell("v", "sleep 10000")) // by another supervisor, which stays
			f.stop("u", grace)
			released()
			f.kill()
			n.t.Cleanup(func() {
				if n.t.Failed() {
					return
				}
				d := n.daemon()
				d.Stop(context.Background(), "v", 0)
				d.exit("v")
				d.stop()
			})
		}, false},
	} {
		for name, script := range map[string]string{"before": leavesOne, "late": startsLate} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				n := newNode(t)
				j := n.shell("u", script)
				var p Process
				tt.stop(n, j, func() {
					p = n.child("u")
					eventually(t, "exit recorded", func() bool { e, err := ReadExit(j.UnitDir); return err == nil && e.Code == 3 })
					if err := os.Rename(j.UnitDir, j.UnitDir+".away"); err != nil {
						t.Fatal(err)
					}
					if err := os.RemoveAll(j.UnitDir + ".away"); err != nil {
						t.Fatal(err)
					}
				})
				if tt.next {
					if !p.Alive() {
						t.Fatal("killed before somebody could know")
					}
					n.daemon()
				}
				eventually(t, "what was left is killed", func() bool { return !p.Alive() })
				eventually(t, "the record of the kill is removed", func() bool { return len(n.kills()) == 0 })
			})
		}
	}
}

// A supervisor takes up what was left to it, without any daemon, and ends when it is done.
func TestKillTakenUpBySupervisor(t *testing.T) {
	n := newNode(t)
	j := n.shell("u", leavesOne)
	f := n.startForeign(j)
	n.ready("u")
	f.stop("u", 2*time.Second)
	p := n.child("u")
	supervisor := n.supervisor()
	f.kill()
	kill(t, supervisor, unix.SIGKILL)
	eventually(t, "supervisor is gone", n.free)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(exe, "supervise", "--dir", n.supervisorDir(), "--idle", "1ms").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if left := n.kills(); len(left) > 0 {
		t.Errorf("the supervisor has ended: kills %q", left)
	}
	eventually(t, "what was left is killed", func() bool { return !p.Alive() })
}

// A command that ends with all of its group at the interrupt keeps nobody busy for the rest of the grace.
func TestKillNotNeeded(t *testing.T) {
	inEachCare(t, "sleep 10000 & trap 'kill $!; exit 3' INT; echo ready; while :; do sleep 0.02; done", "ready", func(t *testing.T, n *node, d *daemon) {
		if err := d.Stop(t.Context(), "u", time.Hour); err != nil {
			t.Fatal(err)
		}
		wantStopped(t, d.exit("u"), exited(3))
		p, err := ReadProcess(filepath.Join(n.dir, "u"))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "no kill is due", func() bool {
			// Those left of a stranger's group are children of init, which may take its time to wait for them.
			if strings.HasSuffix(t.Name(), "stranger") && !(group{leader: p, fd: -1}).lives(sinceBoot().Milliseconds()) {
				return true
			}
			return len(n.kills()) == 0 && d.kills.pending() == 0
		})
		d.stop()
		eventually(t, "supervisor ends", n.free)
	})
}

// A stop that was recorded by a process that is gone is not repeated, only shortened.
func TestStopTakenUp(t *testing.T) {
	n := newNode(t)
	j := n.shell("u", `trap 'echo interrupted' INT; echo ready; while :; do sleep 0.02; done`)
	f := n.startForeign(j)
	n.ready("u")
	f.stop("u", time.Hour)
	eventually(t, "command is interrupted", func() bool { return strings.Contains(n.output("u"), "interrupted") })
	supervisor := n.supervisor()
	f.kill()
	kill(t, supervisor, unix.SIGKILL)
	eventually(t, "supervisor is gone", n.free)
	d := n.daemon()
	if err := d.Adopt("u", j.UnitDir); err != nil {
		t.Fatal(err)
	}
	d.running("u")
	for _, grace := range []time.Duration{time.Hour, 0} {
		if err := d.Stop(t.Context(), "u", grace); err != nil {
			t.Fatal(err)
		}
	}
	wantExitOrUnseen(t, d.exit("u"), bySignal("killed"))
	if got := n.output("u"); got != "ready\ninterrupted\n" {
		t.Errorf("output %q, want one interrupt", got)
	}
}

// wantExitOrUnseen is for strangers, whose exit older systems do not tell.
func wantExitOrUnseen(t *testing.T, got, want Exit) {
	t.Helper()
	if !got.Known {
		want = Exit{Code: -1, Started: true, Detail: detailUnseen}
	}
	wantExit(t, got, want)
}

// Only a group that is certainly the one that was meant is killed.
func TestKillSparesStrangers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *killRecord)
		killed bool
	}{
		{"the one", func(*killRecord) {}, true},
		{"began after it was last seen", func(r *killRecord) { r.Seen = r.StartTimeMS() - 1000 }, false},
		{"began before its leader", func(r *killRecord) { r.StartTime += 1000 * ticksPerSecond }, false},
		{"another boot", func(r *killRecord) { r.Boot = "00000000-0000-0000-0000-000000000000" }, false},
		{"another space", func(r *killRecord) { r.Space = "pid:[1]" }, false},
	} {
		for _, leader := range []string{"gone", "alive"} {
			t.Run(tt.name+"/leader "+leader, func(t *testing.T) {
				n := newNode(t)
				// The leader of a group of its own; what it leaves behind is in no unit.
				cmd := exec.Command("sh", "-c", "sleep 10000 </dev/null >/dev/null 2>&1 & echo $!; read x")
				cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var pid int
				if _, err := fmt.Fscan(out, &pid); err != nil {
					t.Fatal(err)
				}
				r := killRecord{V: recordVersion, Space: pidSpace(), Seen: sinceBoot().Milliseconds()}
				if r.Process, err = identify(cmd.Process.Pid); err != nil {
					t.Fatal(err)
				}
				group := r.PID
				t.Cleanup(func() { unix.Kill(-group, unix.SIGKILL); cmd.Wait() })
				p, err := identify(pid)
				if err != nil {
					t.Fatal(err)
				}
				if leader == "gone" {
					in.Close()
					cmd.Wait()
				} else if tt.name == "began after it was last seen" {
					t.Skip("a leader that is alive is enough")
				}
				tt.change(&r)
				b, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(n.dir, killsName)
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%d", r.PID, r.StartTime)), b, 0o600); err != nil {
					t.Fatal(err)
				}
				k := newKiller(dir, slog.New(slog.DiscardHandler), func() {})
				k.takeUp()
				eventually(t, "kill is done", func() bool { k.check(); return k.pending() == 0 })
				eventually(t, "the stray process is as it should be", func() bool { return !tt.killed || !p.Alive() })
				if p.Alive() == tt.killed {
					t.Errorf("alive %t, want %t", p.Alive(), !tt.killed)
				}
				if names, _ := os.ReadDir(dir); len(names) > 0 {
					t.Errorf("left: %v", names)
				}
			})
		}
	}
}

// StartTimeMS is when the leader began, in milliseconds since the boot.
func (r *killRecord) StartTimeMS() int64 { return int64(r.StartTime) * (1000 / ticksPerSecond) }

// A look between the record of a stop and its interrupt does not put off the next one to the end of the grace.
func TestKillLookedAtBeforeInterrupt(t *testing.T) {
	cmd := exec.Command("sleep", "10000")
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	k := newKiller(filepath.Join(t.TempDir(), killsName), slog.New(slog.DiscardHandler), func() {})
	if !k.add(p, time.Hour) {
		t.Fatal("no interrupt is to be sent")
	}
	<-k.wake
	if pause := k.check(); pause <= killsEvery {
		t.Fatalf("next look in %v before the group is known", pause)
	}
	k.sent(p, openGroup(p))
	select {
	case <-k.wake:
	default:
		t.Fatal("nobody looks at the group before the end of the grace")
	}
	if pause := k.check(); pause > killsEvery {
		t.Errorf("next look in %v, want at most %v", pause, killsEvery)
	}
	k.cancel(p)
}

// A disk that takes no record of a kill does not hinder it, and it is recorded as soon as that is possible.
func TestKillNotRecordable(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	if err := os.MkdirAll(n.supervisorDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(n.supervisorDir(), killsName)
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(n.shell("u", leavesOne))
	n.ready("u")
	if err := d.Stop(t.Context(), "u", time.Hour); err != nil {
		t.Fatal(err)
	}
	wantExit(t, d.exit("u"), exited(3))
	p := n.child("u")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "kill is recorded", func() bool { return len(n.kills()) == 1 })
	kill(t, p.PID, unix.SIGKILL)
	eventually(t, "kill is over", func() bool { return len(n.kills()) == 0 })
}

// Commands have the default signals, whatever the daemon was started with.
func TestSignalsOfCommands(t *testing.T) {
	n := newNode(t)
	n.wrap = []string{"sh", "-c", `trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 CHLD TSTP TTIN TTOU; exec "$@"`, "sh"}
	runtime.LockOSThread() // what is blocked here is blocked in the process that is started here
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &old); err != nil {
		t.Fatal(err)
	}
	j := n.shell("u", "")
	j.Command, j.Args = "grep", []string{"-E", "Sig(Blk|Ign)", "/proc/self/status"}
	func() {
		defer runtime.UnlockOSThread()
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
		n.startForeign(j)
	}()
	eventually(t, "command has ended", func() bool { _, err := ReadExit(j.UnitDir); return err == nil })
	var blocked, ignored uint64
	if _, err := fmt.Sscanf(n.output("u"), "SigBlk:\t%x\nSigIgn:\t%x\n", &blocked, &ignored); err != nil {
		t.Fatalf("%q: %v", n.output("u"), err)
	}
	const reserved = 1<<31 | 1<<32 // 32 and 33, which C libraries keep for themselves
	if blocked&^reserved != 0 || ignored&^reserved != 0 {
		t.Errorf("signals of a command: %x blocked, %x ignored", blocked, ignored)
	}
}
