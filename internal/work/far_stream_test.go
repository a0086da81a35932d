package work

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

func (p *peer2) await(id, what string, ok func(farUnit) bool) farUnit {
	p.t.Helper()
	var u farUnit
	until(p.t, what, func() bool {
		u, _ = p.unit(id)
		return ok(u)
	})
	return u
}

// Input and output flow at the same time, over cuts and a restart of the
// controller; the command is started once and misses nothing.
func TestStreamedPayload(t *testing.T) {
	p := newPeer2(t)
	foo, l := newStreaming(t, p)
	s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01", Stderr: controlproto.StderrSeparate})
	id := s.u.id
	foo.await(id, controlproto.Running)
	far := s.u.remoteID()
	want := ""
	step := func(text string) {
		t.Helper()
		want += text
		s.write(text)
		until(t, text+" came back", func() bool { return foo.file(id, fileStdout) == want })
	}
	step("one\n")
	p.update(far, func(u *farUnit) { u.stderr = append(u.stderr, "oops 1\n"...) })
	until(t, "error output is here", func() bool { return foo.file(id, fileStderr) == "oops 1\n" })
	l.cut()
	s.write("two\n")
	want += "two\n"
	l.mend()
	step("three\n")
	p.update(far, func(u *farUnit) { u.stderr = append(u.stderr, "oops 2\n"...) })
	foo.stop()
	p.update(far, func(u *farUnit) { u.stderr = append(u.stderr, "oops 3\n"...) })
	foo.start()
	s.again()
	step(strings.Repeat("four\n", 100_000))
	s.end()
	p.await(far, "the payload is complete", func(u farUnit) bool { return u.fed })
	if u, _ := foo.m.Status(id); u.State != controlproto.Running {
		t.Errorf("%+v", u)
	}
	p.end(far, controlproto.Failed, "exit status 3", 3)
	u := foo.await(id, controlproto.Failed)
	if u.ExitCode == nil || *u.ExitCode != 3 || u.StdoutSize != int64(len(want)) || u.StderrSize == nil || *u.StderrSize != 21 || u.Ended.IsZero() {
		t.Errorf("%+v", u)
	}
	if got := foo.file(id, fileStdout); got != want {
		t.Errorf("%d bytes of output, want %d", len(got), len(want))
	}
	if got := foo.file(id, fileStderr); got != "oops 1\noops 2\noops 3\n" {
		t.Errorf("error output %q", got)
	}
	if n := p.startsSoFar(); n != 1 {
		t.Errorf("started %d times", n)
	}
	if q := p.submits[0]; !q.Stream || q.Stderr != controlproto.StderrSeparate {
		t.Errorf("submitted %+v", q)
	}
	until(t, "no connection is left", func() bool { return l.open() == 0 })
	foo.restart()
	if again, _ := foo.m.Status(id); again.ExitCode == nil || *again.ExitCode != 3 || *again.StderrSize != 21 || !again.Ended.Equal(u.Ended) {
		t.Errorf("after a restart %+v", again)
	}
}

// A connection breaks after every so many bytes, in whatever direction.
func TestStreamedCutAnywhere(t *testing.T) {
	for budget := int64(0); budget < 2500; budget += 113 {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			t.Parallel()
			p := newPeer2(t)
			foo, l := newStreaming(t, p)
			l.mu.Lock()
			l.budget = budget
			l.mu.Unlock()
			s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01"})
			want := ""
			for i := range 20 {
				line := fmt.Sprintf("line %d of the payload\n", i)
				want += line
				s.write(line)
				if i == 10 {
					until(t, "half of it is back", func() bool { return strings.Contains(foo.file(s.u.id, fileStdout), "line 9 ") })
				}
			}
			s.end()
			far := s.u.remoteID()
			p.await(far, "the payload is complete", func(u farUnit) bool { return u.fed })
			p.end(far, controlproto.Succeeded, "exit status 0", 0)
			if u := foo.await(s.u.id, controlproto.Succeeded); u.StdoutSize != int64(len(want)) {
				t.Errorf("%+v", u)
			}
			if got := foo.file(s.u.id, fileStdout); got != want {
				t.Errorf("got %q", got)
			}
			if n := p.startsSoFar(); n != 1 {
				t.Errorf("started %d times", n)
			}
		})
	}
}

// A streamed unit that its executor does not know any more is not submitted
// again: that would start its work a second time.
func TestStreamedUnitIsNotStartedTwice(t *testing.T) {
	p := newPeer2(t)
	foo, l := newStreaming(t, p)
	s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01"})
	foo.await(s.u.id, controlproto.Running)
	s.write("something\n")
	until(t, "it came back", func() bool { return foo.m.store.size(s.u.id, fileStdout) > 0 })
	l.cut()
	p.mu.Lock()
	clear(p.units) // the node was rebuilt
	p.mu.Unlock()
	s.write("more\n")
	l.mend()
	if u := foo.await(s.u.id, controlproto.Failed); u.Detail != detailGone {
		t.Errorf("%+v", u)
	}
	if n := p.startsSoFar(); n != 1 {
		t.Errorf("started %d times", n)
	}
	if pending, err := foo.m.Release(t.Context(), s.u.id, false); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
}

func TestReleaseWhileStreaming(t *testing.T) {
	for _, cut := range []bool{false, true} {
		p := newPeer2(t)
		foo, l := newStreaming(t, p)
		s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01"})
		foo.await(s.u.id, controlproto.Running)
		s.write("something\n")
		until(t, "it came back", func() bool { return foo.m.store.size(s.u.id, fileStdout) > 0 })
		if cut {
			l.cut()
		}
		pending, err := foo.m.Release(t.Context(), s.u.id, false)
		if pending != cut || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		l.mend()
		until(t, "both nodes are clean", func() bool {
			_, err := os.Stat(filepath.Join(foo.c.Dir, s.u.id))
			_, known := p.unit(s.u.remoteID())
			return err != nil && !known
		})
		until(t, "no connection is left", func() bool { return l.open() == 0 })
	}
}

func TestCancelWhileStreaming(t *testing.T) {
	p := newPeer2(t)
	foo, l := newStreaming(t, p)
	s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01"})
	foo.await(s.u.id, controlproto.Running)
	s.write("something\n")
	if pending, err := foo.m.Cancel(t.Context(), s.u.id); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	u := foo.await(s.u.id, controlproto.StateCanceled)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if last, err := foo.m.Follow(ctx, s.u.id, FollowOptions{}, &collect{}); err != nil || last.State != controlproto.StateCanceled {
		t.Errorf("results of a cancelled unit: %+v %v (%+v)", last, err, u)
	}
	until(t, "no connection is left", func() bool { return l.open() == 0 })
}

// A node of ansible/receptor gets a streamed unit when its payload is complete.
func TestStreamToVersion1(t *testing.T) {
	p := newPeer1()
	foo, l := newMixed(t, p)
	s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "echo", Stderr: controlproto.StderrSeparate})
	foo.awaitThat(s.u.id, "waiting", func(u controlproto.UnitStatus) bool {
		return u.State == controlproto.Pending && strings.Contains(u.Detail, "node bar cannot read a payload while it is sent")
	})
	s.write("one\n")
	s.write("two\n")
	if p.submits != 0 || l.open() != 0 {
		t.Errorf("%d submissions, %d connections", p.submits, l.open())
	}
	s.end()
	until(t, "the payload is there", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.payloads) == 1 && p.payloads[0] == "one\ntwo\n"
	})
	p.set(controlproto.Failed, "exit status 7", "out\n")
	u := foo.await(s.u.id, controlproto.Failed)
	if u.Detail != "exit status 7" || u.ExitCode == nil || *u.ExitCode != 7 || u.StderrSize != nil {
		t.Errorf("%+v", u)
	}
}

// A unit that waits for the end of its payload can be cancelled, and expires.
func TestStreamToVersion1Ends(t *testing.T) {
	p := newPeer1()
	foo, _ := newMixed(t, p)
	s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "echo"})
	foo.awaitThat(s.u.id, "waiting", func(u controlproto.UnitStatus) bool { return strings.Contains(u.Detail, "cannot read") })
	if pending, err := foo.m.Cancel(t.Context(), s.u.id); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	if u := foo.await(s.u.id, controlproto.Failed); u.Detail != "Locally Cancelled" {
		t.Errorf("%+v", u)
	}
	s = foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "echo", TTL: "50ms"})
	if u := foo.await(s.u.id, controlproto.Failed); !strings.HasPrefix(u.Detail, "Work unit expired on ") {
		t.Errorf("%+v", u)
	}
	if p.submits != 0 {
		t.Errorf("%d submissions", p.submits)
	}
}

// The disk of the executor is full in the middle of a payload.
func TestPayloadThatCannotBeHandedOn(t *testing.T) {
	p := newPeer2(t)
	foo, l := newStreaming(t, p)
	s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01"})
	foo.await(s.u.id, controlproto.Running)
	p.refuses("submit", controlproto.New(controlproto.Internal, "store the payload: no space left on device"))
	l.cut()
	l.mend()
	s.write("one\n")
	foo.awaitThat(s.u.id, "stuck", func(u controlproto.UnitStatus) bool {
		return u.State == controlproto.Running && strings.HasSuffix(u.Detail, " (the payload cannot be handed on: store the payload: no space left on device)")
	})
	l.cut()
	p.refuses("submit", nil)
	l.mend()
	foo.awaitThat(s.u.id, "going on", func(u controlproto.UnitStatus) bool { return u.Detail == "Running: PID 1" && u.StdoutSize == 4 })
}

// The controller is killed while a payload is streamed, before the unit's status
// was saved: the rest of the payload never comes, and the executor's unit, which
// the receipt alone knows of, is not left behind.
func TestStreamLostWithItsController(t *testing.T) {
	for _, saved := range []bool{false, true} {
		p := newPeer2(t)
		foo, l := newStreaming(t, p)
		s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "cat"})
		foo.await(s.u.id, controlproto.Running)
		far := s.u.remoteID()
		foo.stop()
		if !saved {
			os.Remove(filepath.Join(foo.c.Dir, s.u.id, fileStatus))
		}
		foo.start()
		u := foo.awaitThat(s.u.id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
		if u.State != controlproto.Failed || u.Detail != detailBroken {
			t.Errorf("%+v", u)
		}
		until(t, "the executor's unit does not run", func() bool {
			u, known := p.unit(far)
			return !known || u.st.State.Ended()
		})
		if pending, err := foo.m.Release(t.Context(), s.u.id, false); pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		until(t, "both nodes are clean", func() bool { _, known := p.unit(far); return !known })
		until(t, "no connection is left", func() bool { return l.open() == 0 })
	}
}

// The rest of a streamed payload never comes, but its command had ended by itself
// before the executor was told: that is how the unit ends, as it does on one node.
func TestStreamThatDidNotWantTheRest(t *testing.T) {
	broke := map[string]func(foo *node, s *streamer){
		"the controller is restarted": func(foo *node, _ *streamer) { foo.stop(); foo.start() },
		"the submitter goes away":     func(_ *node, s *streamer) { s.sub.Abort(errors.New("gone")) },
	}
	for name, brk := range broke {
		for code, state := range []controlproto.State{controlproto.Succeeded, controlproto.Failed} {
			t.Run(fmt.Sprint(name, ", ", state), func(t *testing.T) {
				p := newPeer2(t)
				foo, l := newStreaming(t, p)
				s := foo.streamTo(controlproto.Submit{Node: "bar", WorkType: "head"})
				foo.await(s.u.id, controlproto.Running)
				l.cut()
				p.end(s.u.remoteID(), state, fmt.Sprint("exit status ", code), code)
				brk(foo, s)
				l.mend()
				u := foo.awaitThat(s.u.id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
				if u.State != state || u.Detail != fmt.Sprint("exit status ", code) || u.ExitCode == nil || *u.ExitCode != code {
					t.Errorf("%+v", u)
				}
			})
		}
	}
}
