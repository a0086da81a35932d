package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// logLine is the stock shape of a line.
var logLine = regexp.MustCompile(`^(ERROR|WARNING|INFO|DEBUG) \d{4}/\d\d/\d\d \d\d:\d\d:\d\d (.*)$`)

// writes keeps every single write.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(b))
	return len(b), nil
}

// newLogger writes to w at once.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	return slog.New(newLogHandler(w, c.Format, c.Level))
}

// logged gives what one record becomes, without the times.
func logged(t *testing.T, log func(*slog.Logger)) string {
	t.Helper()
	var w writes
	log(newLogger(&w, config.Log{Level: slog.LevelDebug}))
	if len(w.all) != 1 {
		t.Fatalf("%d writes, want 1: %q", len(w.all), w.all)
	}
	var b strings.Builder
	for line := range strings.Lines(w.all[0]) {
		m := logLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("line %q has not the stock shape", line)
		}
		b.WriteString(m[1] + " " + m[2] + "\n")
	}
	return b.String()
}

func TestStockTexts(t *testing.T) {
	refused := errors.New("dial tcp 127.0.0.1:2399: connect: connection refused")
	tests := []struct {
		log  func(*slog.Logger)
		want string
	}{
		{func(l *slog.Logger) { l.Info("link up", "peer", wire.NodeID("relayer01")) }, "INFO Connection established with relayer01"},
		{func(l *slog.Logger) { l.Info("link up", "peer", "b", "link", "tcp x:1") }, "INFO Connection established with b"},
		{func(l *slog.Logger) { l.Warn("link dial failed", "link", "x", "err", refused, "retry", true) },
			"WARNING Backend connection failed (will retry): dial tcp 127.0.0.1:2399: connect: connection refused"},
		{func(l *slog.Logger) { l.Error("link dial failed", "link", "x", "err", refused, "retry", false) },
			"ERROR Backend connection failed: dial tcp 127.0.0.1:2399: connect: connection refused"},
		{func(l *slog.Logger) { l.Warn("link lost", "link", "x", "peer", "b", "err", refused, "retry", true) },
			"WARNING Backend connection exited (will retry)"},
		{func(l *slog.Logger) { l.Error("link lost", "link", "x", "retry", false) }, "ERROR Backend connection exited"},
		{func(l *slog.Logger) { l.Error("link receive failed", "peer", "b", "err", refused) }, "ERROR Backend receiving error " + refused.Error()},
		{func(l *slog.Logger) { l.Error("link send failed", "peer", "b", "err", refused) }, "ERROR Backend sending error " + refused.Error()},
		{func(l *slog.Logger) { l.Warn("link idle", "peer", "b", "idle", 21*time.Second) }, "WARNING Timing out connection b, idle for the past 21s"},
		{func(l *slog.Logger) { l.Warn("link rejected by peer", "link", "x", "peer", "b") }, "WARNING Received a rejection message from peer."},
		{func(l *slog.Logger) {
			l.Error("link failed", "link", "x", "err", errors.New("remote node rejected the connection"))
		}, "ERROR Backend error: remote node rejected the connection"},
		{func(l *slog.Logger) {
			l.Error("link rejected", "node", wire.NodeID("foo"), "peer", wire.NodeID("bar"), "cause", errors.New("it is not in the allowed peers list"))
		}, "ERROR Backend error: foo: rejected connection with node bar because it is not in the allowed peers list"},
		{func(l *slog.Logger) { l.Warn("link silent", "link", "x") }, "WARNING Giving up on connection initialization"},
		{func(l *slog.Logger) { l.Error("duplicate node", "node", "a", "peer", "b") }, "ERROR Duplicate node ID a detected via b"},
		{func(l *slog.Logger) { l.Error("duplicate of another", "node", "a", "epoch", uint64(29123456789012345)) },
			"ERROR We are a duplicate node with ID a and epoch 29123456789012345.  Shutting down."},
		{func(l *slog.Logger) {
			l.Warn("unreachable received", "node", "bar", "to", "foo", "service", "x y", "cause", "blocked by firewall")
		}, `WARNING Received unreachable message from bar to=foo service="x y" blocked by firewall`},
		{func(l *slog.Logger) { l.Info("control service running", "service", "control") }, "INFO Running control service control"},
		{func(l *slog.Logger) { l.Info("initialization complete") }, "INFO Initialization complete"},
		{func(l *slog.Logger) { l.Warn("nothing to do") }, "WARNING Nothing to do - no backends are running."},
		{func(l *slog.Logger) { l.Debug("listening", "link", "tcp", "address", "127.0.0.1:2222", "path", "") }, "DEBUG Listening on TCP 127.0.0.1:2222"},
		{func(l *slog.Logger) { l.Debug("listening", "link", "udp", "address", "127.0.0.1:2222") }, "DEBUG Listening on UDP 127.0.0.1:2222"},
		{func(l *slog.Logger) {
			l.Debug("listening", "link", "websocket", "address", "127.0.0.1:1", "path", "/m")
		},
			"DEBUG Listening on Websocket 127.0.0.1:1 path /m"},
		{func(l *slog.Logger) { l.Debug("dialling", "link", "tcp", "address", "b:1") }, "DEBUG Running TCP peer connection b:1"},
		{func(l *slog.Logger) { l.Debug("dialling", "link", "websocket", "address", "ws://b") }, "DEBUG Running Websocket peer connection ws://b"},
		{func(l *slog.Logger) { l.Debug("control client connected", "address", "a:ysADlEIT") }, "DEBUG Client connected to control service a:ysADlEIT"},
		{func(l *slog.Logger) { l.Debug("control client disconnected", "address", "@") }, "DEBUG Client disconnected from control service @"},
		{func(l *slog.Logger) { l.Warn("unit restart failed", "unit", "/d/x", "err", errors.New("no status")) }, "WARNING Failed to restart worker /d/x: no status"},
		{func(l *slog.Logger) { l.Warn("configuration", "problem", `c.yml:3: key "id" is odd`) }, `WARNING c.yml:3: key "id" is odd`},

		// Attributes given beforehand count like others.
		{func(l *slog.Logger) { l.With("peer", "b").Info("link up") }, "INFO Connection established with b"},
	}
	for _, tt := range tests {
		if got := logged(t, tt.log); got != tt.want+"\n" {
			t.Errorf("got  %swant %s", got, tt.want)
		}
	}
}

func TestOtherTexts(t *testing.T) {
	tests := []struct {
		log  func(*slog.Logger)
		want string
	}{
		{func(l *slog.Logger) { l.Info("unit done", "unit", "abc", "state", "Succeeded") }, "INFO unit done unit=abc state=Succeeded"},
		{func(l *slog.Logger) { l.Info("odd", "a", "", "b", "x y", "c", `q"`, "d", "k=v") }, `INFO odd a="" b="x y" c="q\"" d="k=v"`},
		{func(l *slog.Logger) { l.Info("times", "delay", 1500*time.Millisecond, "attempt", 3) }, "INFO times delay=1.5s attempt=3"},
		{func(l *slog.Logger) { l.With("unit", "u").WithGroup("g").Info("m", "a", 1, slog.Group("h", "b", 2)) }, "INFO m unit=u g.a=1 g.h.b=2"},
		{func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("m", slog.Group("", "b", 2), slog.Attr{}) }, "INFO m g.a=1 g.b=2"},
		{func(l *slog.Logger) { l.Log(t.Context(), slog.LevelWarn+1, "between") }, "WARNING between"},
		{func(l *slog.Logger) { l.Info("routes changed", "known", 1) }, "INFO routes changed known=1"},

		// Nothing from outside makes a line of its own.
		{func(l *slog.Logger) { l.Info("link up", "peer", "b\nINFO forged") }, `INFO Connection established with b\nINFO forged`},
		{func(l *slog.Logger) { l.Info("x", "err", errors.New("one\ntwo")) }, `INFO x err="one\ntwo"`},
		{func(l *slog.Logger) { l.Info("link up", "peer", "\x1b[2J") }, `INFO Connection established with \x1b[2J`},
		{func(l *slog.Logger) { l.Info("link up", "peer", "ノード") }, `INFO Connection established with ノード`},
	}
	for _, tt := range tests {
		if got := logged(t, tt.log); got != tt.want+"\n" {
			t.Errorf("got  %swant %s", got, tt.want)
		}
	}
}

// TestRoutesText has the tables of the specification, in the order of IDs.
func TestRoutesText(t *testing.T) {
	known := map[wire.NodeID]map[wire.NodeID]float64{
		"c": {"b": 1}, "b": {"c": 1, "a": 2.5}, "a": {"b": 2.499}, "z": nil, "e\nvil": {"x\n": 1},
	}
	routes := map[wire.NodeID]wire.NodeID{"b": "b", "a": "b"}
	got := logged(t, func(l *slog.Logger) { l.Info("routes changed", "known", known, "routes", routes) })
	want := strings.Join([]string{
		"INFO Known Connections:",
		"INFO    a: b(2.50) ",
		"INFO    b: a(2.50) c(1.00) ",
		"INFO    c: b(1.00) ",
		`INFO    e\nvil: x\n(1.00) `,
		"INFO    z: ",
		"INFO Routing Table:",
		"INFO    a via b",
		"INFO    b via b",
		"",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLogLevelChanges(t *testing.T) {
	var w writes
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	l := slog.New(newLogHandler(&w, config.LogText, level))
	derived := l.With("unit", "u")
	l.Warn("one")
	derived.Warn("two")
	level.Set(slog.LevelDebug)
	derived.Debug("three")
	if len(w.all) != 1 || !strings.HasSuffix(w.all[0], " three unit=u\n") {
		t.Errorf("got %q, want only the record after the change of level", w.all)
	}
}

func TestLogJSON(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(&b, config.Log{Level: slog.LevelInfo, Format: config.LogJSON})
	l.Debug("not this")
	l.Info("routes changed", "known", map[wire.NodeID]map[wire.NodeID]float64{"a": {"b": 1}}, "routes", map[wire.NodeID]wire.NodeID{"b": "b"})
	var r struct {
		Time          time.Time
		Level, Msg    string
		Known, Routes map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, b.String())
	}
	if r.Level != "INFO" || r.Msg != "routes changed" || r.Routes["b"] != "b" || r.Known["a"] == nil || time.Since(r.Time) > time.Hour {
		t.Errorf("got %s", b.String())
	}
}

// TestConcurrentRecords has many goroutines log: every write is one whole
// record, and the attributes of derived loggers do not mix.
func TestConcurrentRecords(t *testing.T) {
	var w writes
	base := newLogger(&w, config.Log{Level: slog.LevelDebug}).With("a", 1, "b", 2, "c", 3)
	var wg sync.WaitGroup
	for i := range 8 {
		l := base.With("delay", i)
		wg.Go(func() {
			for range 50 {
				l.Info("tick", "attempt", i)
			}
		})
	}
	wg.Wait()
	count := make(map[string]int)
	for _, s := range w.all {
		m := logLine.FindStringSubmatch(strings.TrimSuffix(s, "\n"))
		if m == nil {
			t.Fatalf("write %q is not one record", s)
		}
		count[m[2]]++
	}
	for i := range 8 {
		if want := fmt.Sprintf("tick a=1 b=2 c=3 delay=%d attempt=%d", i, i); count[want] != 50 {
			t.Errorf("%q was written %d times, want 50; got %v", want, count[want], count)
		}
	}
}

type failingWriter struct{ tries int }

func (w *failingWriter) Write([]byte) (int, error) {
	w.tries++
	return 0, errors.New("disk full")
}

func TestWriteErrorIsSurvived(t *testing.T) {
	for _, format := range []string{config.LogText, config.LogJSON} {
		w := &failingWriter{}
		l := newLogger(w, config.Log{Level: slog.LevelInfo, Format: format})
		l.Info("one")
		l.Info("two")
		if w.tries != 2 {
			t.Errorf("%s: %d tries to write, want 2", format, w.tries)
		}
	}
}

const closedPipeTest = "RECEPTOR_TEST_CLOSED_PIPE"

// TestClosedStdoutIsSurvived runs this test in a process whose stdout nobody
// reads. ansible/receptor dies there (spec configuration 10).
func TestClosedStdoutIsSurvived(t *testing.T) {
	if os.Getenv(closedPipeTest) != "" {
		l := newLog(os.Stdout, config.LogText, slog.LevelInfo)
		for range 3 {
			l.Info("initialization complete")
		}
		os.Exit(42)
	}
	if runtime.GOOS == "windows" {
		t.Skip("no SIGPIPE")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestClosedStdoutIsSurvived$")
	cmd.Env = append(os.Environ(), closedPipeTest+"=1")
	cmd.Stdout = w
	err = cmd.Run()
	w.Close()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 42 {
		t.Errorf("process ended with %v, want exit status 42", err)
	}
}
