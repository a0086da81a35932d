package work

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// stream creates and begins a streamed unit.
func (n *node) stream(workType, id string) *Submission {
	n.t.Helper()
	sub, err := n.m.Create(controlproto.Submit{Node: n.c.Node, WorkType: workType, UnitID: id, Stream: true}, Origin{})
	if err != nil {
		n.t.Fatal(err)
	}
	if !sub.Streams() {
		n.t.Fatal("it does not stream")
	}
	if err := sub.Begin(context.Background()); err != nil {
		n.t.Fatal(err)
	}
	return sub
}

func write(t testing.TB, sub *Submission, text string) {
	t.Helper()
	if _, err := io.WriteString(sub, text); err != nil {
		t.Fatal(err)
	}
}

func (n *node) finish(sub *Submission) {
	n.t.Helper()
	if done, err := sub.Start(context.Background()); err != nil || done.Result != controlproto.JobStarted {
		n.t.Fatalf("%+v %v", done, err)
	}
}

// awaitOutput waits until the command has written so much.
func (n *node) awaitOutput(id, want string) {
	n.t.Helper()
	until(n.t, "the output is "+want, func() bool { return n.file(id, fileStdout) == want })
}

func TestStream(t *testing.T) {
	n, _ := newNode(t, "solo")
	sub := n.stream("cat", "")
	id := sub.ID()
	n.await(id, controlproto.Running)
	for i, text := range []string{"one\n", "two\n", "three\n"} {
		write(t, sub, text)
		n.awaitOutput(id, strings.Join([]string{"one\n", "two\n", "three\n"}[:i+1], ""))
	}
	if u, _ := n.m.Status(id); u.State != controlproto.Running {
		t.Errorf("before the end: %+v", u)
	}
	n.finish(sub)
	if out, last := n.results(id, 0); out != "one\ntwo\nthree\n" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	if end := n.file(id, fileEnd); end != "14\n" {
		t.Errorf("stdin.end is %q", end)
	}
	n.restart()
	n.await(id, controlproto.Succeeded)
}

func TestStreamBreaks(t *testing.T) {
	n, sup := newNode(t, "solo")
	sub := n.stream("cat", "")
	write(t, sub, "half")
	n.awaitOutput(sub.ID(), "half")
	sub.Abort(errors.New("connection reset by peer"))
	u := n.await(sub.ID(), controlproto.Failed)
	if u.Detail != "Error reading input data: connection reset by peer" || u.StdoutSize != 4 || u.ExitCode != nil {
		t.Errorf("%+v", u)
	}
	n.restart()
	if u := n.await(sub.ID(), controlproto.Failed); u.Detail != "Error reading input data: connection reset by peer" {
		t.Errorf("after a restart: %+v", u)
	}

	// With a chosen id the submitter may come back, from where it was.
	sub = n.stream("cat", "Stream01")
	write(t, sub, "half ")
	sub.Abort(errors.New("connection reset by peer"))
	n.awaitOutput("Stream01", "half ")
	if u, _ := n.m.Status("Stream01"); u.State != controlproto.Running {
		t.Errorf("a stream that may go on: %+v", u)
	}
	sub = n.stream("cat", "Stream01")
	if sub.Received() != 5 {
		t.Errorf("received %d", sub.Received())
	}
	write(t, sub, "and half")
	n.finish(sub)
	if out, last := n.results("Stream01", 0); out != "half and half" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	again := n.stream("cat", "Stream01")
	if again.Received() != 13 {
		t.Errorf("repeated after the end: received %d", again.Received())
	}
	n.finish(again)
	if sup.Starts("Stream01") != 1 {
		t.Error("it was started again")
	}
}

// Two connections: the newer one counts.
func TestStreamTakenOver(t *testing.T) {
	n, _ := newNode(t, "solo")
	one := n.stream("cat", "Stream01")
	write(t, one, "one ")
	two := n.stream("cat", "Stream01")
	if _, err := one.Write([]byte("lost")); controlproto.CodeOf(err) != controlproto.Busy {
		t.Errorf("the older connection: %v", err)
	}
	one.Abort(errors.New("replaced"))
	write(t, two, "two")
	n.finish(two)
	if out, _ := n.results("Stream01", 0); out != "one two" {
		t.Errorf("%q", out)
	}
}

func TestStreamOverARestart(t *testing.T) {
	n, sup := newNode(t, "solo")
	lost, kept := n.stream("cat", ""), n.stream("cat", "Stream01")
	write(t, lost, "lost")
	write(t, kept, "kept ")
	n.awaitOutput(lost.ID(), "lost")
	n.awaitOutput(kept.ID(), "kept ")
	n.restart()
	if u := n.await(lost.ID(), controlproto.Failed); u.Detail != detailBroken || u.StdoutSize != 4 {
		t.Errorf("%+v", u)
	}
	if u, _ := n.m.Status("Stream01"); u.State != controlproto.Running {
		t.Errorf("%+v", u)
	}
	sub := n.stream("cat", "Stream01")
	if sub.Received() != 5 {
		t.Errorf("received %d", sub.Received())
	}
	write(t, sub, "on")
	n.restart()
	sub = n.stream("cat", "Stream01")
	n.finish(sub)
	if out, last := n.results("Stream01", 0); out != "kept on" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	if sup.Starts("Stream01") != 1 {
		t.Error("it was started again")
	}
}

// A command that ends by itself did not want the rest.
func TestStreamNotWanted(t *testing.T) {
	n, _ := newNode(t, "solo")
	sub := n.stream("true", "")
	n.await(sub.ID(), controlproto.Succeeded)
	write(t, sub, "who reads this?")
	n.finish(sub)
	if u, _ := n.m.Status(sub.ID()); u.State != controlproto.Succeeded {
		t.Errorf("%+v", u)
	}
	if in := n.file(sub.ID(), fileStdin); in != "" {
		t.Errorf("stored %q", in)
	}
}

func TestStreamCancelledAndReleased(t *testing.T) {
	n, _ := newNode(t, "solo")
	sub := n.stream("cat", "")
	n.await(sub.ID(), controlproto.Running)
	if _, err := n.m.Cancel(t.Context(), sub.ID()); err != nil {
		t.Fatal(err)
	}
	n.await(sub.ID(), controlproto.StateCanceled)
	if _, err := sub.Write([]byte("x")); controlproto.CodeOf(err) != controlproto.Canceled {
		t.Errorf("write: %v", err)
	}
	if _, err := sub.Start(t.Context()); controlproto.CodeOf(err) != controlproto.Canceled {
		t.Errorf("start: %v", err)
	}
	sub = n.stream("cat", "")
	n.await(sub.ID(), controlproto.Running)
	if _, err := n.m.Release(t.Context(), sub.ID(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Write([]byte("x")); err == nil {
		t.Error("a released unit takes payload")
	}
	sub.Abort(errors.New("done"))
	if len(n.m.List()) != 1 {
		t.Errorf("%v", n.m.List())
	}
}
