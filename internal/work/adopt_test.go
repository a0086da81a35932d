package work

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// second starts another controller of the same executor.
func (l *link) second(t testing.TB, name string) (*node, *link) {
	other := newLink(t, l.ours, l.serve)
	n, _ := newNode(t, name, func(c *Config) { c.Dial = other.dial })
	return n, other
}

// Two controllers stand for one unit; either may release it first. The other
// sees it cancelled, or gone if it had no connection meanwhile.
func TestAdopt(t *testing.T) {
	for _, first := range []string{"the submitter", "the adopter", "the submitter, unseen", "the adopter, unseen"} {
		t.Run(first+" releases first", func(t *testing.T) {
			first, unseen := strings.CutSuffix(first, ", unseen")
			p := newPair(t)
			lines := make(chan string)
			p.sup.Programs["cat"] = worktestLines(lines)
			id := p.mustHand(t, "cat", "")
			lines <- "before\n"
			p.foo.await(id, controlproto.Running)
			baz, l := p.link.second(t, "baz")
			q := controlproto.Adopt{Node: "bar", UnitID: p.far(id)}
			var ids [4]string
			var wg sync.WaitGroup
			for i := range ids {
				wg.Go(func() {
					var err error
					if ids[i], err = baz.m.Adopt(t.Context(), q, anyType); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			l.cut()
			again, err := baz.m.Adopt(t.Context(), q, anyType) // known already, so nobody is asked
			l.mend()
			if err != nil || ids[0] == "" || again != ids[0] || ids[1] != ids[0] || ids[2] != ids[0] || ids[3] != ids[0] || len(baz.m.List()) != 1 {
				t.Fatalf("adopted as %v and %s, %v", ids, again, err)
			}
			baz.restart()
			lines <- "after\n"
			until(t, "output from the start is here", func() bool { return baz.file(ids[0], fileStdout) == "before\nafter\n" })
			if u, _ := baz.m.Status(ids[0]); u.WorkType != "remote" || !strings.Contains(string(u.ExtraData), `"RemoteWorkType":"cat"`) {
				t.Errorf("%+v", u)
			}
			one, two, onesID, twosID, others := p.foo, baz, id, ids[0], l
			if first == "the adopter" {
				one, two, onesID, twosID, others = baz, p.foo, ids[0], id, p.link
			}
			state, detail := controlproto.StateCanceled, "Canceled"
			if unseen {
				others.cut()
				state, detail = controlproto.Failed, "Remote work unit is gone"
			}
			if pending, err := one.m.Release(t.Context(), onesID, false); pending || err != nil {
				t.Errorf("%v %v", pending, err)
			}
			others.mend()
			if u := two.await(twosID, state); u.Detail != detail {
				t.Errorf("%+v", u)
			}
			if pending, err := two.m.Release(t.Context(), twosID, false); pending || err != nil {
				t.Errorf("%v %v", pending, err)
			}
			if n := len(p.foo.m.List()) + len(p.bar.m.List()) + len(baz.m.List()); n != 0 {
				t.Errorf("%d units are left", n)
			}
			p.wantStarts(t, 1)
		})
	}
}

// A unit that has ended is adopted with its end and its output, and stays when
// the executor's is released later.
func TestAdoptEnded(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "cat", "hello\n")
	p.foo.await(id, controlproto.Succeeded)
	baz, _ := p.link.second(t, "baz")
	mine, err := baz.m.Adopt(t.Context(), controlproto.Adopt{Node: "bar", UnitID: p.far(id)}, anyType)
	if err != nil {
		t.Fatal(err)
	}
	if out, last := baz.results(mine, 0); out != "hello\n" || last.State != controlproto.Succeeded || last.Detail != "exit status 0" {
		t.Errorf("%q %+v", out, last)
	}
	if pending, err := p.foo.m.Release(t.Context(), id, false); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	baz.restart()
	if out, last := baz.results(mine, 0); out != "hello\n" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	if pending, err := baz.m.Release(t.Context(), mine, false); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
}

func TestAdoptCancel(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "sleep", "")
	p.foo.await(id, controlproto.Running)
	baz, _ := p.link.second(t, "baz")
	mine, err := baz.m.Adopt(t.Context(), controlproto.Adopt{Node: "bar", UnitID: p.far(id)}, anyType)
	if err != nil {
		t.Fatal(err)
	}
	if pending, err := baz.m.Cancel(t.Context(), mine); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	baz.await(mine, controlproto.StateCanceled)
	p.foo.await(id, controlproto.StateCanceled)
}

func TestAdoptFromVersion1(t *testing.T) {
	p := newPeer1()
	p.known = true
	p.set(controlproto.Running, "Running: PID 42", "so far\n")
	foo, l := newMixed(t, p, func(c *Config) {
		c.Keys.Sign = func(k sign.Claims) (string, error) { return "token for " + k.Node, nil }
	})
	id, err := foo.m.Adopt(t.Context(), controlproto.Adopt{Node: "bar", UnitID: "RemUnit1", SignWork: true}, anyType)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := foo.m.Adopt(t.Context(), controlproto.Adopt{Node: "bar", UnitID: "RemUnit1"}, anyType); again != id || err != nil {
		t.Errorf("%s %v", again, err)
	}
	foo.awaitThat(id, "mirrored", func(u controlproto.UnitStatus) bool {
		return u.Detail == "Running: PID 42" && u.StdoutSize == 7
	})
	p.set(controlproto.Failed, "exit status 5", "so far\nand on\n")
	if out, last := foo.results(id, 0); out != "so far\nand on\n" || last.State != controlproto.Failed || last.ExitCode == nil || *last.ExitCode != 5 {
		t.Errorf("%q %+v", out, last)
	}
	if pending, err := foo.m.Release(t.Context(), id, false); pending || err != nil {
		t.Errorf("%v %v", pending, err)
	}
	if p.submits != 0 || l.open() != 0 {
		t.Errorf("%d submissions, %d connections", p.submits, l.open())
	}
	if s := p.lines(); !strings.Contains(s, `"signature":"token for bar","startpos":0`) || strings.Contains(s, `"signature":"token for bar","subcommand":"status"`) {
		t.Errorf("asked\n%s", s)
	}
}

func TestAdoptRefused(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "sleep", "")
	baz, l := p.link.second(t, "baz")
	far := p.far(id)
	other := "00000000"
	for _, tt := range []struct {
		q    controlproto.Adopt
		code controlproto.Code
		want string
	}{
		{controlproto.Adopt{Node: "bar", UnitID: other}, controlproto.NotFound, "node bar has no work unit " + other},
		{controlproto.Adopt{Node: "baz", UnitID: far}, controlproto.Invalid, "of this node"},
		{controlproto.Adopt{Node: "LocalHost", UnitID: far}, controlproto.Invalid, "of this node"},
		{controlproto.Adopt{UnitID: far}, controlproto.Invalid, "requires a target node"},
		{controlproto.Adopt{Node: "bar", UnitID: "a b"}, controlproto.Invalid, "unitid must be 8 characters"},
		{controlproto.Adopt{Node: "bar", UnitID: far, TLSClient: "nosuch"}, controlproto.NotFound, "unknown TLS config nosuch"},
		{controlproto.Adopt{Node: "bar", UnitID: far, SignWork: true}, controlproto.Denied, "signing key is empty"},
	} {
		_, err := baz.m.Adopt(t.Context(), tt.q, anyType)
		if controlproto.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s %s", tt.q, err, tt.code, tt.want)
		}
	}
	l.cut()
	_, err := baz.m.Adopt(t.Context(), controlproto.Adopt{Node: "bar", UnitID: far}, anyType)
	if controlproto.CodeOf(err) != controlproto.Unreachable || !strings.Contains(err.Error(), "node bar cannot be reached: no route to node; try again") {
		t.Errorf("%v", err)
	}
	if n := len(baz.m.List()); n != 0 {
		t.Errorf("%d units were made", n)
	}
	entries, _ := os.ReadDir(baz.c.Dir)
	for _, e := range entries {
		if validID(e.Name()) {
			t.Errorf("%s is left", filepath.Join(baz.c.Dir, e.Name()))
		}
	}
}

// A node that never answers is not waited for without end.
func TestAdoptIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := newNode(t, "foo", func(c *Config) {
			c.Dial = func(ctx context.Context, _, _ string) (io.ReadWriteCloser, bool, error) {
				<-ctx.Done()
				return nil, false, ctx.Err()
			}
		})
		n.m.watch.close() // waiting for inotify would hold the clock
		_, err := n.m.Adopt(t.Context(), controlproto.Adopt{Node: "bar", UnitID: "Abcdefgh"}, anyType)
		if controlproto.CodeOf(err) != controlproto.Unreachable || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%v", err)
		}
	})
}

// A search for the unit that stands for another one looks into units that are
// just being handed to their drivers. That was once a deadlock of the whole Manager.
func TestAdoptWhileUnitsAreDriven(t *testing.T) {
	n, _ := newNode(t, "foo")
	id, _, err := n.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "")
	if err != nil {
		t.Fatal(err)
	}
	u, err := n.m.unit(id)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20_000
	done := make(chan struct{}, 2)
	go func() { // ends after the rounds
		for range rounds {
			n.m.standsFor(controlproto.Adopt{Node: "bar", UnitID: "Far00001"})
		}
		done <- struct{}{}
	}()
	go func() { // ends after the rounds
		for range rounds {
			u.mu.Lock()
			n.m.goes(func() {}) // as driveLocked does
			u.mu.Unlock()
		}
		done <- struct{}{}
	}()
	// Run could not be stopped either, so a failed test would hang.
	defer time.AfterFunc(patience, func() { panic("units cannot be looked at any more") }).Stop()
	<-done
	<-done
}

// anyType allows to adopt units of all work types.
func anyType(string) error { return nil }
