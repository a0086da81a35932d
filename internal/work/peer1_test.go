package work

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// peer1 stands in for a node of ansible/receptor that has one unit, and writes
// down what it is asked.
type peer1 struct {
	greeting string
	refuse   string // answer to submit
	lose     int    // so many answers after the payload are lost
	last     string // answer after the payload

	mu       sync.Mutex
	asked    []string // lines, in order, status requests only once
	submits  int
	payloads []string
	known    bool
	status   controlproto.UnitStatus
	output   string
	grown    chan struct{} // closed when output or status changes
}

func newPeer1() *peer1 {
	return &peer1{
		greeting: "Receptor Control, node bar", last: `{"result": "Job Started", "unitid": "RemUnit1"}`,
		grown:  make(chan struct{}),
		status: controlproto.UnitStatus{Detail: "Starting Worker", WorkType: "echo", ExtraData: json.RawMessage("null")},
	}
}

// set changes the unit.
func (p *peer1) set(state controlproto.State, detail, output string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.State, p.status.Detail, p.status.StdoutSize = state, detail, int64(len(output))
	p.output = output
	close(p.grown)
	p.grown = make(chan struct{})
}

func (p *peer1) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = false
}

func (p *peer1) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !strings.HasPrefix(line, "work status") || len(p.asked) == 0 || p.asked[len(p.asked)-1] != line {
		p.asked = append(p.asked, line)
	}
}

func (p *peer1) lines() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, "\n")
}

func (p *peer1) serve(conn *end) {
	fmt.Fprintln(conn, p.greeting)
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\n")
		p.note(line)
		p.mu.Lock()
		known := p.known
		p.mu.Unlock()
		switch {
		case strings.Contains(line, `"subcommand":"submit"`):
			p.submit(conn, r)
			return
		case !known:
			fmt.Fprintln(conn, "ERROR: unknown work unit RemUnit1")
		case strings.HasPrefix(line, "work status") || strings.Contains(line, `"subcommand":"status"`):
			p.mu.Lock()
			b, _ := json.Marshal(p.status)
			p.mu.Unlock()
			fmt.Fprintf(conn, "%s\n", b)
		case strings.Contains(line, `"subcommand":"results"`):
			p.results(conn, line)
			return
		case strings.Contains(line, `"subcommand":"cancel"`):
			p.set(controlproto.StateCanceled, "Canceled", p.output)
			fmt.Fprintln(conn, `{"cancelled": "RemUnit1"}`)
		case strings.Contains(line, `"subcommand":"release"`):
			p.forget()
			fmt.Fprintln(conn, `{"released": "RemUnit1"}`)
		}
	}
}

func (p *peer1) submit(conn *end, r io.Reader) {
	if p.refuse != "" {
		fmt.Fprintln(conn, p.refuse)
		return
	}
	p.mu.Lock()
	p.known = true
	p.status.State, p.status.Detail = controlproto.Pending, "Waiting for Input Data"
	p.submits++
	p.mu.Unlock()
	fmt.Fprintln(conn, "Work unit created with ID RemUnit1. Send stdin data and EOF.")
	payload, err := io.ReadAll(r)
	if err != nil {
		p.set(controlproto.Failed, "Error reading input data: timeout", "")
		return
	}
	p.mu.Lock()
	p.payloads = append(p.payloads, string(payload))
	p.status.Detail = "Starting Worker"
	lose := p.lose > 0
	p.lose--
	p.mu.Unlock()
	if !lose {
		fmt.Fprintln(conn, p.last)
	}
}

// results streams as the original does: a canceled unit's stream never ends.
func (p *peer1) results(conn *end, line string) {
	var q struct{ StartPos int }
	json.Unmarshal([]byte(line), &q)
	fmt.Fprintln(conn, "Streaming results for work unit RemUnit1")
	for pos := q.StartPos; ; {
		p.mu.Lock()
		out, st, grown := p.output, p.status, p.grown
		p.mu.Unlock()
		if pos < len(out) {
			if _, err := io.WriteString(conn, out[pos:]); err != nil {
				return
			}
			pos = len(out)
		}
		if st.State == controlproto.Succeeded || st.State == controlproto.Failed {
			return
		}
		gone := make(chan struct{})
		go func() { io.Copy(io.Discard, conn); close(gone) }()
		select {
		case <-grown:
		case <-gone:
			return
		}
	}
}

// newMixed starts a controller whose executor is a stand-in of version 1.
func newMixed(t *testing.T, p *peer1, adjust ...func(*Config)) (*node, *link) {
	l := newLink(t, false, p.serve)
	foo, _ := newNode(t, "foo", append(adjust, func(c *Config) { c.Dial = l.dial })...)
	return foo, l
}

// wireLines are what the original's controller sends in a section of the
// recording, repeated status requests once.
func wireLines(t *testing.T, section string) string {
	b, err := os.ReadFile("testdata/remote-wire.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n"+section+". ")
	if !ok {
		t.Fatalf("no section %s", section)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "=====") && len(lines) > 0 {
			break
		}
		_, sent, ok := strings.Cut(line, "controller -> executor  ")
		if !ok {
			continue
		}
		sent = strings.Trim(strings.TrimSpace(sent), "'")
		sent, err := strconv.Unquote(`"` + strings.ReplaceAll(sent, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatal(err)
		}
		sent = strings.TrimSuffix(sent, "\n")
		if len(lines) == 0 || lines[len(lines)-1] != sent {
			lines = append(lines, sent)
		}
	}
	return strings.Join(lines, "\n")
}

// unique drops lines that were there before: the pace of polling is free.
func unique(lines string) string {
	seen := make(map[string]bool)
	var out []string
	for l := range strings.SplitSeq(regexp.MustCompile(`"signature":"[^"]*"`).ReplaceAllString(lines, `"signature":"T"`), "\n") {
		if !seen[l] && l != "" {
			seen[l] = true
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

func echoForBar() controlproto.Submit {
	return controlproto.Submit{Node: "bar", WorkType: "echo", Params: map[string]string{"params": "-n", "other": "thing"}}
}

func TestWireSuccess(t *testing.T) {
	p := newPeer1()
	foo, _ := newMixed(t, p)
	id, result, err := foo.submit(echoForBar(), "hello\nworld\n")
	if err != nil || result != controlproto.JobStarted {
		t.Fatalf("%q %v", result, err)
	}
	foo.awaitThat(id, "copied", func(u controlproto.UnitStatus) bool { return u.Detail == "Starting Worker" })
	p.set(controlproto.Running, "Running: PID 42", "line 1\n")
	foo.awaitThat(id, "running with output", func(u controlproto.UnitStatus) bool {
		return u.State == controlproto.Running && u.Detail == "Running: PID 42" && u.StdoutSize == 7
	})
	p.set(controlproto.Running, "Running: PID 42", "line 1\nline 2\n")
	p.set(controlproto.Succeeded, "exit status 0", "line 1\nline 2\n")
	if out, last := foo.results(id, 0); out != "line 1\nline 2\n" || last.State != controlproto.Succeeded || last.StdoutSize != 14 {
		t.Errorf("%q %+v", out, last)
	}
	if pending, err := foo.m.Release(t.Context(), id, false); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	want := strings.ReplaceAll(wireLines(t, "A"), "hello\nworld\n", "") // the payload is no line to peer1
	if got := unique(p.lines()); got != unique(want) {
		t.Errorf("sent\n%s\nwant\n%s", got, unique(want))
	}
	if p.payloads[0] != "hello\nworld\n" {
		t.Errorf("payload %q", p.payloads)
	}
}

func TestWireSignedCancel(t *testing.T) {
	p := newPeer1()
	foo, l := newMixed(t, p, func(c *Config) {
		c.Keys.Sign = func(k sign.Claims) (string, error) { return "token for " + k.Node, nil }
	})
	id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo", SignWork: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	p.set(controlproto.Running, "Running: PID 42", "ab\n")
	foo.awaitThat(id, "here", func(u controlproto.UnitStatus) bool { return u.StdoutSize == 3 })
	if pending, err := foo.m.Cancel(t.Context(), id); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	foo.await(id, controlproto.StateCanceled)
	until(t, "polling stops for a canceled unit", func() bool { return l.open() == 0 })
	if _, err := foo.m.Release(t.Context(), id, true); err != nil {
		t.Error(err)
	}
	if got, want := unique(p.lines()), unique(wireLines(t, "B")); got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
}

func TestWireRefused(t *testing.T) {
	for _, tt := range []struct{ first, last, want, section string }{
		{"ERROR: token audience did not match node ID", "", "could not parse response: ERROR: token audience did not match node ID", "C"},
		{"What?", "", "could not parse response: What?", "C"},
		{"", "ERROR: exec failed", "error from remote: exec failed", "D"},
	} {
		p := newPeer1()
		p.refuse, p.last = tt.first, tt.last
		foo, l := newMixed(t, p)
		id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, "")
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
		if u := foo.await(id, controlproto.Failed); u.Detail != "Error starting worker: "+tt.want {
			t.Errorf("%+v", u)
		}
		until(t, "the connection is closed", func() bool { return l.open() == 0 })
		if got, _, _ := strings.Cut(unique(wireLines(t, tt.section)), "\ndata"); !strings.HasPrefix(p.lines(), got) {
			t.Errorf("sent\n%s\nwant\n%s", p.lines(), got)
		}
	}
}

func TestWireWrongGreeting(t *testing.T) {
	p := newPeer1()
	p.greeting = "Receptor Control, node other"
	foo, _ := newMixed(t, p)
	id, result, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, "")
	if err != nil || result != controlproto.JobSubmitted {
		t.Errorf("%q %v", result, err)
	}
	if p.lines() != "" {
		t.Errorf("sent %s", p.lines())
	}
	if _, err := foo.m.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
	if u := foo.await(id, controlproto.Failed); u.Detail != "Locally Cancelled" {
		t.Errorf("%+v", u)
	}
}

// Recording F, done better: the answer after the payload is lost, and the unit is
// neither lost nor started twice.
func TestWireLostAnswer(t *testing.T) {
	p := newPeer1()
	p.lose = 1
	foo, _ := newMixed(t, p)
	id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, "data")
	if err != nil {
		t.Fatal(err)
	}
	p.set(controlproto.Succeeded, "exit status 0", "out\n")
	if out, last := foo.results(id, 0); out != "out\n" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	if p.submits != 1 {
		t.Errorf("%d submissions", p.submits)
	}
}

// A submission that is cut anywhere is repeated; what was begun is cleared away.
func TestWireCutAnywhere(t *testing.T) {
	payload := strings.Repeat("x", 300)
	for budget := int64(0); budget < 500; budget += 45 {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			t.Parallel()
			p := newPeer1()
			foo, l := newMixed(t, p)
			l.mu.Lock()
			l.budget = budget
			l.mu.Unlock()
			id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, payload)
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the payload is there", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.payloads) == 1 && p.payloads[0] == payload
			})
			p.set(controlproto.Succeeded, "exit status 0", "out\n")
			if out, last := foo.results(id, 0); out != "out\n" || last.State != controlproto.Succeeded {
				t.Errorf("%q %+v", out, last)
			}
		})
	}
}

func TestWireGone(t *testing.T) {
	p := newPeer1()
	foo, _ := newMixed(t, p)
	id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, "")
	if err != nil {
		t.Fatal(err)
	}
	p.set(controlproto.Running, "Running: PID 42", "ab\n")
	foo.awaitThat(id, "here", func(u controlproto.UnitStatus) bool { return u.StdoutSize == 3 })
	p.forget()
	if u := foo.await(id, controlproto.Failed); u.Detail != "Remote work unit is gone" || u.StdoutSize != 3 {
		t.Errorf("%+v", u)
	}
}

// The final state waits for output that has not come; if it cannot be had, the
// Detail says how much is missing.
func TestWireMissingOutput(t *testing.T) {
	p := newPeer1()
	foo, _ := newMixed(t, p)
	id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, "")
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.status.State, p.status.Detail, p.status.StdoutSize, p.output = controlproto.Succeeded, "exit status 0", 10, "abc"
	p.mu.Unlock()
	u := foo.await(id, controlproto.Succeeded)
	if u.Detail != "exit status 0 (7 of 10 bytes of the output are missing)" || u.StdoutSize != 3 {
		t.Errorf("%+v", u)
	}
}

func TestTLSFailure(t *testing.T) {
	foo, _ := newNode(t, "foo", func(c *Config) {
		c.Dial = func(context.Context, string, string) (io.ReadWriteCloser, bool, error) {
			return nil, false, fmt.Errorf("CRYPTO_ERROR 0x12a (local): insecure connection to secure service")
		}
	})
	id, result, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "echo"}, "")
	if err != nil || result != controlproto.JobSubmitted {
		t.Errorf("%q %v", result, err)
	}
	if u := foo.await(id, controlproto.Failed); u.Detail != "TLS error connecting to remote service: CRYPTO_ERROR 0x12a (local): insecure connection to secure service" {
		t.Errorf("%+v", u)
	}
}
