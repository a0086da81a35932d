package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// node is a data directory with units and, now and then, a supervisor.
type node struct {
	t    testing.TB
	dir  string
	idle time.Duration
	wrap []string // words in front of the command of a foreign daemon
}

func newNode(t testing.TB) *node { return newNodeIn(t, shortDir(t)) }

func newNodeIn(t testing.TB, dir string) *node {
	t.Helper()
	n := &node{t: t, dir: dir, idle: 100 * time.Millisecond}
	t.Cleanup(func() {
		if t.Failed() {
			return // what is left is ended when the tests are over
		}
		if pid := n.supervisor(); pid != 0 {
			eventually(t, "supervisor ends by itself", func() bool { return n.free() })
		}
	})
	return n
}

// shortDir avoids the long names of t.TempDir, which are a test of their own.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (n *node) supervisorDir() string { return filepath.Join(n.dir, ".supervisor") }

func (n *node) config() Config {
	exe, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	return Config{Dir: n.supervisorDir(), Argv: []string{exe, "supervise"}, Idle: n.idle}
}

// supervisor is the number of the supervisor that listens; 0: none.
func (n *node) supervisor() int {
	conn, err := dial(n.supervisorDir())
	if err != nil {
		return 0
	}
	defer conn.Close()
	pid, err := peer(conn)
	if err != nil {
		n.t.Fatal(err)
	}
	return pid
}

// free tells whether no supervisor is left.
func (n *node) free() bool {
	f, err := lock(n.supervisorDir())
	if err == nil {
		f.Close()
	}
	return err == nil || errors.Is(err, os.ErrNotExist)
}

// unit makes a unit directory.
func (n *node) unit(name, stdin string) string {
	n.t.Helper()
	dir := filepath.Join(n.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, stdinName), []byte(stdin), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return dir
}

// shell is a job that runs a script.
func (n *node) shell(name, script string) Job {
	n.t.Helper()
	return Job{Unit: name, UnitDir: n.unit(name, ""), Command: "sh", Args: []string{"-c", script}}
}

func (n *node) output(unit string) string {
	b, _ := os.ReadFile(filepath.Join(n.dir, unit, stdoutName))
	return string(b)
}

// daemon is a client that runs, and remembers its events.
type daemon struct {
	*Client
	t    testing.TB
	stop func()

	mu     sync.Mutex
	events map[string][]Event
	news   chan struct{} // replaced, closed at each event
}

func (n *node) daemon() *daemon { return n.daemonWith(n.config()) }

func (n *node) daemonWith(cfg Config) *daemon {
	n.t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(n.t.Output(), nil))
	}
	c, err := Open(context.Background(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	d := &daemon{Client: c, t: n.t, events: map[string][]Event{}, news: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // until stop
		defer close(done)
		c.Run(ctx, d.event)
	}()
	d.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	n.t.Cleanup(d.stop)
	return d
}

func (d *daemon) event(e Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events[e.Unit] = append(d.events[e.Unit], e)
	close(d.news)
	d.news = make(chan struct{})
}

// await waits for an event of the unit that f accepts.
func (d *daemon) await(unit, what string, f func(Event) bool) Event {
	d.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		d.mu.Lock()
		for _, e := range d.events[unit] {
			if f(e) {
				d.mu.Unlock()
				return e
			}
		}
		news := d.news
		d.mu.Unlock()
		select {
		case <-news:
		case <-late.C:
			d.t.Fatalf("no event %s of unit %s in %v", what, unit, patience)
		}
	}
}

func (d *daemon) exit(unit string) Exit {
	d.t.Helper()
	return *d.await(unit, "exit", func(e Event) bool { return e.Exit != nil }).Exit
}

func (d *daemon) running(unit string) Process {
	d.t.Helper()
	return *d.await(unit, "running", func(e Event) bool { return e.Process != nil }).Process
}

func (d *daemon) start(j Job) Process {
	d.t.Helper()
	p, err := d.Start(d.t.Context(), j)
	if err != nil {
		d.t.Fatalf("start %s: %v", j.Unit, err)
	}
	return p
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
		<-tick.C
	}
}

// wantExit compares all but the time.
func wantExit(t testing.TB, got, want Exit) {
	t.Helper()
	if got.Ended.IsZero() || time.Since(got.Ended) > time.Minute {
		t.Errorf("ended at %v, want now", got.Ended)
	}
	got.Ended = want.Ended
	if got != want {
		t.Errorf("exit %+v, want %+v", got, want)
	}
}

func exited(code int) Exit {
	return Exit{Code: code, Detail: fmt.Sprintf("exit status %d", code), Started: true, Known: true}
}

func kill(t testing.TB, pid int, sig unix.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("no process to kill: %d", pid)
	}
	if err := unix.Kill(pid, sig); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// foreignDaemon is a daemon in its own process, to be killed.
type foreignDaemon struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

// startForeign has a daemon of its own start the jobs, and returns when all have been started.
func (n *node) startForeign(jobs ...Job) *foreignDaemon {
	n.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	spec, err := json.Marshal(jobs)
	if err != nil {
		n.t.Fatal(err)
	}
	argv := append(slices.Clone(n.wrap), exe, "daemon", n.supervisorDir(), n.idle.String(), string(spec))
	f := &foreignDaemon{t: n.t, cmd: exec.Command(argv[0], argv[1:]...)}
	f.cmd.Stderr = n.t.Output()
	r, err := f.cmd.StdoutPipe()
	if err == nil {
		f.in, err = f.cmd.StdinPipe()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	f.out = bufio.NewReader(r)
	if err := f.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(f.kill)
	f.answer("ready")
	return f
}

func (f *foreignDaemon) answer(want string) {
	f.t.Helper()
	if got, _ := f.out.ReadString('\n'); strings.TrimSpace(got) != want {
		f.t.Fatalf("the daemon says %q, want %q", got, want)
	}
}

// stop has it stop a unit.
func (f *foreignDaemon) stop(unit string, grace time.Duration) {
	f.t.Helper()
	fmt.Fprintf(f.in, "stop %s %d\n", unit, grace)
	f.answer("stopped")
}

// start has it start one more job.
func (f *foreignDaemon) start(j Job) {
	f.t.Helper()
	b, err := json.Marshal(j)
	if err != nil {
		f.t.Fatal(err)
	}
	fmt.Fprintf(f.in, "start %s\n", b)
	f.answer("started")
}

// kill ends the daemon as kill -9 does. It may be called again.
func (f *foreignDaemon) kill() {
	f.cmd.Process.Kill()
	f.cmd.Wait()
}

// testDaemon is the process of a foreignDaemon.
func testDaemon(args []string) int {
	exe, _ := os.Executable()
	idle, _ := time.ParseDuration(args[1])
	var jobs []Job
	if err := json.Unmarshal([]byte(args[2]), &jobs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c, err := Open(context.Background(), Config{Dir: args[0], Argv: []string{exe, "supervise"}, Idle: idle})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go c.Run(context.Background(), func(Event) {}) // until killed
	for _, j := range jobs {
		if _, err := c.Start(context.Background(), j); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		op, rest, _ := strings.Cut(in.Text(), " ")
		var unit string
		var grace time.Duration
		var j Job
		switch {
		case op == "stop":
			if _, err = fmt.Sscan(rest, &unit, (*int64)(&grace)); err == nil {
				err = c.Stop(context.Background(), unit, grace)
			}
			op = "stopped"
		default:
			if err = json.Unmarshal([]byte(rest), &j); err == nil {
				_, err = c.Start(context.Background(), j)
			}
			op = "started"
		}
		if err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(op)
		}
	}
	select {}
}

func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	b, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
