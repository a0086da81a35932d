package work

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

func TestLocalUnit(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("cat", "", "hello\nworld\n")
	out, last := n.results(id, 0)
	if out != "hello\nworld\n" || last.State != controlproto.Succeeded || last.Detail != "exit status 0" || last.StdoutSize != 12 {
		t.Errorf("got %q, %+v", out, last)
	}
	if string(last.ExtraData) != "null" {
		t.Errorf("ExtraData %s", last.ExtraData)
	}
	if out, _ := n.results(id, 6); out != "world\n" {
		t.Errorf("from 6: %q", out)
	}
	for _, from := range []int64{12, 13, 1000, -1} {
		if out, _ := n.results(id, from); out != "" {
			t.Errorf("from %d: %q", from, out)
		}
	}
	if last.ExitCode == nil || *last.ExitCode != 0 || last.Ended.IsZero() || last.StderrSize != nil {
		t.Errorf("what the original does not keep: %v %v %v", last.ExitCode, last.Ended, last.StderrSize)
	}
	ended, _ := last.Ended.MarshalText()
	want := `{"State":2,"Detail":"exit status 0","StdoutSize":12,"WorkType":"cat","ExtraData":null,"ExitCode":0,"Ended":"` + string(ended) + "\"}\n"
	until(t, "the status file has the end", func() bool { return n.file(id, fileStatus) == want })
	for file, mode := range map[string]os.FileMode{"": 0o700 | os.ModeDir, fileStatus: 0o600, fileStdin: 0o600, fileStdout: 0o600} {
		info, err := os.Stat(filepath.Join(n.c.Dir, id, file))
		if err != nil || info.Mode() != mode {
			t.Errorf("%q: %v %v, want %v", file, info.Mode(), err, mode)
		}
	}
}

// Every row of the table of spec work 4 that a command unit can come to.
func TestLocalStates(t *testing.T) {
	n, _ := newNode(t, "solo")
	tests := []struct {
		workType, params string
		state            controlproto.State
		detail           string
	}{
		{"true", "", controlproto.Succeeded, "exit status 0"},
		{"false", "", controlproto.Failed, "exit status 1"},
		{"nope", "", controlproto.Failed, `exec: "/nonexistent/program": executable file not found in $PATH`},
		{"echo", "'x", controlproto.Failed, "EOF found when expecting closing quote"},
		{"echo", `x\`, controlproto.Failed, "EOF found after escape character"},
	}
	for _, tt := range tests {
		id := n.mustSubmit(tt.workType, tt.params, "")
		u := n.await(id, tt.state)
		if u.Detail != tt.detail {
			t.Errorf("%s %s: %q, want %q", tt.workType, tt.params, u.Detail, tt.detail)
		}
		if pending, err := n.m.Cancel(t.Context(), id); pending || err != nil {
			t.Errorf("cancel of an ended unit: %v %v", pending, err)
		}
		if again := n.await(id, tt.state); again.Detail != tt.detail {
			t.Errorf("cancel changed an ended unit: %+v", again)
		}
	}
}

func TestLocalPendingFile(t *testing.T) {
	n, _ := newNode(t, "solo")
	sub, err := n.m.Create(controlproto.Submit{Node: "LocalHost", WorkType: "base", Params: map[string]string{"params": "<x>"}}, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"State":0,"Detail":"Waiting for Input Data","StdoutSize":0,"WorkType":"base","ExtraData":{"Pid":0,"Params":"base \u003cx\u003e"}}` + "\n"
	until(t, "the status file tells", func() bool { return n.file(sub.ID(), fileStatus) == want })
	u, _ := n.m.Status(sub.ID())
	if u.StateName != "Pending" || u.Detail != "Waiting for Input Data" || string(u.ExtraData) != `{"Pid":0,"Params":"base \u003cx\u003e"}` {
		t.Errorf("answer %+v", u)
	}
	sub.Write([]byte("half"))
	sub.Abort(errors.New("connection reset by peer"))
	if u := n.await(sub.ID(), controlproto.Failed); u.Detail != "Error reading input data: connection reset by peer" {
		t.Errorf("after a broken payload: %+v", u)
	}
}

// What the original answers, recorded; and what is left behind: nothing.
func TestRefusals(t *testing.T) {
	n, _ := newNode(t, "foo")
	tests := []struct {
		s    controlproto.Submit
		want string
	}{
		{controlproto.Submit{Node: "LOCALHOST", WorkType: "nosuch"}, "unknown work type nosuch"},
		{controlproto.Submit{Node: "foo", WorkType: "nosuch", TLSClient: "nope"}, "unknown work type nosuch"},
		{controlproto.Submit{Node: "foo", WorkType: "remote"}, "unknown work type remote"},
		{controlproto.Submit{Node: "foo", WorkType: "true", TTL: "5s"}, "ttl option is intended for remote work only"},
		{controlproto.Submit{Node: "foo", WorkType: "true", Params: map[string]string{"params": "x"}}, "extra params provided but not allowed"},
		{controlproto.Submit{Node: "foo", WorkType: "true", Signature: "x"}, "work type did not expect a signature"},
		{controlproto.Submit{Node: "foo", WorkType: "signed"}, "could not verify signature: signature is empty"},
		{controlproto.Submit{Node: "foo", WorkType: "signed", Signature: "x"}, "could not verify signature: verifying key not specified"},
		{controlproto.Submit{Node: "bar", WorkType: "true", TTL: "soon"}, `time: invalid duration "soon"`},
		{controlproto.Submit{Node: "bar", WorkType: "true", TTL: "5"}, `time: missing unit in duration "5"`},
		{controlproto.Submit{Node: "bar", WorkType: "true", TLSClient: "nope"}, "unknown TLS config nope"},
		{controlproto.Submit{Node: "bar", WorkType: "true", Params: map[string]string{"secret_x": "1"}}, "cannot send secrets over a non-TLS connection"},
		{controlproto.Submit{Node: "bar", WorkType: "true", Params: map[string]string{"SECRET_x": "1"}}, "cannot send secrets over a non-TLS connection"},
		{controlproto.Submit{Node: "foo", WorkType: "true", UnitID: "../etc/x"}, "unitid must be 8 characters of 0-9a-zA-Z"},
	}
	for _, tt := range tests {
		_, err := n.m.Create(tt.s, Origin{})
		if e, ok := errors.AsType[*controlproto.Error](err); !ok || e.Message != tt.want {
			t.Errorf("%+v: %v, want %s", tt.s, err, tt.want)
		}
	}
	if entries, _ := os.ReadDir(n.c.Dir); len(entries) != 0 {
		t.Errorf("refused submissions left %v", entries)
	}
	if _, err := n.m.Create(controlproto.Submit{Node: "foo", WorkType: "signed"}, Origin{UnixSocket: true}); err != nil {
		t.Errorf("a Unix socket needs no signature: %v", err)
	}
}

func TestUnknownUnits(t *testing.T) {
	n, _ := newNode(t, "solo")
	os.Mkdir(filepath.Join(n.c.Dir, "OnDisk01"), 0o700)
	for _, id := range []string{"nosuch", "", ".", "..", "../../x", "OnDisk01", strings.Repeat("x", 5000)} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, e1 := n.m.Status(id)
		_, e2 := n.m.Cancel(ctx, id)
		_, e3 := n.m.Release(ctx, id, true)
		_, e4 := n.m.Follow(ctx, id, FollowOptions{}, &collect{})
		for _, err := range []error{e1, e2, e3, e4, n.m.Authorize("cancel", id, "", Origin{})} {
			if controlproto.CodeOf(err) != controlproto.NotFound || err.Error() != "unknown work unit "+id {
				t.Errorf("%q: %v", id, err)
			}
		}
		cancel()
	}
	n.mustSubmit("true", "", "") // still alive
}

func TestCancelRunning(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("sleep", "", "")
	u := n.await(id, controlproto.Running)
	if !strings.HasPrefix(u.Detail, "Running: PID ") || !strings.Contains(string(u.ExtraData), `"Pid":1`) {
		t.Errorf("running: %+v", u)
	}
	followed := make(chan controlproto.UnitStatus, 1)
	go func() {
		_, last := n.results(id, 0)
		followed <- last
	}()
	for range 2 {
		if pending, err := n.m.Cancel(t.Context(), id); pending || err != nil {
			t.Fatalf("cancel: %v %v", pending, err)
		}
		if u, _ := n.m.Status(id); u.State != controlproto.StateCanceled || u.Detail != "Canceled" || string(u.ExtraData) != "null" {
			t.Errorf("after cancel %+v", u)
		}
	}
	if last := <-followed; last.State != controlproto.StateCanceled {
		t.Errorf("a stream ends with %+v", last)
	}
	n.restart()
	n.await(id, controlproto.StateCanceled)
}

func TestCancelWaiting(t *testing.T) {
	n, sup := newNode(t, "solo")
	sub, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "true"}, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Cancel(t.Context(), sub.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Write([]byte("x")); controlproto.CodeOf(err) != controlproto.Canceled {
		t.Errorf("payload of a cancelled unit: %v", err)
	}
	if _, err := sub.Start(t.Context()); controlproto.CodeOf(err) != controlproto.Canceled {
		t.Errorf("start of a cancelled unit: %v", err)
	}
	n.restart()
	n.await(sub.ID(), controlproto.StateCanceled)
	if sup.Starts(sub.ID()) != 0 {
		t.Error("it was started all the same")
	}
}

func TestRelease(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("sleep", "", "")
	n.await(id, controlproto.Running)
	ended := make(chan error, 1)
	go func() {
		_, err := n.m.Follow(context.Background(), id, FollowOptions{}, &collect{})
		ended <- err
	}()
	if pending, err := n.m.Release(t.Context(), id, false); pending || err != nil {
		t.Fatalf("release: %v %v", pending, err)
	}
	if err := <-ended; err != nil && controlproto.CodeOf(err) != controlproto.NotFound {
		t.Errorf("follower: %v", err)
	}
	if _, err := os.Stat(filepath.Join(n.c.Dir, id)); err == nil {
		t.Error("directory is still there")
	}
	for range 2 {
		if _, err := n.m.Release(t.Context(), id, false); controlproto.CodeOf(err) != controlproto.NotFound {
			t.Errorf("again: %v", err)
		}
	}
	if len(n.m.List()) != 0 {
		t.Errorf("still listed: %v", n.m.List())
	}
}

// A release that the daemon's end interrupts is finished by the next one, before
// and after the command has ended.
func TestReleaseOverRestart(t *testing.T) {
	n, sup := newNode(t, "solo")
	gate := make(chan struct{})
	sup.Programs["stubborn"] = func(context.Context, []string, io.Reader, io.Writer) int { <-gate; return 0 }
	n.stop()
	n.c.Types = append(n.c.Types, Command{WorkType: "stubborn", Command: "stubborn"})
	n.start()
	id := n.mustSubmit("stubborn", "", "")
	n.await(id, controlproto.Running)
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan error, 1)
	go func() {
		_, err := n.m.Release(ctx, id, false)
		released <- err
	}()
	until(t, "the release is noted", func() bool { return n.m.store.marked(id, fileRelease) })
	cancel()
	if err := <-released; err == nil {
		t.Error("released while its command runs")
	}
	n.stop()
	if _, err := os.Stat(filepath.Join(n.c.Dir, id)); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.await(id, controlproto.Running)
	close(gate)
	until(t, "the unit is gone", func() bool {
		_, err := os.Stat(filepath.Join(n.c.Dir, id))
		return err != nil && len(n.m.List()) == 0
	})

	id = n.mustSubmit("true", "", "")
	n.await(id, controlproto.Succeeded)
	n.stop()
	os.WriteFile(filepath.Join(n.c.Dir, id, fileRelease), nil, 0o600)
	n.start()
	until(t, "the ended unit is gone", func() bool { return len(n.m.List()) == 0 })
}

// Who follows a unit that is released in between is not told that this was all.
func TestFollowOfAReleasedUnit(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("cat", "", "what was said")
	n.await(id, controlproto.Succeeded)
	first := make(chan struct{})
	goOn := make(chan struct{})
	followed := make(chan error, 1)
	go func() {
		_, err := n.m.Follow(context.Background(), id, FollowOptions{}, &slowSink{first: first, goOn: goOn})
		followed <- err
	}()
	<-first
	if pending, err := n.m.Release(t.Context(), id, false); pending || err != nil {
		t.Fatalf("%v %v", pending, err)
	}
	close(goOn)
	if err := <-followed; controlproto.CodeOf(err) != controlproto.NotFound || !strings.Contains(err.Error(), "released before all") {
		t.Errorf("%v", err)
	}
}

// slowSink waits at the first status, before any output.
type slowSink struct {
	first, goOn chan struct{}
	collect
}

func (s *slowSink) Status(u controlproto.UnitStatus) error {
	if s.first != nil {
		close(s.first)
		s.first = nil
		<-s.goOn
	}
	return s.collect.Status(u)
}

func TestFollowLive(t *testing.T) {
	n, sup := newNode(t, "solo")
	lines := make(chan string)
	sup.Programs["cat"] = worktestLines(lines)
	id := n.mustSubmit("cat", "", "")
	var s collect
	ended := make(chan error, 1)
	go func() {
		_, err := n.m.Follow(context.Background(), id, FollowOptions{}, &s)
		ended <- err
	}()
	got := 0
	for range 5 {
		lines <- "line\n"
		got += 5
		sent := time.Now()
		until(t, "the line is here", func() bool { return s.len() == got })
		if d := time.Since(sent); d > followPoll*5 {
			t.Errorf("a line took %v", d)
		}
	}
	close(lines)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := s.out.String(); got != strings.Repeat("line\n", 5) {
		t.Errorf("got %q", got)
	}
	if last := s.states[len(s.states)-1]; last != "Succeeded exit status 0" {
		t.Errorf("states %v", s.states)
	}
}

func TestFollowDeletedOutput(t *testing.T) {
	n, sup := newNode(t, "solo")
	lines := make(chan string, 1)
	sup.Programs["cat"] = worktestLines(lines)
	id := n.mustSubmit("cat", "", "")
	lines <- "x"
	var s collect
	ended := make(chan error, 1)
	go func() {
		_, err := n.m.Follow(context.Background(), id, FollowOptions{}, &s)
		ended <- err
	}()
	until(t, "the follower has the output open", func() bool { return s.len() == 1 })
	os.Remove(filepath.Join(n.c.Dir, id, fileStdout))
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the stream goes on without a file")
	}
}
