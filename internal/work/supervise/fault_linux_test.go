package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The daemon is killed while commands run: they go on, one ends meanwhile, and the next daemon is told of both.
func TestDaemonKilled(t *testing.T) {
	n := newNode(t)
	n.idle = 10 * time.Second
	long := n.shell("long", "echo begin; read x <"+fifo(t, n.dir)+"; echo end; exit 5")
	short := n.shell("short", "while [ ! -e "+n.dir+"/daemon-is-dead ]; do sleep 0.01; done; echo meanwhile; exit 4")
	f := n.startForeign(long, short)
	pid := n.supervisor()
	t.Cleanup(func() { unix.Kill(pid, unix.SIGTERM) }) // it would stay idle for long
	f.kill()
	if err := os.WriteFile(filepath.Join(n.dir, "daemon-is-dead"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "exit recorded without a daemon", func() bool {
		e, err := ReadExit(short.UnitDir)
		return err == nil && e.Code == 4
	})

	d := n.daemon()
	wantExit(t, d.exit("short"), exited(4)) // told, though nobody has asked
	p := d.running("long")
	if want, err := ReadProcess(long.UnitDir); err != nil || p != want {
		t.Errorf("running %+v, recorded %+v, %v", p, want, err)
	}
	if got := n.supervisor(); got != pid {
		t.Errorf("supervisor is process %d, was %d", got, pid)
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("long"), exited(5))
	if got := n.output("long"); got != "begin\nend\n" {
		t.Errorf("output %q", got)
	}
	// What was delivered is forgotten: another daemon is not told again, but can ask.
	eventually(t, "supervisor forgets what was delivered", func() bool {
		d := n.daemon()
		defer d.stop()
		<-d.synced(t)
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.events) == 0
	})
	d2 := n.daemon()
	if err := d2.Adopt("long", long.UnitDir); err != nil {
		t.Fatal(err)
	}
	wantExit(t, d2.exit("long"), exited(5))
}

// synced gives a channel that is closed when the client knows what there is to know.
func (d *daemon) synced(t testing.TB) chan struct{} {
	eventually(t, "client knows all", func() bool {
		d.Client.mu.Lock()
		defer d.Client.mu.Unlock()
		return d.settled && len(d.Client.events) == 0
	})
	c := make(chan struct{})
	close(c)
	return c
}

// The supervisor alone is killed: its commands become children of the daemon, which sees their exit, and a new one starts the next.
func TestSupervisorKilled(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	j := n.shell("u", "echo begin; read x <"+fifo(t, n.dir)+"; echo end; exit 5")
	p := d.start(j)
	ended := n.shell("ended", "exit 6")
	d.start(ended)
	wantExit(t, d.exit("ended"), exited(6))
	first := n.supervisor()
	kill(t, first, unix.SIGKILL)
	eventually(t, "command becomes a child of the daemon", func() bool {
		s, err := readStat(p.PID)
		return err == nil && s.ppid == os.Getpid()
	})
	d.start(n.shell("next", "exit 9"))
	wantExit(t, d.exit("next"), exited(9))
	if second := n.supervisor(); second == first || second == 0 {
		t.Errorf("supervisor is process %d, was %d", second, first)
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("u"), exited(5))
	if e, err := ReadExit(j.UnitDir); err != nil || e.Code != 5 {
		t.Errorf("recorded %+v, %v", e, err)
	}
	if got := n.output("u"); got != "begin\nend\n" {
		t.Errorf("output %q", got)
	}
	for _, pid := range []int{p.PID, first} {
		eventually(t, "child was waited for", func() bool { _, err := readStat(pid); return err != nil })
	}
}

// The supervisor is killed again and again under load: every command runs exactly once, and every exit is seen.
func TestSupervisorKilledOftenUnderLoad(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	const many = 120
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	var mu sync.Mutex
	lost := map[string]bool{}
	// It is killed whenever some more have ended, and not by the clock: on a slow machine it would be killed more often than it starts a command.
	const every = 10
	var endings, kills atomic.Int32
	stop := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { // until stop is closed
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if endings.Load() < every*(kills.Load()+1) {
					continue
				}
				if pid := n.supervisor(); pid != 0 && unix.Kill(pid, unix.SIGKILL) == nil {
					kills.Add(1)
				}
			}
		}
	})
	for i := range many {
		j := n.shell(fmt.Sprintf("u%d", i), fmt.Sprintf("echo run; sleep 0.02; exit %d", i))
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := d.Start(t.Context(), j); err != nil {
				t.Errorf("%s: %v", j.Unit, err)
				return
			}
			e := d.exit(j.Unit)
			endings.Add(1)
			if !e.Known && e.Detail == detailStarting {
				mu.Lock()
				lost[j.Unit] = true // killed before the command ran, or so shortly after that it had ended when it was searched
				mu.Unlock()
				return
			}
			wantExit(t, e, exited(i))
		})
	}
	wg.Wait()
	close(stop)
	killer.Wait()
	for i := range many {
		u := fmt.Sprintf("u%d", i)
		if got := n.output(u); got != "run\n" && !(lost[u] && got == "") {
			t.Errorf("%s: output %q, want one run", u, got)
		}
	}
	// A kill loses at most what is being started then.
	if at := int(kills.Load()); at == 0 || len(lost) > at*startsAtOnce {
		t.Errorf("%d of %d commands lost while starting, in %d kills", len(lost), many, at)
	}
	t.Logf("%d of %d commands lost while starting, in %d kills", len(lost), many, kills.Load())
}

// Daemon and supervisor are killed, the commands live: a next daemon watches them to their end.
func TestBothKilled(t *testing.T) {
	n := newNode(t)
	alive := n.shell("alive", "echo begin; read x <"+fifo(t, n.dir)+"; echo end; exit 5")
	gone := n.shell("gone", "read x <"+filepath.Join(n.dir, "fifo")+"; exit 5")
	recorded := n.shell("recorded", "exit 4")
	never := n.unit("never", "")
	f := n.startForeign(alive, gone, recorded)
	setSubreaper(t, 0) // a daemon that has just been started is no subreaper, and inherits nothing
	eventually(t, "exit recorded", func() bool { _, err := ReadExit(recorded.UnitDir); return err == nil })
	supervisor := n.supervisor()
	f.kill()
	kill(t, supervisor, unix.SIGKILL)
	eventually(t, "supervisor is gone", n.free)
	p, err := ReadProcess(gone.UnitDir)
	if err != nil {
		t.Fatal(err)
	}
	kill(t, p.PID, unix.SIGKILL)
	eventually(t, "command is gone", func() bool { return !p.Alive() })

	d := n.daemon()
	for u, dir := range map[string]string{"alive": alive.UnitDir, "gone": gone.UnitDir, "recorded": recorded.UnitDir, "never": never} {
		if err := d.Adopt(u, dir); err != nil {
			t.Fatal(err)
		}
	}
	wantExit(t, d.exit("recorded"), exited(4))
	wantExit(t, d.exit("never"), Exit{Code: -1, Known: true, Detail: detailNever})
	e := d.exit("gone")
	if e.Known { // it had not been waited for, so the system could still tell
		wantExit(t, e, bySignal("killed"))
	} else {
		wantExit(t, e, Exit{Code: -1, Started: true, Detail: detailGone})
	}
	if r, err := ReadExit(gone.UnitDir); err != nil || r.Detail != e.Detail {
		t.Errorf("recorded %+v, %v, told %+v", r, err, e)
	}
	if want, _ := ReadProcess(alive.UnitDir); d.running("alive") != want {
		t.Errorf("running %+v, want %+v", d.running("alive"), want)
	}
	// Asked to start it again, it is found.
	if q := d.start(alive); q != d.running("alive") {
		t.Errorf("started again: %+v", q)
	}
	openFifo(t, n.dir)
	e = d.exit("alive")
	if e.Known { // since Linux 6.15 even strangers are told
		wantExit(t, e, exited(5))
	} else {
		wantExit(t, e, Exit{Code: -1, Started: true, Detail: detailUnseen})
	}
	t.Logf("exit of a stranger: %+v", e)
	if got := n.output("alive"); got != "begin\nend\n" {
		t.Errorf("output %q", got)
	}
}

func setSubreaper(t testing.TB, on uintptr) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, on, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}

// A process that has the number now but is not the one that was recorded is never taken for it, nor signalled.
func TestRecycledNumber(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	innocent := d.start(n.shell("innocent", "read x <"+fifo(t, n.dir)+"; exit 0"))
	if !innocent.Alive() {
		t.Fatal("not alive")
	}
	for name, p := range map[string]Process{
		"start": {innocent.PID, innocent.StartTime - 1, innocent.Boot},
		"boot":  {innocent.PID, innocent.StartTime, "00000000-0000-0000-0000-000000000000"},
	} {
		if p.Alive() {
			t.Errorf("%s: alive", name)
		}
		dir := n.unit(name, "")
		rec, err := claim(dir)
		if err == nil {
			err = rec.started(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		rec.close()
		if err := errors.Join(d.Adopt(name, dir), d.Stop(t.Context(), name, 0)); err != nil {
			t.Error(err)
		}
		want := detailGone
		if name == "boot" {
			want = detailBoot
		}
		wantExit(t, d.exit(name), Exit{Code: -1, Started: true, Detail: want})

		// The same for a group that is held by number only.
		g := group{leader: p, fd: -1}
		if err := g.signal(unix.SIGKILL, false); err != unix.ESRCH {
			t.Errorf("%s: signal: %v, want %v", name, err, unix.ESRCH)
		}
		k := newKiller(filepath.Join(n.dir, killsName), slog.New(slog.DiscardHandler), func() {})
		w := &watch{process: p, kills: k}
		if err := w.stop(0); err != nil || k.pending() != 0 {
			t.Errorf("%s: a watch stopped what it does not watch: %v", name, err)
		}
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("innocent"), exited(0))
}

// A supervisor that is killed between starting a command and recording it: the command is searched, not started again.
func TestNotRecorded(t *testing.T) {
	n := newNode(t)
	j := n.shell("u", "echo once; read x <"+fifo(t, n.dir)+"; exit 5")
	f := n.startForeign(j)
	want, err := ReadProcess(j.UnitDir)
	if err != nil {
		t.Fatal(err)
	}
	supervisor := n.supervisor()
	f.kill()
	kill(t, supervisor, unix.SIGKILL)
	eventually(t, "supervisor is gone", n.free)
	if err := os.WriteFile(filepath.Join(j.UnitDir, processName), []byte(`{"v":1,"state":"starting"}`+"\n"+`{"v":1,"sta`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadProcess(j.UnitDir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a file: %v", err)
	}
	d := n.daemon()
	if got := d.start(j); got != want {
		t.Errorf("found %+v, want %+v", got, want)
	}
	openFifo(t, n.dir)
	d.exit("u")
	if got := n.output("u"); got != "once\n" {
		t.Errorf("output %q", got)
	}
}

// Two daemons start at the same time, over and over: there is one supervisor, and every command runs once.
func TestRacingStarters(t *testing.T) {
	for round := range 5 {
		n := newNode(t)
		var wg sync.WaitGroup
		daemons := make([]*daemon, 4)
		for i := range daemons {
			daemons[i] = n.daemon()
		}
		j := n.shell("same", "echo once")
		for i, d := range daemons {
			own := n.shell(fmt.Sprintf("own%d", i), "echo once")
			wg.Go(func() {
				if _, err := d.Start(t.Context(), own); err != nil {
					t.Error(err)
				}
				if _, err := d.Start(t.Context(), j); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i, d := range daemons {
			wantExit(t, d.exit("same"), exited(0))
			wantExit(t, d.exit(fmt.Sprintf("own%d", i)), exited(0))
			d.stop()
		}
		log, _ := os.ReadFile(filepath.Join(n.supervisorDir(), logName))
		if got := strings.Count(string(log), "supervisor started"); got != 1 {
			t.Errorf("round %d: %d supervisors:\n%s", round, got, log)
		}
		for _, u := range []string{"same", "own0", "own1", "own2", "own3"} {
			if got := n.output(u); got != "once\n" {
				t.Errorf("round %d: output of %s %q", round, u, got)
			}
		}
	}
}

// The supervisor stays while a daemon is there or a command runs, and ends after the idle time.
func TestIdleEnd(t *testing.T) {
	n := newNode(t)
	j := n.shell("u", "read x <"+fifo(t, n.dir))
	f := n.startForeign(j)
	pid := n.supervisor()
	f.kill()
	began := time.Now()
	eventually(t, "three idle times have passed", func() bool { return time.Since(began) > 3*n.idle })
	if n.supervisor() != pid {
		t.Fatal("the supervisor left its command")
	}
	openFifo(t, n.dir)
	eventually(t, "supervisor ends", n.free)
	if _, err := os.Stat(filepath.Join(n.supervisorDir(), socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket: %v, want none", err)
	}
}

// Nothing is started by a daemon that has nothing to run.
func TestLazy(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	if err := d.Stop(t.Context(), "unknown", time.Second); err != nil {
		t.Error(err)
	}
	if err := d.Forget("unknown"); err != nil {
		t.Error(err)
	}
	if err := d.Adopt("never", n.unit("never", "")); err != nil {
		t.Error(err)
	}
	d.exit("never")
	if _, err := os.Stat(n.supervisorDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory of the supervisor: %v, want none", err)
	}
}

// SIGTERM, as from a service manager that stops everything at once: the ends of the commands are recorded first.
func TestSupervisorTerminated(t *testing.T) {
	n := newNode(t)
	n.idle = time.Hour
	d := n.daemon()
	j := n.shell("u", "read x <"+fifo(t, n.dir))
	p := d.start(j)
	supervisor := n.supervisor()
	kill(t, supervisor, unix.SIGTERM)
	kill(t, supervisor, unix.SIGHUP)
	kill(t, p.PID, unix.SIGTERM)
	wantExit(t, d.exit("u"), Exit{Code: -1, Signal: "terminated", Detail: "signal: terminated", Started: true, Known: true})
	eventually(t, "supervisor ends though a daemon is connected", n.free)
	d.start(n.shell("next", "true")) // and there is a new one when needed
	wantExit(t, d.exit("next"), exited(0))
	d.stop()
	if !n.free() {
		t.Error("a daemon that ended in order, with nothing running, left a supervisor")
	}
}

func TestRefusedVersion(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("u", "true"))
	wantExit(t, d.exit("u"), exited(0))
	conn, err := dial(n.supervisorDir())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(`{"op":"hello","versions":[7,9]}` + "\n")); err != nil {
		t.Fatal(err)
	}
	var b [1024]byte
	k, _ := conn.Read(b[:])
	const want = `{"msg":"hello","versions":[1],"error":"the supervisor speaks version 1 of its protocol, the daemon [7 9]"}` + "\n"
	if got := string(b[:k]); got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	if k, err := conn.Read(b[:]); err == nil {
		t.Errorf("%d bytes after a refusal", k)
	}
}
