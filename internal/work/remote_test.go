package work

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/worktest"
)

// pair is a controller foo and an executor bar, both ours.
type pair struct {
	foo, bar *node
	sup      *worktest.Supervisor // of bar
	link     *link
}

func newPair(t testing.TB) *pair {
	p := &pair{}
	p.bar, p.sup = newNode(t, "bar")
	p.link = newLink(t, true, serveV2(p.bar, "foo"))
	p.foo, _ = newNode(t, "foo", func(c *Config) { c.Dial = p.link.dial })
	return p
}

// hand submits work for bar on foo.
func (p *pair) hand(workType, params, payload string) (id, result string, err error) {
	s := controlproto.Submit{Node: "bar", WorkType: workType}
	if params != "" {
		s.Params = map[string]string{"params": params}
	}
	return p.foo.submit(s, payload)
}

func (p *pair) mustHand(t testing.TB, workType, payload string) string {
	t.Helper()
	id, result, err := p.hand(workType, "", payload)
	if err != nil || result != controlproto.JobStarted {
		t.Fatalf("submit: %q %v", result, err)
	}
	return id
}

// far is the id of a unit on bar.
func (p *pair) far(id string) string {
	u, err := p.foo.m.unit(id)
	if err != nil {
		p.foo.t.Fatal(err)
	}
	return u.remoteID()
}

func (p *pair) wantStarts(t *testing.T, want int) {
	t.Helper()
	n := 0
	for _, s := range p.sup.AllStarts() {
		n += s
	}
	if n != want {
		t.Errorf("%d programs were started, want %d", n, want)
	}
}

func TestRemoteUnit(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "cat", "hello\n")
	out, last := p.foo.results(id, 0)
	if out != "hello\n" || last.State != controlproto.Succeeded || last.Detail != "exit status 0" || last.StdoutSize != 6 {
		t.Errorf("%q %+v", out, last)
	}
	far := p.far(id)
	want := fmt.Sprintf(`{"State":2,"Detail":"exit status 0","StdoutSize":6,"WorkType":"remote","ExtraData":{"RemoteNode":"bar","RemoteWorkType":"cat","RemoteParams":{},"RemoteUnitID":"%s","RemoteStarted":true,"LocalCancelled":false,"LocalReleased":false,"SignWork":false,"TLSClient":"","Expiration":"0001-01-01T00:00:00Z"}`, far)
	until(t, "the status file has the end", func() bool { return strings.HasPrefix(p.foo.file(id, fileStatus), want) })
	if last.Ended.IsZero() {
		t.Errorf("no time of the end: %+v", last)
	}
	if pending, err := p.foo.m.Release(t.Context(), id, false); pending || err != nil {
		t.Fatalf("release: %v %v", pending, err)
	}
	for _, dir := range []string{filepath.Join(p.foo.c.Dir, id), filepath.Join(p.bar.c.Dir, far)} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	if p.link.open() != 0 {
		t.Errorf("%d connections left", p.link.open())
	}
}

func TestRemoteRefused(t *testing.T) {
	p := newPair(t)
	for _, tt := range []struct{ workType, params, want string }{
		{"nosuch", "", "could not parse response: ERROR: unknown work type nosuch"},
		{"cat", "-n", "could not parse response: ERROR: extra params provided but not allowed"},
		{"signed", "", "could not parse response: ERROR: could not verify signature: signature is empty"},
	} {
		id, _, err := p.hand(tt.workType, tt.params, "data")
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.workType, err, tt.want)
		}
		u := p.foo.await(id, controlproto.Failed)
		if u.Detail != "Error starting worker: "+tt.want || !strings.Contains(string(u.ExtraData), `"RemoteUnitID":""`) {
			t.Errorf("%+v", u)
		}
		if _, err := os.Stat(filepath.Join(p.foo.c.Dir, id, fileStdout)); err == nil {
			t.Error("a unit that never started has an output")
		}
	}
	if n := len(p.bar.m.List()); n != 0 {
		t.Errorf("%d units on bar", n)
	}
}

func TestRemoteSignedWithoutKey(t *testing.T) {
	p := newPair(t)
	id, _, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "true", SignWork: true}, "")
	if err == nil || err.Error() != "cannot sign work: signing key is empty" {
		t.Errorf("%v", err)
	}
	p.foo.await(id, controlproto.Failed)
}

// Work for a node that cannot be reached waits, also over a restart of the
// controller, and is then done once.
func TestRemoteWaits(t *testing.T) {
	p := newPair(t)
	p.link.cut()
	id, result, err := p.hand("cat", "", "late\n")
	if err != nil || result != controlproto.JobSubmitted {
		t.Fatalf("%q %v", result, err)
	}
	if u, _ := p.foo.m.Status(id); u.State != controlproto.Pending || u.Detail != "Starting Worker" {
		t.Errorf("%+v", u)
	}
	p.foo.restart()
	p.link.mend()
	if out, last := p.foo.results(id, 0); out != "late\n" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	p.wantStarts(t, 1)
}

// Wherever a connection breaks, the work is done once and its output is whole.
func TestRemoteCutAnywhere(t *testing.T) {
	payload := strings.Repeat("0123456789abcdef", 40)
	for budget := int64(0); budget < 2200; budget += 97 {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.link.mu.Lock()
			p.link.budget = budget
			p.link.mu.Unlock()
			id, _, err := p.hand("cat", "", payload)
			if err != nil {
				t.Fatal(err)
			}
			if out, last := p.foo.results(id, 0); out != payload || last.State != controlproto.Succeeded {
				t.Errorf("%d bytes, %+v", len(out), last)
			}
			p.wantStarts(t, 1)
			if n := len(p.bar.m.List()); n != 1 {
				t.Errorf("%d units on bar", n)
			}
		})
	}
}

func TestRemoteFollowOverCuts(t *testing.T) {
	p := newPair(t)
	lines := make(chan string)
	p.sup.Programs["cat"] = worktestLines(lines)
	id := p.mustHand(t, "cat", "")
	var s collect
	ended := make(chan error, 1)
	go func() {
		_, err := p.foo.m.Follow(context.Background(), id, FollowOptions{}, &s)
		ended <- err
	}()
	want := ""
	step := func(i int) {
		line := fmt.Sprintf("line %d\n", i)
		want += line
		lines <- line
	}
	step(0)
	until(t, "output is here", func() bool { return s.len() == len(want) })
	if u, _ := p.foo.m.Status(id); u.State != controlproto.Running || u.StdoutSize != int64(len(want)) {
		t.Errorf("%+v", u)
	}
	p.link.cut()
	step(1)
	p.link.mend()
	until(t, "output is here after a cut", func() bool { return s.len() == len(want) })
	p.foo.stop() // ends the follower as well
	if err := <-ended; err == nil {
		t.Error("a follower outlived the daemon")
	}
	step(2)
	p.foo.start()
	s = collect{}
	go func() {
		_, err := p.foo.m.Follow(context.Background(), id, FollowOptions{}, &s)
		ended <- err
	}()
	until(t, "output is here after a restart of the controller", func() bool { return s.len() == len(want) })
	p.link.cut()
	p.bar.restart()
	p.link.mend()
	step(3)
	close(lines)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := s.out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.wantStarts(t, 1)
}

func TestRemoteCancel(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "sleep", "")
	p.foo.await(id, controlproto.Running)
	for range 2 {
		if pending, err := p.foo.m.Cancel(t.Context(), id); pending || err != nil {
			t.Fatalf("%v %v", pending, err)
		}
		u := p.foo.await(id, controlproto.StateCanceled)
		if u.Detail != "Canceled" || !strings.Contains(string(u.ExtraData), `"LocalCancelled":true`) {
			t.Errorf("%+v", u)
		}
	}
	p.bar.await(p.far(id), controlproto.StateCanceled)
	p.foo.restart()
	p.foo.await(id, controlproto.StateCanceled)
}

func TestRemoteCancelPending(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newPair(t)
		id := p.mustHand(t, "sleep", "")
		p.foo.await(id, controlproto.Running)
		p.link.cut()
		if pending, err := p.foo.m.Cancel(t.Context(), id); !pending || err != nil {
			t.Fatalf("%v %v", pending, err)
		}
		if restart {
			p.foo.restart()
		}
		p.link.mend()
		p.foo.await(id, controlproto.StateCanceled)
		p.bar.await(p.far(id), controlproto.StateCanceled)
	}
}

func TestRemoteCancelNotStarted(t *testing.T) {
	p := newPair(t)
	p.link.cut()
	id, _, _ := p.hand("true", "", "")
	if pending, err := p.foo.m.Cancel(t.Context(), id); pending || err != nil {
		t.Fatalf("%v %v", pending, err)
	}
	if u := p.foo.await(id, controlproto.Failed); u.Detail != "Locally Cancelled" {
		t.Errorf("%+v", u)
	}
	p.link.mend()
	p.foo.restart()
	if u := p.foo.await(id, controlproto.Failed); u.Detail != "Locally Cancelled" {
		t.Errorf("%+v", u)
	}
	if pending, err := p.foo.m.Release(t.Context(), id, false); pending || err != nil {
		t.Fatalf("%v %v", pending, err)
	}
	p.wantStarts(t, 0)
}

func TestRemoteReleasePending(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newPair(t)
		id := p.mustHand(t, "sleep", "")
		p.foo.await(id, controlproto.Running)
		p.link.cut()
		for range 2 {
			if pending, err := p.foo.m.Release(t.Context(), id, false); !pending || err != nil {
				t.Fatalf("%v %v", pending, err)
			}
		}
		if _, err := p.foo.m.Status(id); err != nil {
			t.Errorf("it is listed until the other node has agreed: %v", err)
		}
		if restart {
			p.foo.restart()
		}
		p.link.mend()
		until(t, "both are gone", func() bool { return len(p.foo.m.List()) == 0 && len(p.bar.m.List()) == 0 })
		if _, err := os.Stat(filepath.Join(p.foo.c.Dir, id)); err == nil {
			t.Error("directory left")
		}
	}
}

func TestRemoteForceRelease(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "sleep", "")
	p.link.cut()
	if pending, err := p.foo.m.Release(t.Context(), id, true); pending || err != nil {
		t.Fatalf("%v %v", pending, err)
	}
	if len(p.foo.m.List()) != 0 {
		t.Error("still listed")
	}
	p.foo.stop() // returns: nobody drives it any more
}

func TestRemoteGone(t *testing.T) {
	p := newPair(t)
	id := p.mustHand(t, "sleep", "")
	p.foo.await(id, controlproto.Running)
	p.link.cut()
	if _, err := p.bar.m.Release(t.Context(), p.far(id), false); err != nil {
		t.Fatal(err)
	}
	p.link.mend()
	if u := p.foo.await(id, controlproto.Failed); u.Detail != "Remote work unit is gone" {
		t.Errorf("%+v", u)
	}
	if _, err := p.foo.m.Cancel(t.Context(), id); err != nil {
		t.Errorf("cancel of a gone unit: %v", err)
	}
	if pending, err := p.foo.m.Release(t.Context(), id, false); pending || err != nil {
		t.Errorf("release of a gone unit: %v %v", pending, err)
	}
}

func TestRemoteExpires(t *testing.T) {
	p := newPair(t)
	p.link.cut()
	for _, ttl := range []string{"30ms", "-5s"} {
		id, result, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "true", TTL: ttl}, "")
		if err != nil || result != controlproto.JobSubmitted {
			t.Errorf("%q %v", result, err)
		}
		u := p.foo.await(id, controlproto.Failed)
		at, ok := strings.CutPrefix(u.Detail, "Work unit expired on ")
		if _, err := time.Parse("Mon Jan 2 15:04:05", at); !ok || err != nil {
			t.Errorf("%+v", u)
		}
	}
	p.link.mend()
	id, _, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "true", TTL: "1h"}, "")
	if err != nil {
		t.Fatal(err)
	}
	p.foo.await(id, controlproto.Succeeded)
	p.wantStarts(t, 1)
}

// An id that somebody else has on the executor is not taken over.
func TestSubmitterIDs(t *testing.T) {
	p := newPair(t)
	q := controlproto.Submit{Node: "bar", WorkType: "cat", UnitID: "Chosen01"}
	sub, err := p.bar.m.Create(q, Origin{Node: "eve"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.bar.m.Create(q, Origin{Node: "foo"}); controlproto.CodeOf(err) != controlproto.Exists {
		t.Errorf("another submitter: %v", err)
	}
	io.WriteString(sub, "half")
	again, err := p.bar.m.Create(q, Origin{Node: "eve"})
	if err != nil || again.Received() != 4 {
		t.Fatalf("the same submitter: %v", err)
	}
	if _, err := io.WriteString(sub, "x"); controlproto.CodeOf(err) != controlproto.Busy {
		t.Errorf("the first connection goes on: %v", err)
	}
	sub.Abort(io.ErrUnexpectedEOF)
	p.bar.restart()
	if again, err = p.bar.m.Create(q, Origin{Node: "eve"}); err != nil || again.Received() != 4 {
		t.Fatalf("after a restart: %v", err)
	}
	io.WriteString(again, "whole")
	if _, err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, _ := p.bar.results("Chosen01", 0); out != "halfwhole" {
		t.Errorf("%q", out)
	}
	third, err := p.bar.m.Create(q, Origin{Node: "eve"})
	if err != nil || third.Received() != 9 {
		t.Fatalf("repeat of a finished one: %v", err)
	}
	if done, err := third.Start(t.Context()); err != nil || done.Result != controlproto.JobStarted {
		t.Errorf("%+v %v", done, err)
	}
	p.wantStarts(t, 1)
}

func TestRemoteSecrets(t *testing.T) {
	p := newPair(t)
	p.foo.stop()
	p.foo.c.CheckTLSClient = func(string) error { return nil }
	p.foo.start()
	p.link.cut()
	id, _, err := p.foo.submit(controlproto.Submit{
		Node: "bar", WorkType: "true", TLSClient: "tls", Params: map[string]string{"Secret_x": "hush", "y": "z"},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := p.foo.m.Status(id)
	if strings.Contains(string(u.ExtraData), "hush") || !strings.Contains(string(u.ExtraData), `{"y":"z"}`) {
		t.Errorf("shown: %s", u.ExtraData)
	}
	p.foo.restart()
	if !strings.Contains(p.foo.file(id, fileStatus), "hush") {
		t.Error("the secret is needed for the next attempt")
	}
}
