//go:build unix

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
)

// stream is a connection to a command service, with the directions of its own
// that mesh streams have.
type stream interface {
	net.Conn
	CloseWrite() error
	Reset()
}

// connected runs a command service at b and opens a stream to it from a.
func connected(t *testing.T, command string) (c stream, stop func() error) {
	t.Helper()
	a, b := twoNodes(t)
	_, stop = started(t, b, CommandService{Service: "cmd", Command: command})
	return to(t, a), stop
}

func to(t *testing.T, a *mesh.Node) stream {
	t.Helper()
	c, err := a.Dial(t.Context(), "b", "cmd", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(stream)
}

// alive tells whether a process runs; one that nobody reaps does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " Z")
}

// pids reads a line of process ids.
func pids(t *testing.T, c net.Conn) (ids []int, rest *bufio.Reader) {
	t.Helper()
	rest = bufio.NewReader(c)
	line, err := rest.ReadString('\n')
	for _, f := range strings.Fields(line) {
		id, err := strconv.Atoi(f)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if !alive(id) {
			t.Fatalf("process %d does not run", id)
		}
		ids = append(ids, id)
	}
	if err != nil || len(ids) == 0 {
		t.Fatalf("line %q, %v", line, err)
	}
	return ids, rest
}

func wantGone(t *testing.T, ids []int) {
	t.Helper()
	eventually(t, func() error {
		for _, id := range ids {
			if alive(id) {
				return fmt.Errorf("process %d still runs", id)
			}
		}
		return nil
	})
}

// TestCommand: what is typed is echoed, lines end in CR LF, and the end of the
// input comes to the command as one.
func TestCommand(t *testing.T) {
	c, _ := connected(t, `sh -c 'test -t 0 && test -t 1 && cat; echo "end of $0"' "my cat"`)
	io.WriteString(c, "hello\n")
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if want := "hello\r\nhello\r\nend of my cat\r\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// TestCommandUnfinishedLine: the end of the input is seen in the middle of a
// line, too.
func TestCommandUnfinishedLine(t *testing.T) {
	c, _ := connected(t, `sh -c 'stty -echo; echo ready; cat; echo .'`)
	want(t, c, "ready\r\n")
	io.WriteString(c, "hel")
	io.WriteString(c, "lo")
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello.\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func want(t *testing.T, r io.Reader, s string) {
	t.Helper()
	b := make([]byte, len(s))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != s {
		t.Fatalf("got %q, %v; want %q", b[:n], err, s)
	}
}

// TestCommandEndOfShell: a shell that edits lines, and so hears the end of the
// input only at its prompt, ends before it is hung up.
func TestCommandEndOfShell(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	c, _ := connected(t, "bash --norc --noprofile")
	io.WriteString(c, "sleep 0.3; echo la''st\n")
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(got), "last\r\n") {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCommandOutput: all output of a command that has exited is delivered, to
// a reader that is slower than it, too; then the connection ends by itself.
func TestCommandOutput(t *testing.T) {
	const lines = 200_000
	c, _ := connected(t, fmt.Sprintf("seq %d", lines))
	r := bufio.NewReader(c)
	for i := range lines {
		line, err := r.ReadString('\n')
		if line != strconv.Itoa(i+1)+"\r\n" {
			t.Fatalf("line %d is %q, %v", i+1, line, err)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("then %v", err)
	}
	eventually(t, func() error {
		_, err := c.Write([]byte("x"))
		return unless(err != nil, "the connection takes input for ever")
	})
}

// TestCommandInterrupt: the terminal is that of the command, which gets signals by it.
func TestCommandInterrupt(t *testing.T) {
	c, _ := connected(t, `sh -c 'trap "echo caught; exit" INT; echo ready; while :; do sleep 0.02; done'`)
	want(t, c, "ready\r\n")
	c.Write([]byte{3})
	if got, err := io.ReadAll(c); err != nil || string(got) != "^Ccaught\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// stubborn ignores SIGHUP, in the foreground and in the background, where an
// interactive shell gives each job a process group of its own.
const stubborn = `sh -c 'trap "" HUP; set -m; sleep 1000 & a=$!; sleep 1000 & echo $$ $a $!; wait'`

// TestCommandEnds: however a connection ends, nothing of its command is left.
func TestCommandEnds(t *testing.T) {
	for name, end := range map[string]func(c stream, stop func() error) error{
		"close":            func(c stream, _ func() error) error { return c.Close() },
		"reset":            func(c stream, _ func() error) error { c.Reset(); return nil },
		"stop the service": func(_ stream, stop func() error) error { return stop() },
	} {
		t.Run(name, func(t *testing.T) {
			c, stop := connected(t, stubborn)
			ids, _ := pids(t, c)
			if err := end(c, stop); err != nil {
				t.Error(err)
			}
			wantGone(t, ids)
		})
	}
}

// TestCommandLeavesNothing: what a command has started in the background ends
// with it, and does not keep the connection.
func TestCommandLeavesNothing(t *testing.T) {
	c, _ := connected(t, `sh -c 'trap "" HUP; sleep 1000 & echo $! ; exit 3'`)
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
	id, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	wantGone(t, []int{id})
}

// TestCommandQuiet: a client that has ended its direction and is perhaps gone
// does not keep a silent command, but one that talks goes on.
func TestCommandQuiet(t *testing.T) {
	a, b := twoNodes(t)
	ln, err := b.Listen(mesh.Service{Name: "cmd"})
	if err != nil {
		t.Fatal(err)
	}
	s := &commandService{
		argv:  []string{"sh", "-c", `echo $$; cat; for i in 1 2 3 4 5 6; do sleep 0.3; echo $i; done; sleep 1000`},
		quiet: 1500 * time.Millisecond, log: named(nil), starts: dials(named(nil)),
	}
	running(t, (&Service{run: func(ctx context.Context) error { return accept(ctx, ln, s.handle, 1, s.log) }}).Run)
	c := to(t, a)
	ids, r := pids(t, c)
	c.CloseWrite()
	want(t, r, "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n")
	if _, err := r.ReadByte(); err == nil || err == io.EOF {
		t.Errorf("a command that was cut off ends with %v", err)
	}
	wantGone(t, ids)
}

// TestCommandMissing: a client of a command that is not there is not left hanging.
func TestCommandMissing(t *testing.T) {
	c, _ := connected(t, "/no/such/command")
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || os.IsTimeout(err) {
		t.Errorf("read: %v", err)
	}
}

// TestCommandConfig: mistakes are found at the start.
func TestCommandConfig(t *testing.T) {
	_, b := twoNodes(t)
	for _, bad := range []string{"", "  ", "sh -c 'unclosed"} {
		if s, err := (CommandService{Service: "cmd", Command: bad}).Open(b, nil); err == nil {
			s.Close()
			t.Errorf("command %q is accepted", bad)
		}
	}
}
