package supervise

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inEachCare runs a test with the command under its supervisor, as a child of the daemon after the supervisor has died, and as a stranger after both have.
func inEachCare(t *testing.T, script string, ready string, f func(t *testing.T, n *node, d *daemon)) {
	for _, care := range []string{"supervised", "inherited", "stranger"} {
		t.Run(care, func(t *testing.T) {
			n := newNode(t)
			j := n.shell("u", script)
			var d *daemon
			switch care {
			case "stranger":
				foreign := n.startForeign(j)
				supervisor := n.supervisor()
				setSubreaper(t, 0)
				foreign.kill()
				kill(t, supervisor, unix.SIGKILL)
				eventually(t, "supervisor is gone", n.free)
				d = n.daemon()
				if err := d.Adopt("u", j.UnitDir); err != nil {
					t.Fatal(err)
				}
				d.running("u")
			case "inherited":
				d = n.daemon()
				d.start(j)
				kill(t, n.supervisor(), unix.SIGKILL)
			default:
				d = n.daemon()
				d.start(j)
			}
			eventually(t, "command is ready", func() bool { return strings.Contains(n.output("u"), ready) })
			f(t, n, d)
		})
	}
}

func bySignal(sig string) Exit {
	return Exit{Code: -1, Signal: sig, Detail: "signal: " + sig, Started: true, Known: true}
}

// wantStopped compares, but allows that the end of a stranger is not known on older systems.
func wantStopped(t *testing.T, got, want Exit) {
	t.Helper()
	if !got.Known && strings.HasSuffix(t.Name(), "stranger") {
		want = Exit{Code: -1, Started: true, Detail: detailUnseen}
		if got.Detail == detailGone { // it ended before the watch had begun
			want.Detail = detailGone
		}
	}
	wantExit(t, got, want)
}

func TestStopInterrupts(t *testing.T) {
	inEachCare(t, `trap 'echo interrupted; exit 12' INT; echo ready; while :; do sleep 0.02; done`, "ready",
		func(t *testing.T, n *node, d *daemon) {
			if err := d.Stop(t.Context(), "u", time.Minute); err != nil {
				t.Fatal(err)
			}
			wantStopped(t, d.exit("u"), exited(12))
			if got := n.output("u"); got != "ready\ninterrupted\n" {
				t.Errorf("output %q, want one interrupt", got)
			}
			if err := d.Stop(t.Context(), "u", 0); err != nil {
				t.Errorf("stop after the end: %v", err)
			}
		})
}

func TestStopKillsWhatIgnoresInterrupts(t *testing.T) {
	inEachCare(t, `trap '' INT; echo ready; while :; do sleep 0.02; done`, "ready",
		func(t *testing.T, n *node, d *daemon) {
			began := time.Now()
			if err := d.Stop(t.Context(), "u", 200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			// Again with more time changes nothing.
			if err := d.Stop(t.Context(), "u", time.Hour); err != nil {
				t.Fatal(err)
			}
			wantStopped(t, d.exit("u"), bySignal("killed"))
			if took := time.Since(began); took < 200*time.Millisecond {
				t.Errorf("killed after %v, before its grace", took)
			}
		})
}

func TestStopAgainShortensTheGrace(t *testing.T) {
	inEachCare(t, `trap '' INT; echo ready; while :; do sleep 0.02; done`, "ready",
		func(t *testing.T, n *node, d *daemon) {
			for _, grace := range []time.Duration{time.Hour, 0} {
				if err := d.Stop(t.Context(), "u", grace); err != nil {
					t.Fatal(err)
				}
			}
			wantStopped(t, d.exit("u"), bySignal("killed"))
		})
}

// The command ends at the interrupt; its children do not, and are killed when the grace is over, though their leader is long gone.
func TestStopKillsTheGroup(t *testing.T) {
	script := `(trap '' INT; echo child $(exec sh -c 'echo $PPID'); while :; do sleep 0.02; done) &
trap 'exit 3' INT; echo ready; while :; do sleep 0.02; done`
	inEachCare(t, script, "ready", func(t *testing.T, n *node, d *daemon) {
		var child int
		eventually(t, "child tells its number", func() bool {
			for line := range strings.Lines(n.output("u")) {
				if s, ok := strings.CutPrefix(strings.TrimSpace(line), "child "); ok {
					child, _ = strconv.Atoi(s)
				}
			}
			return child > 1
		})
		p, err := identify(child)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Stop(t.Context(), "u", 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		wantStopped(t, d.exit("u"), exited(3))
		if !p.Alive() && !strings.HasSuffix(t.Name(), "stranger") { // whose end may take a second to be noticed
			t.Error("child was killed before the grace was over")
		}
		eventually(t, "child is killed", func() bool { return !p.Alive() })
	})
}

// Children that a command leaves behind are left alone unless it was stopped, and are waited for when they end.
func TestLeftBehind(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	fifo(t, n.dir)
	d.start(n.shell("u", fmt.Sprintf(`(read x <%s/fifo; echo late) & echo $! `, n.dir)))
	wantExit(t, d.exit("u"), exited(0))
	child, err := strconv.Atoi(strings.TrimSpace(n.output("u")))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "child comes to the supervisor", func() bool {
		s, err := readStat(child)
		return err == nil && s.ppid == n.supervisor()
	})
	if err := d.Stop(t.Context(), "u", 0); err != nil {
		t.Fatal(err)
	}
	openFifo(t, n.dir)
	eventually(t, "child writes its output", func() bool { return strings.HasSuffix(n.output("u"), "late\n") })
	eventually(t, "child is waited for", func() bool { _, err := readStat(child); return err != nil })
}

// A stop that comes while the command is being started is not lost.
func TestStopWhileStarting(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	for i := range 20 {
		j := n.shell(fmt.Sprintf("u%d", i), "sleep 100")
		started := make(chan error, 1)
		go func() { // ends with its start
			_, err := d.Start(t.Context(), j)
			started <- err
		}()
		eventually(t, "start is on its way", func() bool {
			d.Client.mu.Lock()
			defer d.Client.mu.Unlock()
			return d.units[j.Unit] != nil
		})
		eventually(t, "stop has come after the start", func() bool {
			if err := d.Stop(t.Context(), j.Unit, 0); err != nil {
				t.Fatal(err)
			}
			d.Client.mu.Lock()
			defer d.Client.mu.Unlock()
			return d.units[j.Unit] == nil || d.units[j.Unit].process != nil
		})
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		d.Stop(t.Context(), j.Unit, 0)
		if e := d.exit(j.Unit); e.Signal == "" {
			t.Errorf("%s: %+v, want a signal", j.Unit, e)
		}
	}
}

func TestForgetRunning(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	p := d.start(n.shell("u", "read x <"+fifo(t, n.dir)))
	d.running("u")
	if err := d.Forget("u"); err != nil {
		t.Fatal(err)
	}
	openFifo(t, n.dir)
	eventually(t, "command ends", func() bool { return !p.Alive() })
	d.start(n.shell("next", "true"))
	wantExit(t, d.exit("next"), exited(0))
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := len(d.events["u"]); got != 1 {
		t.Errorf("%d events of a forgotten unit, want only that it ran", got)
	}
}

// Without pidfds groups are signalled by number, after a look at who has it.
func TestGroupByNumber(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	p := d.start(n.shell("u", "sleep 1000 & read x <"+fifo(t, n.dir)+"; exit 5"))
	g := group{leader: p, fd: -1}
	if err := g.signal(0, false); err != nil {
		t.Errorf("leader runs: %v", err)
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("u"), exited(5))
	if err := g.signal(unix.SIGKILL, false); err != nil {
		t.Errorf("leader is gone, a member is left: %v", err)
	}
	eventually(t, "nobody is left", func() bool { return g.signal(0, false) == unix.ESRCH })
}
