package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/shlex"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// difference is where this program means to differ from the original. Empty
// fields: as recorded.
type difference struct {
	why    string
	skip   bool
	exit   int
	stdout string
	stderr string
}

// Stock stderr lines never go away but for these. Besides them, always allowed on
// stderr are lines that begin with `hint: `, and `Unit ID: X` when following.
var differences = map[string]difference{
	"cli-results-running-interrupted":  {why: "Ctrl-C gives 130", exit: 130},
	"cli-submit-follow-rm-interrupted": {why: "Ctrl-C gives 130", exit: 130},
	"cli-submit-unknown-node-follow":   {why: "Ctrl-C gives 130", exit: 130},
	"gone-cli-results":                 {why: "Ctrl-C gives 130", exit: 130},
	"cli-results-running-sigterm":      {why: "the default of the system for the signal; nothing of ours runs", skip: true},

	"cli-results-cancelled-local": {why: "results of a cancelled unit end; they are no success", exit: 1,
		stderr: "ERROR: Remote unit was cancelled: Canceled\n\n"},
	"cli-connect-not-a-terminal": {why: "connect works in pipes", skip: true}, // TestConnectPipes

	"cli-submit-param-empty-value": {why: "telling message", stderr: "ERROR: --param params= has no value\n"},
	"cli-submit-param-no-equals":   {why: "telling message", stderr: "ERROR: --param foo is not of the form KEY=VALUE\n"},

	"fake-closes-after-greeting":   {why: "telling message", stderr: "ERROR: the daemon closed the connection instead of answering\n"},
	"fake-closes-instead-of-reply": {why: "telling message", stderr: "ERROR: the daemon closed the connection instead of answering\n"},
	"fake-no-version":              {why: "telling message", stderr: "ERROR: the daemon did not tell its version\n"},
	"fake-status-minimal":          {why: "telling message", stderr: "ERROR: the daemon's status lacks NodeID\n"},
	"fake-not-json":                {why: "telling message", stderr: "ERROR: unexpected answer \"hello\": invalid character 'h' looking for beginning of value\n"},
	"tls-cli-mutual-no-cert":       {why: "telling message", stderr: "ERROR: the daemon wants a client certificate\n"},
	"cli-connect-unknown-node":     {why: "one ERROR is enough", stderr: "ERROR: INTERNAL_ERROR (local): no route to node\n"},
	"cli-connect-unknown-service":  {why: "one ERROR is enough", stderr: "ERROR: context canceled\n"},
	"cli-list-unknown-node-option": {why: "one ERROR is enough", stderr: "ERROR: INTERNAL_ERROR (local): no route to node\n"},
	"firewall-reject-connect":      {why: "one ERROR is enough", stderr: "ERROR: timeout: no recent network activity\n"},
	"tls-cli-connect-no-tls":       {why: "one ERROR is enough", stderr: "ERROR: CRYPTO_ERROR 0x12a (local): insecure connection to secure service\n"},
	"tls-cli-list-node-no-tlsclient": {why: "one ERROR is enough",
		stderr: "ERROR: CRYPTO_ERROR 0x12a (local): insecure connection to secure service\n"},
	"cli-submit-params-not-allowed-remote": {why: "one ERROR is enough", stderr: "ERROR: Remote error: extra params provided but not allowed\n"},
	"cli-submit-unknown-type-remote":       {why: "one ERROR is enough", stderr: "ERROR: Remote error: unknown work type nosuchtype\n"},
	"cli-submit-signwork-no-key":           {why: "one ERROR is enough", stderr: "ERROR: Remote error: cannot sign work: signing key is empty\n"},
	"tls-cli-submit-signed-unwanted":       {why: "one ERROR is enough", stderr: "ERROR: Remote error: work type did not expect a signature\n"},
	"tls-cli-submit-unsigned":              {why: "one ERROR is enough", stderr: "ERROR: Remote error: could not verify signature: signature is empty\n"},
}

// notVersion2 are recordings of a daemon that could not have spoken version 2.
var notVersion2 = map[string]bool{
	"fake-closes-instead-of-reply": true, "fake-no-version": true, "fake-not-json": true,
	"cli-results-cancelled-local": true, // version 1's defect
}

func TestVectors(t *testing.T) {
	used := map[string]bool{}
	for _, v := range readVectors(t) {
		used[v.name] = true
		if d := differences[v.name]; d.skip {
			continue
		}
		for _, version := range []int{controlproto.V1, controlproto.V2} {
			if version == controlproto.V2 && (notVersion2[v.name] || strings.Contains(v.name, "connect")) {
				continue
			}
			t.Run(fmt.Sprintf("%s/v%d", v.name, version), func(t *testing.T) { runVector(t, v, version) })
		}
	}
	for name, d := range differences {
		if !used[name] || d.why == "" {
			t.Errorf("difference %s: no such vector, or no reason", name)
		}
	}
}

// call is one run of the program under test.
type call struct {
	env
	out, err output
}

// output is a buffer that may be watched while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// newCall makes a call that touches nothing of the system but sockets and files.
func newCall(stdin io.Reader, variables map[string]string) *call {
	c := &call{}
	c.env = env{
		stdin: stdin, stdout: &c.out, stderr: &c.err,
		getenv:  func(name string) string { return variables[name] },
		dial:    new(net.Dialer).DialContext,
		pause:   func(ctx context.Context, d time.Duration) error { return pause(ctx, d/100) },
		version: "1.5.0",
		raw:     func() (func(), error) { return func() {}, nil },
	}
	return c
}

// closedPipe is a pipe whose reader has gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
}

func runVector(t *testing.T, v vector, version int) {
	scene := newScene(t, v, version)
	words, err := shlex.Split(scene.replace(v.command))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{}
	for words[0] != "receptorctl" {
		name, value, _ := strings.Cut(words[0], "=")
		variables[name] = value
		words = words[1:]
	}
	stdin := io.Reader(bytes.NewReader(v.stdin))
	onTerminal := v.terminal != ""
	if onTerminal {
		stdin = &typist{text: v.typed, shown: nil}
	}
	c := newCall(stdin, variables)
	if n := len(words); n > 2 && words[n-2] == "|" {
		words = words[:n-2]
		c.stdout = closedPipe{}
	}
	if onTerminal {
		c.stdout, c.stdinTerminal, c.stderrTerminal = &c.err, true, true
		if ty := stdin.(*typist); len(ty.text) > 0 {
			ty.shown = &c.err
		}
	}
	if v.name == "cli-version-mismatch" {
		c.version = "1.4.0"
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if v.signal == "SIGINT" && differences[v.name].exit == 130 {
		go interrupt(ctx, cancel, c, scene, v.stdout)
	}
	code := run(ctx, c.env, words[1:])
	scene.check(v, c, code, version)
}

// interrupt presses Ctrl-C when the program has printed all that the original had
// until then, and made all requests.
func interrupt(ctx context.Context, cancel context.CancelFunc, c *call, s *scene, stdout string) {
	stdout, _, _ = strings.Cut(stdout, "(") // what --rm prints comes behind
	poll(ctx, func() bool {
		return c.out.String() == stdout && !strings.Contains(strings.Join(s.fake.unused(), " "), `"results"`)
	})
	cancel()
}

// poll waits until done.
func poll(ctx context.Context, done func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// typist types each line when what it typed before was answered, and the end of
// input behind the last.
type typist struct {
	text  []byte
	shown *output
}

func (ty *typist) Read(p []byte) (int, error) {
	if len(ty.text) == 0 || ty.shown == nil {
		return 0, io.EOF
	}
	want := "Receptor Control, node executor01\n"
	if ty.text[0] == 4 { // Ctrl-D
		want = "}\n"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	poll(ctx, func() bool { return strings.HasSuffix(ty.shown.String(), want) })
	if ty.text[0] == 4 {
		return 0, io.EOF
	}
	line, rest, _ := bytes.Cut(ty.text, []byte("\n"))
	ty.text = rest
	return copy(p, append(line, '\n')), nil
}

// check compares what came with what was recorded and what is to differ.
func (s *scene) check(v vector, c *call, code, version int) {
	t := s.t
	d := differences[v.name]
	want := v
	if d.exit != 0 {
		want.exit = d.exit
	}
	if d.stdout != "" {
		want.stdout = d.stdout
	}
	if d.stderr != "" {
		want.stderr = d.stderr
	}
	if code != want.exit {
		t.Errorf("exit code %d, want %d", code, want.exit)
	}
	stdout, stderr := c.out.String(), s.stock(v, c.err.String())
	if v.terminal != "" {
		if shown := strings.ReplaceAll(v.terminal, string(bytes.ReplaceAll(v.typed, []byte{4}, nil)), ""); stderr != shown {
			t.Errorf("terminal shows\n%q, want\n%q", stderr, shown)
		}
	} else if stderr != s.replace(want.stderr) {
		t.Errorf("stderr\n%q, want\n%q", c.err.String(), s.replace(want.stderr))
	}
	if want.help {
		if !strings.Contains(stdout, "Usage:") {
			t.Errorf("no help: %q", stdout)
		}
	} else if v.terminal == "" && stdout != want.stdout {
		t.Errorf("stdout\n%q, want\n%q", stdout, want.stdout)
	}
	for _, key := range s.fake.unused() {
		switch {
		case version == controlproto.V2 && strings.Contains(key, `"Version"`): // the welcome tells it
		case version == controlproto.V2 && strings.Contains(key, `"subcommand":"status"`): // follow tells it
		case strings.Contains(key, `"Version"`) && code == exitFailure: // the command line is checked first
		case strings.Contains(key, `"Version"`) && len(s.fake.exchanges) == 1:
		default:
			t.Errorf("request was not made: %s", key)
		}
	}
}

// stock takes from stderr what is ours alone: hints, and the id when following.
func (s *scene) stock(v vector, stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "hint: ") && !strings.HasPrefix(line, "Unit ID: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
