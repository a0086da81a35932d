package supervise

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oldSupervisor answers as one that knows nothing but commands with mixed output, and gives the units that it is asked to start.
func (n *node) oldSupervisor() <-chan string {
	n.t.Helper()
	if err := os.Mkdir(n.supervisorDir(), 0o700); err != nil {
		n.t.Fatal(err)
	}
	held, err := lock(n.supervisorDir())
	if err != nil {
		n.t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(n.supervisorDir(), socketName))
	if err != nil {
		n.t.Fatal(err)
	}
	asked := make(chan string, 10)
	done := make(chan struct{})
	go func() { // until l is closed and the daemon has gone
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for {
				var q request
				if readLine(r, &q) != nil {
					break
				}
				switch q.Op {
				case opHello:
					conn.Write([]byte(`{"msg":"hello","version":1}` + "\n" + `{"msg":"synced"}` + "\n"))
				case opStart:
					asked <- q.Unit
					line, _ := appendLine(nil, &message{Msg: msgReply, ID: q.ID, Unit: q.Unit, Process: &someProcess})
					conn.Write(line)
				}
			}
			conn.Close()
		}
	}()
	n.t.Cleanup(func() {
		l.Close()
		<-done
		held.Close()
	})
	return asked
}

// A supervisor of an older program is not asked for what it does not know: it would run the command without. It is asked for all else.
func TestOlderSupervisor(t *testing.T) {
	n := newNode(t)
	asked := n.oldSupervisor()
	d := n.daemon()
	t.Cleanup(d.stop)
	for _, tt := range []struct {
		name, want string
		job        Job
	}{
		{"stderr", "stderr", Job{Stderr: true}},
		{"stream", "stream", Job{Stream: true}},
		{"runtime", "limits", Job{MaxRuntime: time.Hour}},
		{"output", "limits", Job{MaxOutput: 1}},
		{"all", "stderr, stream, limits", Job{Stderr: true, Stream: true, MaxOutput: 1, MaxRuntime: 1}},
	} {
		j := tt.job
		j.Unit, j.UnitDir, j.Command = tt.name, n.unit(tt.name, ""), "true"
		_, err := d.Start(t.Context(), j)
		var se *StartError
		if !errors.As(err, &se) || !strings.Contains(se.Detail, "older version and does not know "+tt.want+";") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if e, err := ReadExit(j.UnitDir); err != nil || e.Started || se != nil && e.Detail != se.Detail {
			t.Errorf("%s: recorded %+v, %v", tt.name, e, err)
		}
	}
	if p := d.start(n.shell("plain", "true")); p != someProcess {
		t.Errorf("plain: %+v", p)
	}
	// What was started before needs no decision any more.
	j := n.shell("before", "true")
	j.Stderr = true
	if err := addProcess(j.UnitDir, someProcess); err != nil {
		t.Fatal(err)
	}
	if p := d.start(j); p != someProcess {
		t.Errorf("before: %+v", p)
	}
	for _, want := range []string{"plain", "before"} {
		if got := <-asked; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
}

func TestTellsWhatItCan(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	d.start(n.shell("u", "true"))
	d.exit("u")
	m, err := n.raw().next()
	if err != nil || strings.Join(m.Can, " ") != "stderr stream limits" {
		t.Errorf("hello %+v, %v", m, err)
	}
}

// Where no supervisor runs and none can be started, nothing runs: to stop that is success.
func TestStopWithoutSupervisor(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	program := filepath.Join(n.dir, "program")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Argv = []string{program}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	// Both wait when Run begins, so the stop meets a supervisor that cannot be started.
	start := &call{op: opStart, unit: "u", dir: n.unit("u", ""), done: make(chan struct{})}
	stop := &call{op: opStop, unit: "other", done: make(chan struct{})}
	for _, k := range []*call{start, stop} {
		if err := c.enter(k, &request{Op: k.op, Unit: k.unit, Dir: text(k.dir)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // until cancel
		defer close(ended)
		c.Run(ctx, func(Event) {})
	}()
	for _, k := range []*call{start, stop} {
		select {
		case <-k.done:
		case <-time.After(patience):
			t.Fatalf("%s is not answered", k.op)
		}
	}
	cancel()
	<-ended
	if !errors.Is(start.err, fs.ErrNotExist) {
		t.Errorf("start: %v", start.err)
	}
	if stop.err != nil {
		t.Errorf("stop: %v", stop.err)
	}
}
