package harness

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for something that should happen soon.
const Patience = 30 * time.Second

// Node is a daemon with its own configuration file, log and control socket.
type Node struct {
	ID     string
	Bin    string // the daemon's program
	Ctl    string // the CLI by which the test talks to it
	Dir    string // configuration and log; data are in DataDir
	Socket string
	Config string   // the sections beyond node, log-level and control-service
	Keys   string   // further keys of control-service, each behind a comma
	Env    []string // variables of the daemon's environment beside those of the test
	Level  string   // of the log

	whole bool // Config is all of the configuration; Socket may be empty
	t     *testing.T
	proc  *exec.Cmd
	done  chan struct{} // closed when proc has ended
	logAt int64         // size of the log when proc was started
}

// Dir is a new directory with a path short enough for sockets.
func Dir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// New prepares a node below dir; nothing is started. The node is ended with the test.
func New(t *testing.T, p Programs, dir, id, config string) *Node {
	n := &Node{
		ID: id, Bin: p.Receptor, Ctl: p.Receptorctl, Dir: filepath.Join(dir, id),
		Socket: filepath.Join(dir, id+".sock"), Config: config, Level: "debug", t: t,
	}
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.end)
	return n
}

// Whole is New for a node whose configuration is config alone. Its control socket
// must be DIR/ID.sock.
func Whole(t *testing.T, p Programs, dir, id, config string) *Node {
	n := New(t, p, dir, id, config)
	n.whole = true
	return n
}

// DataDir holds the node's units.
func (n *Node) DataDir() string { return filepath.Join(n.Dir, "data", n.ID) }

// Start executes the daemon and waits until it answers.
func (n *Node) Start() {
	n.t.Helper()
	n.Exec()
	n.ready()
}

// ready waits until the daemon answers; one without a control socket, until it says that it has begun.
func (n *Node) ready() {
	n.t.Helper()
	if n.Socket == "" {
		n.Eventually("begin", func() bool { return strings.Contains(n.logSince(n.logAt), "Initialization complete") })
		return
	}
	n.Eventually("answer status", func() bool {
		answer, err := n.Ask("status")
		return err == nil && strings.HasPrefix(answer, "{")
	})
}

// Exec executes the daemon and returns at once.
func (n *Node) Exec() {
	n.t.Helper()
	file := n.configure()
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	if info, err := log.Stat(); err == nil {
		n.logAt = info.Size()
	}
	n.proc = exec.Command(n.Bin, "--config", file)
	n.proc.Dir = n.Dir
	n.proc.Env = append(os.Environ(), n.Env...)
	n.proc.Stdout, n.proc.Stderr = log, log
	if err := n.proc.Start(); err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{})
	n.done = done
	proc := n.proc
	go func() { proc.Wait(); close(done) }() // ends with the process
}

// configure writes the configuration file and returns its name.
func (n *Node) configure() string {
	n.t.Helper()
	text := fmt.Sprintf("- node: {id: %q, datadir: %q}\n- log-level: %s\n- control-service: {filename: %q%s}\n%s",
		n.ID, filepath.Join(n.Dir, "data"), n.Level, n.Socket, n.Keys, n.Config)
	if n.whole {
		text = n.Config
	}
	file := filepath.Join(n.Dir, "receptor.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// Reload has the daemon work by another configuration from now on.
func (n *Node) Reload(config string) {
	n.t.Helper()
	n.Config = config
	n.configure()
	n.Run("reload")
}

// Reconfigure writes the configuration file anew, and tells nobody.
func (n *Node) Reconfigure() {
	n.t.Helper()
	n.configure()
}

// Pid is the daemon's process id.
func (n *Node) Pid() int { return n.proc.Process.Pid }

// Alive tells whether the daemon runs.
func (n *Node) Alive() bool {
	if n.proc == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// Stop ends the daemon gracefully and returns its exit code.
func (n *Node) Stop() int {
	n.t.Helper()
	return n.signal(syscall.SIGTERM)
}

// Kill ends the daemon, and only it, with SIGKILL.
func (n *Node) Kill() {
	n.t.Helper()
	n.signal(syscall.SIGKILL)
}

func (n *Node) signal(s syscall.Signal) int {
	n.t.Helper()
	if err := n.proc.Process.Signal(s); err != nil {
		n.t.Fatalf("signal %s: %v\n%s", n.ID, err, n.Log())
	}
	return n.Wait()
}

// Wait waits for the daemon to end and returns its exit code.
func (n *Node) Wait() int {
	n.t.Helper()
	select {
	case <-n.done:
	case <-time.After(Patience):
		n.t.Fatalf("%s has not ended\n%s", n.ID, n.Log())
	}
	return n.proc.ProcessState.ExitCode()
}

// end ends what is left of the node: the daemon, and every process that works
// in its directory (commands, their supervisor).
func (n *Node) end() {
	if n.t.Failed() {
		n.t.Logf("log of %s:\n%s", n.ID, n.Log())
	}
	if n.Alive() {
		n.proc.Process.Kill()
		<-n.done
	}
	KillNow(processesIn(n.Dir)...)
}

// Helpers are the processes that work for the node apart from the daemon:
// commands and their supervisor.
func (n *Node) Helpers() []int {
	var pids []int
	for _, pid := range processesIn(n.Dir) {
		if n.proc == nil || pid != n.proc.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processesIn lists processes that work in dir: their working directory is
// it, as it is of daemons and the commands that they start, or a file below it
// is among their arguments, as it is of supervisors.
func processesIn(dir string) []int {
	var pids []int
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, e := range entries {
		pid, err := strconv.Atoi(filepath.Base(e))
		if err != nil || pid == os.Getpid() {
			continue
		}
		at, _ := os.Readlink(filepath.Join(e, "cwd"))
		args, _ := os.ReadFile(filepath.Join(e, "cmdline"))
		if at == dir || bytes.Contains(args, []byte("\x00"+dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// LogFile is where the daemon's output goes.
func (n *Node) LogFile() string { return filepath.Join(n.Dir, "log") }

// Log is what the daemon printed, or the end of it, without the clients of its
// control service, which are mostly tests that wait.
func (n *Node) Log() string {
	var b strings.Builder
	for line := range strings.Lines(n.logSince(0)) {
		if !strings.Contains(line, "connected to control service") && !strings.Contains(line, "disconnected from control service") &&
			!strings.Contains(line, "Control service closed") {
			b.WriteString(line)
		}
	}
	log := b.String()
	return log[max(0, len(log)-8000):]
}

// Logged tells whether a line of the log, which may be long past what Log shows, has all
// of these texts in it.
func (n *Node) Logged(texts ...string) bool {
	for line := range strings.Lines(n.logSince(0)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return true
		}
	}
	return false
}

// logSince is what the daemon printed behind the first at bytes.
func (n *Node) logSince(at int64) string {
	data, _ := os.ReadFile(n.LogFile())
	return string(data[min(at, int64(len(data))):])
}

// Eventually waits until ok; what says what is waited for.
func (n *Node) Eventually(what string, ok func() bool) {
	n.t.Helper()
	n.Within(Patience, what, ok)
}

// Within waits so long until ok.
func (n *Node) Within(patience time.Duration, what string, ok func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s does not %s\n%s", n.ID, what, n.Log())
		}
	}
}

// Reach waits until the node reaches all others by ping.
func (n *Node) Reach(others ...*Node) {
	n.t.Helper()
	for _, o := range others {
		n.Eventually("reach "+o.ID, func() bool { return n.Try("ping", "--count", "1", o.ID).Code == 0 })
	}
}

// FreePort is a port on loopback that nobody listens on, by TCP or UDP. It is
// outside the range from which systems take ports for those who ask for any, so
// nobody gets it by chance before the test listens on it.
func FreePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(20_000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if !claim(t, port) {
			continue
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		ln.Close()
		if conn, err := net.ListenPacket("udp", addr); err == nil {
			conn.Close()
			return port
		}
	}
	t.Fatal("no free port found")
	return 0
}

// claim holds a port until the test ends, against others who look for one at the same
// time, in other processes, too: between their look and their use nobody listens on it.
func claim(t *testing.T, port int) bool {
	if runtime.GOOS != "linux" {
		return true // no names of sockets without a file
	}
	held, err := net.Listen("unix", fmt.Sprintf("@receptor-test-port-%d", port))
	if err != nil {
		return false
	}
	t.Cleanup(func() { held.Close() })
	return true
}

// Result is the outcome of a call of the CLI.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Try calls the CLI.
func (n *Node) Try(args ...string) Result { return n.TryInput("", args...) }

// TryInput calls the CLI with a standard input.
func (n *Node) TryInput(stdin string, args ...string) Result {
	cmd := exec.Command(n.Ctl, append([]string{"--socket", n.Socket}, args...)...)
	cmd.Dir = n.Dir
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	r := Result{Stdout: out.String(), Stderr: errs.String()}
	if err != nil {
		r.Code = -1
		if cmd.ProcessState != nil {
			r.Code = cmd.ProcessState.ExitCode()
		}
	}
	return r
}

// Run calls the CLI, which must succeed, and returns its standard output.
func (n *Node) Run(args ...string) string {
	n.t.Helper()
	return n.RunInput("", args...)
}

// RunInput is Run with a standard input.
func (n *Node) RunInput(stdin string, args ...string) string {
	n.t.Helper()
	r := n.TryInput(stdin, args...)
	if r.Code != 0 {
		n.t.Fatalf("receptorctl %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// ReloadRefused has the daemon look at its new Config, which it must refuse.
func (n *Node) ReloadRefused() {
	n.t.Helper()
	n.configure()
	if r := n.Try("reload"); r.Code == 0 {
		n.t.Fatalf("the reload is not refused: %+v", r)
	}
}
