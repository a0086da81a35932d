package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCommandEnds(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	for _, tt := range []struct {
		name, script string
		want         Exit
		output       string
	}{
		{"zero", "echo out; echo err >&2; echo again", exited(0), "out\nerr\nagain\n"},
		{"three", "exit 3", exited(3), ""},
		{"code255", "exit 255", exited(255), ""},
		{"killed", "kill -KILL $$", Exit{Code: -1, Signal: "killed", Detail: "signal: killed", Started: true, Known: true}, ""},
		{"interrupted", "kill -INT $$", Exit{Code: -1, Signal: "interrupt", Detail: "signal: interrupt", Started: true, Known: true}, ""},
		{"terminated", "kill -TERM $$", Exit{Code: -1, Signal: "terminated", Detail: "signal: terminated", Started: true, Known: true}, ""},
		{"pipe", "kill -PIPE $$", Exit{Code: -1, Signal: "broken pipe", Detail: "signal: broken pipe", Started: true, Known: true}, ""},
		{"stdin", "cat; echo end", exited(0), "end\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := d.start(n.shell(tt.name, tt.script))
			wantExit(t, d.exit(tt.name), tt.want)
			if got := d.running(tt.name); got != p {
				t.Errorf("event of %+v, Start said %+v", got, p)
			}
			if got := n.output(tt.name); got != tt.output {
				t.Errorf("output %q, want %q", got, tt.output)
			}
			dir := filepath.Join(n.dir, tt.name)
			e, err := ReadExit(dir)
			if err != nil {
				t.Fatal(err)
			}
			wantExit(t, e, tt.want)
			if got, err := ReadProcess(dir); err != nil || got != p {
				t.Errorf("recorded process %+v, %v, want %+v", got, err, p)
			}
			if p.Alive() {
				t.Error("alive after its end")
			}
			for _, name := range []string{stdoutName, processName} {
				if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v %v, want mode 0600", name, fi.Mode(), err)
				}
			}
			if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 3 {
				t.Errorf("files %v, want 3", all)
			}
		})
	}
}

// What a command is given: standard input, one description for both outputs, nothing else; its own session; default signals; the daemon's environment.
func TestCommandSurroundings(t *testing.T) {
	t.Setenv("SUPERVISE_TEST", "a b\xff")
	n := newNode(t)
	// Signals that Go programs handle must be at their defaults.
	script := `ls -l /proc/self/fd | sed -n 's/.* \([0-9]*\) -> /\1 /p' | grep -v /proc/ | sort
grep -E 'Sig(Blk|Ign)' /proc/self/status
cut -d' ' -f1,5,6 /proc/$$/stat
cat; pwd; echo "$SUPERVISE_TEST"; ulimit -Sn; umask`
	j := Job{Unit: "u", UnitDir: n.unit("u", "from stdin\n"), Command: "sh", Args: []string{"-c", script}}
	d := n.daemon()
	p := d.start(j)
	wantExit(t, d.exit("u"), exited(0))

	dir, err := filepath.EvalSymlinks(j.UnitDir)
	if err != nil {
		t.Fatal(err)
	}
	wd, _ := os.Getwd()
	limit := strings.TrimSpace(output(t, "sh", "-c", "ulimit -Sn"))
	umask := strings.TrimSpace(output(t, "sh", "-c", "umask"))
	// What the machine itself blocks is passed on. Of what it ignores, as nohup does, only signals that are not for programs.
	blocked := strings.TrimSpace(output(t, "grep", "SigBlk", "/proc/self/status"))
	var ignored uint64
	if _, err := fmt.Sscanf(output(t, "grep", "SigIgn", "/proc/self/status"), "SigIgn:\t%x", &ignored); err != nil {
		t.Fatal(err)
	}
	ignored &= 7 << 31 // 32 to 34 belong to the C library and the runtime
	out := n.output("u")
	lines := strings.Split(out, "\n")
	want := []string{
		"0 " + dir + "/stdin", "", "2 " + dir + "/stdout", blocked, fmt.Sprintf("SigIgn:\t%016x", ignored),
		fmt.Sprintf("%d %d %d", p.PID, p.PID, p.PID),
		"from stdin", wd, "a b\xff", limit, umask, "",
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out)
	}
	for i := range want {
		if want[i] != "" && lines[i] != want[i] { // the second is the pipe to sed
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
}

func TestArgumentsPassUnchanged(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	args := []string{"printenv", "", " ", "a b", `"'\`, "\n", "\xff\xfe", "ü", "$HOME", "-x", "<&>\u2028"}
	exe, _ := os.Executable()
	d.start(Job{Unit: "u", UnitDir: n.unit("u", ""), Command: exe, Args: args})
	wantExit(t, d.exit("u"), exited(0))
	wd, _ := os.Getwd()
	if got, want := n.output("u"), fmt.Sprintln(wd, "", args[1:]); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestOutputIsAppended(t *testing.T) {
	n := newNode(t)
	// Append mode: whatever the offset is, what is written through the description comes to the end.
	j := n.shell("u", `sed -n 's/flags:.*\(.\)...$/\1/p' /proc/self/fdinfo/1; echo one; (echo two) & wait; echo three >&2`)
	if err := os.WriteFile(filepath.Join(j.UnitDir, stdoutName), []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := n.daemon()
	d.start(j)
	wantExit(t, d.exit("u"), exited(0))
	if got, want := n.output("u"), "before\n2\none\ntwo\nthree\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

func TestCannotStart(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":relative")
	n := newNode(t)
	d := n.daemon()
	plainFile := filepath.Join(n.dir, "plain")
	if err := os.WriteFile(plainFile, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 200_000)
	for _, tt := range []struct {
		name, command string
		args          []string
		want          string
	}{
		{"absent", n.dir + "/absent", nil, "fork/exec " + n.dir + "/absent: no such file or directory"},
		{"nowhere", "nosuch", nil, `exec: "nosuch": executable file not found in $PATH`},
		{"empty", "", nil, `exec: "": executable file not found in $PATH`},
		{"directory", "/", nil, "fork/exec /: permission denied"},
		{"plain", plainFile, nil, "fork/exec " + plainFile + ": permission denied"},
		{"long", "/bin/true", []string{long}, "fork/exec /bin/true: argument list too long"},
		{"beyond", "/bin/true", []string{strings.Repeat("x", maxLine)}, "fork/exec /bin/true: argument list too long"},
		{"nul", "/bin/true", []string{"a\x00b"}, "fork/exec /bin/true: invalid argument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := Job{Unit: tt.name, UnitDir: n.unit("d"+tt.name, ""), Command: tt.command, Args: tt.args}
			for range 2 { // the second time it is known
				_, err := d.Start(t.Context(), j)
				var se *StartError
				if !errors.As(err, &se) || err.Error() != tt.want {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			}
			e, err := ReadExit(j.UnitDir)
			if err != nil {
				t.Fatal(err)
			}
			wantExit(t, e, Exit{Code: -1, Detail: tt.want, Known: true})
		})
	}
	t.Run("nostdin", func(t *testing.T) {
		dir := filepath.Join(n.dir, "nostdin")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := d.Start(t.Context(), Job{Unit: "nostdin", UnitDir: dir, Command: "true"})
		if want := "open " + dir + "/stdin: no such file or directory"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	})
}

func TestLongestArgument(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(Job{Unit: "u", UnitDir: n.unit("u", ""), Command: "printf", Args: []string{"%s", strings.Repeat("ü", 65_000)}})
	wantExit(t, d.exit("u"), exited(0))
	if got := len(n.output("u")); got != 130_000 {
		t.Errorf("%d bytes of output, want 130000", got)
	}
}

// Starting the same unit twice runs it once, at the same time, later, and after everything has been restarted.
func TestStartTwice(t *testing.T) {
	n := newNode(t)
	j := n.shell("u", "echo once; cat "+fifo(t, n.dir))
	d := n.daemon()
	var wg sync.WaitGroup
	processes := make([]Process, 10)
	for i := range processes {
		wg.Go(func() { processes[i], _ = d.Start(t.Context(), j) })
	}
	wg.Wait()
	for _, p := range processes {
		if p.PID == 0 || p != processes[0] {
			t.Errorf("process %+v, want the same as %+v", p, processes[0])
		}
	}
	openFifo(t, n.dir)
	wantExit(t, d.exit("u"), exited(0))
	if p := d.start(j); p != processes[0] {
		t.Errorf("after its end: process %+v, want %+v", p, processes[0])
	}
	d.stop()
	eventually(t, "idle supervisor ends", n.free)

	d = n.daemon()
	if p := d.start(j); p != processes[0] {
		t.Errorf("after a restart: process %+v, want %+v", p, processes[0])
	}
	wantExit(t, d.exit("u"), exited(0))
	if got := n.output("u"); got != "once\n" {
		t.Errorf("output %q: run more than once", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	const many = 200
	var wg sync.WaitGroup
	for i := range many {
		j := n.shell(fmt.Sprintf("u%d", i), fmt.Sprintf("echo %d; exit %d", i, i%200))
		wg.Go(func() {
			if _, err := d.Start(t.Context(), j); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range many {
		u := fmt.Sprintf("u%d", i)
		wantExit(t, d.exit(u), exited(i%200))
		if got, want := n.output(u), fmt.Sprintf("%d\n", i); got != want {
			t.Errorf("output %q, want %q", got, want)
		}
	}
}

// A socket's path is limited to about 107 bytes; ours is not.
func TestDeepDirectory(t *testing.T) {
	dir := shortDir(t)
	for range 20 {
		dir = filepath.Join(dir, strings.Repeat("d", 40))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n := newNodeIn(t, dir)
	d := n.daemon()
	d.start(n.shell("u", "exit 7"))
	wantExit(t, d.exit("u"), exited(7))
}

func TestDirectoryOfAnother(t *testing.T) {
	n := newNode(t)
	if err := os.Mkdir(n.supervisorDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	d := n.daemon()
	d.start(n.shell("u", "true"))
	if fi, _ := os.Stat(n.supervisorDir()); fi.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", fi.Mode())
	}
	if fi, err := os.Stat(filepath.Join(n.supervisorDir(), socketName)); err != nil || fi.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v, want mode 0600", fi.Mode(), err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory of another user")
	}
	m := newNode(t)
	if err := errors.Join(os.Mkdir(m.supervisorDir(), 0o700), os.Chown(m.supervisorDir(), 12345, -1)); err != nil {
		t.Fatal(err)
	}
	_, err := m.daemon().Start(t.Context(), m.shell("u", "true"))
	if err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("error %v, want one about the owner", err)
	}
}

// fifo makes something in dir on which a command can wait.
func fifo(t testing.TB, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// openFifo lets a command go on that reads the fifo.
func openFifo(t testing.TB, dir string) {
	t.Helper()
	name := filepath.Join(dir, "fifo")
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody reads %s: %v", name, err)
		}
		<-tick.C
	}
}
