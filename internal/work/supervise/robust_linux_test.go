package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawConn is a connection that speaks the protocol by hand.
type rawConn struct {
	t testing.TB
	*net.UnixConn
	r *bufio.Reader
}

// raw connects and greets.
func (n *node) raw() *rawConn {
	n.t.Helper()
	conn, err := dial(n.supervisorDir())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	c := &rawConn{n.t, conn, bufio.NewReader(conn)}
	c.send(`{"op":"hello","versions":[1]}`)
	return c
}

func (c *rawConn) send(line string) {
	c.t.Helper()
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		c.t.Fatal(err)
	}
}

// next reads one message.
func (c *rawConn) next() (message, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	var m message
	err := readLine(c.r, &m)
	return m, err
}

func TestProtocolErrors(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("u", "true"))
	wantExit(t, d.exit("u"), exited(0))
	for _, tt := range []struct{ name, line, want string }{
		{"unknown", `{"op":"dance","id":7}`, `unknown operation "dance"`},
		{"unit", `{"op":"stop","id":7,"unit":"` + strings.Repeat("u", MaxUnit+1) + `"}`, "unit longer than 255 bytes"},
		{"nojson", `not json`, ""},
		{"base64", `{"op":"start","args":[["!"]]}`, ""},
		{"long", `{"op":"` + strings.Repeat("x", maxLine) + `"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := n.raw()
			c.t = t
			for _, want := range []string{msgHello, msgSynced} {
				if m, err := c.next(); err != nil || m.Msg != want {
					t.Fatalf("got %+v, %v, want %s", m, err, want)
				}
			}
			c.Write([]byte(tt.line + "\n")) // of the longest not all is taken
			m, err := c.next()
			if tt.want == "" {
				if err == nil {
					t.Errorf("got %+v, want the end of the connection", m)
				}
				return
			}
			if err != nil || m.Msg != msgReply || m.ID != 7 || m.Error != tt.want {
				t.Errorf("got %+v, %v, want the error %q", m, err, tt.want)
			}
		})
	}
	d.start(n.shell("after", "true"))
	wantExit(t, d.exit("after"), exited(0))
}

func TestTooManyDaemons(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("u", "true"))
	for i := 1; i < maxSessions; i++ {
		c := n.raw()
		if m, err := c.next(); err != nil || m.Error != "" {
			t.Fatalf("connection %d: %+v, %v", i+1, m, err)
		}
	}
	c := n.raw()
	if m, err := c.next(); err != nil || m.Error != "too many daemons are connected" {
		t.Errorf("got %+v, %v, want a refusal", m, err)
	}
	if _, err := c.next(); err == nil {
		t.Error("the connection goes on after a refusal")
	}
}

// A daemon that does not read holds up nobody, and is disconnected when too much waits for it.
func TestOutboxFull(t *testing.T) {
	r, w := net.Pipe()
	defer r.Close()
	o := newOutbox(w)
	done := make(chan struct{})
	go func() { // until the outbox is full
		defer close(done)
		o.run()
	}()
	m := &message{Msg: msgReply, Error: strings.Repeat("x", 1<<20)}
	for range 2*maxOutbox>>20 + 2 {
		o.add(m)
		o.mu.Lock()
		if len(o.buf) > maxOutbox {
			t.Errorf("%d bytes wait", len(o.buf))
		}
		o.mu.Unlock()
	}
	<-done
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("the connection is still open")
	}
}

// An exit that cannot be recorded is kept, told, and recorded as soon as that is possible; until then the supervisor stays.
func TestExitNotRecordable(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	j := n.shell("u", "read x <"+fifo(t, n.dir)+"; exit 5")
	d.start(j)
	name := filepath.Join(j.UnitDir, processName)
	if err := errors.Join(os.Rename(name, name+".aside"), os.Mkdir(name, 0o700)); err != nil {
		t.Fatal(err)
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("u"), exited(5))
	d.stop()
	began := time.Now()
	eventually(t, "three idle times have passed", func() bool { return time.Since(began) > 3*n.idle })
	if n.supervisor() == 0 {
		t.Fatal("the supervisor has left with an exit in its memory")
	}
	if err := errors.Join(os.Remove(name), os.Rename(name+".aside", name)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "exit recorded", func() bool { e, err := ReadExit(j.UnitDir); return err == nil && e.Code == 5 })
}

// The directory of a unit is removed while its command runs.
func TestUnitRemoved(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	j := n.shell("u", "read x <"+fifo(t, n.dir)+"; exit 5")
	d.start(j)
	if err := os.RemoveAll(j.UnitDir); err != nil {
		t.Fatal(err)
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("u"), exited(5))
	d.stop()
	eventually(t, "supervisor ends", n.free)
}

// A supervisor that does not answer: calls end with their context, and are done when it is back.
func TestSupervisorHangs(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("first", "true"))
	pid := n.supervisor()
	kill(t, pid, unix.SIGSTOP)
	t.Cleanup(func() { unix.Kill(pid, unix.SIGCONT) })
	j := n.shell("u", "echo once")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Start(ctx, j); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
	kill(t, pid, unix.SIGCONT)
	wantExit(t, d.exit("u"), exited(0)) // what was asked for and given up is told all the same
	d.start(j)
	if got := n.output("u"); got != "once\n" {
		t.Errorf("output %q", got)
	}
}

func TestClosed(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("u", "true"))
	waiting := make(chan error, 1)
	pid := n.supervisor()
	kill(t, pid, unix.SIGSTOP)
	t.Cleanup(func() { unix.Kill(pid, unix.SIGCONT) })
	go func() { // until d.stop
		_, err := d.Start(context.Background(), n.shell("v", "true"))
		waiting <- err
	}()
	eventually(t, "start is on its way", func() bool {
		d.Client.mu.Lock()
		defer d.Client.mu.Unlock()
		return len(d.calls) > 0
	})
	d.stop()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("waiting start: %v, want %v", err, ErrClosed)
	}
	kill(t, pid, unix.SIGCONT)
	_, err := d.Start(t.Context(), n.shell("w", "true"))
	for _, err := range []error{err, d.Stop(t.Context(), "u", 0), d.Adopt("u", n.dir)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v, want %v", err, ErrClosed)
		}
	}
	if err := d.Run(t.Context(), func(Event) {}); err == nil {
		t.Error("Run can be called twice")
	}
}

// After an upgrade the old supervisor ends as soon as nothing runs, though a daemon is connected, and the new one follows.
func TestUpgrade(t *testing.T) {
	n := newNode(t)
	old := filepath.Join(n.dir, "old-program")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, b, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := n.config()
	cfg.Argv[0] = old
	d := n.daemonWith(cfg)
	j := n.shell("u", "read x <"+fifo(t, n.dir)+"; exit 5")
	d.start(j)
	first := n.supervisor()
	d.stop()

	d = n.daemon()
	d.running("u")
	d.start(n.shell("v", "exit 6")) // still by the old one
	wantExit(t, d.exit("v"), exited(6))
	if got := n.supervisor(); got != first {
		t.Errorf("supervisor %d, want the old %d", got, first)
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("u"), exited(5))
	eventually(t, "old supervisor ends", n.free)
	d.start(n.shell("w", "exit 7"))
	wantExit(t, d.exit("w"), exited(7))
	if got := n.supervisor(); got == first || got == 0 {
		t.Errorf("supervisor %d, want a new one", got)
	}
}

func TestMainUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"--dir", ""}, {"--dir", "x", "more"}, {"--nonsense"}} {
		var b strings.Builder
		if code := Main(args, &b); code != 2 || b.Len() == 0 {
			t.Errorf("%q: code %d, said %q, want 2 and a reason", args, code, b.String())
		}
	}
}

func TestOpenChecks(t *testing.T) {
	for _, c := range []Config{
		{},
		{Dir: "d"},
		{Argv: []string{"/bin/true"}},
		{Dir: "d", Argv: []string{"/nonexistent/program"}},
		{Dir: "d", Argv: []string{"/bin/true"}, Idle: -1},
	} {
		if _, err := Open(t.Context(), c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestUnitKeys(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	for _, u := range []string{"", strings.Repeat("u", MaxUnit+1), "a\nb", "a\xffb"} {
		_, err := d.Start(t.Context(), Job{Unit: u, UnitDir: n.dir})
		for _, err := range []error{err, d.Stop(t.Context(), u, 0), d.Adopt(u, n.dir), d.Forget(u)} {
			if err == nil {
				t.Errorf("%q is taken", u)
			}
		}
	}
}

// Orphans that nobody knows are collected, children that somebody will wait for are not.
func TestStrays(t *testing.T) {
	setSubreaper(t, 1)
	// The shell ends at once and leaves a child, which comes to us and ends too.
	var stray Process
	cmd := exec.Command("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if err := json.Unmarshal(out, &pid); err != nil {
		t.Fatal(err)
	}
	if stray, err = identify(pid); err != nil {
		t.Fatal(err)
	}
	ours := exec.Command("true")
	if err := ours.Start(); err != nil {
		t.Fatal(err)
	}
	kill(t, pid, unix.SIGKILL)
	own, err := identify(ours.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "both have ended", func() bool { return !stray.Alive() && !own.Alive() })

	seen := sweep(nil)
	if !seen[stray] || seen[own] {
		t.Fatalf("seen %v, want %v and not %v", seen, stray, own)
	}
	sweep(seen)
	if _, err := readStat(pid); err == nil {
		t.Error("the stray was not collected")
	}
	if err := ours.Wait(); err != nil {
		t.Errorf("wait of our own child: %v", err)
	}
}
