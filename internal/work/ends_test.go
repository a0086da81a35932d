package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// hang is a Dialer that, while on, answers as a link does where packets vanish.
type hang struct {
	Dialer
	on   atomic.Bool
	deaf bool // it does not even notice that nobody waits any more
}

func (h *hang) dial(ctx context.Context, node, tls string) (io.ReadWriteCloser, bool, error) {
	if !h.on.Load() {
		return h.Dialer(ctx, node, tls)
	}
	if h.deaf {
		time.Sleep(time.Minute)
		return nil, false, errCut
	}
	<-ctx.Done()
	return nil, false, context.Cause(ctx)
}

// hanging is quietPair whose link can be made to swallow everything.
func hanging(t *testing.T) (*pair, *hang) {
	p := quietPair(t)
	h := &hang{Dialer: p.link.dial}
	p.foo.stop()
	p.foo.c.Dial = h.dial
	p.foo.start()
	p.foo.m.watch.close()
	return p, h
}

// A unit that may have come into being on its node is cancelled: the answer does
// not wait for that node, and no orphan stays there.
func TestCancelOfWhatMayHaveStartedIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := hanging(t)
		p.bar.m.store.did = func(op, path string) error {
			if op == "write" && filepath.Base(path) == fileStdin {
				p.link.cut()
			}
			return nil
		}
		id, _, err := p.hand("sleep", "", "payload")
		if err != nil {
			t.Fatal(err)
		}
		if p.far(id) == "" || len(p.bar.m.List()) != 1 {
			t.Fatalf("far id %q, units there %v", p.far(id), p.bar.m.List())
		}
		p.link.mend()
		h.on.Store(true)
		start := time.Now()
		pending, err := p.foo.m.Cancel(t.Context(), id)
		if d := time.Since(start); pending || err != nil || d > time.Second {
			t.Errorf("%v %v after %v", pending, err, d)
		}
		if u := p.foo.await(id, controlproto.Failed); u.Detail != "Locally Cancelled" {
			t.Errorf("%+v", u)
		}
		p.foo.restart() // it still knows what it owes
		p.foo.m.watch.close()
		time.Sleep(5 * time.Minute)
		h.on.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(p.bar.m.List()); n != 0 {
			t.Errorf("%d orphans", n)
		}
	})
}

// Force frees this node at once, whatever the driver waits for; what it has begun
// to tell the other node it ends.
func TestForceDoesNotWait(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, h := hanging(t)
			h.deaf = deaf
			id := p.mustHand(t, "sleep", "")
			p.foo.await(id, controlproto.Running)
			h.on.Store(true)
			p.link.cut()
			time.Sleep(2 * time.Second) // the driver dials
			start := time.Now()
			pending, err := p.foo.m.Release(t.Context(), id, true)
			if d := time.Since(start); pending || err != nil || d > forcePatience {
				t.Errorf("%v %v after %v", pending, err, d)
			}
			if _, err := os.Stat(filepath.Join(p.foo.c.Dir, id)); err == nil || len(p.foo.m.List()) != 0 {
				t.Error("it is still there")
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		})
	}
}

// The other node takes long to release a unit: it is told all the same.
func TestForceLetsTheOtherNodeFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quietPair(t)
		p.sup.Programs["sleep"] = func(ctx context.Context, _ []string, _ io.Reader, _ io.Writer) int {
			<-ctx.Done()
			time.Sleep(8 * time.Second) // as one that ignores the interrupt
			return 1
		}
		id := p.mustHand(t, "sleep", "")
		p.foo.await(id, controlproto.Running)
		if pending, err := p.foo.m.Release(t.Context(), id, true); pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		if len(p.foo.m.List()) != 0 || len(p.bar.m.List()) != 1 {
			t.Errorf("units here %v, there %v", p.foo.m.List(), p.bar.m.List())
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(p.bar.m.List()); n != 0 {
			t.Errorf("%d units are left there", n)
		}
	})
}

// The executor refuses what it is asked, as the key is wrong. The clients are
// told, nothing is given up, and it goes on when it does not refuse any more.
func TestRefusedBySignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer2(t)
		foo, _ := newStreaming(t, p)
		foo.m.watch.close()
		id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "out\n")
		if err != nil {
			t.Fatal(err)
		}
		foo.awaitThat(id, "mirrored", func(u controlproto.UnitStatus) bool { return u.StdoutSize == 4 })
		no := controlproto.New(controlproto.Denied, "could not verify signature: token is expired")
		for _, sub := range []string{"cancel", "release", "follow"} {
			p.refuses(sub, no)
		}
		const want = "error cancelling remote unit:  could not verify signature: token is expired"
		if pending, err := foo.m.Cancel(t.Context(), id); pending || err == nil || err.Error() != want {
			t.Errorf("%v %v", pending, err)
		}
		if pending, err := foo.m.Release(t.Context(), id, false); pending || err == nil || err.Error() != want {
			t.Errorf("%v %v", pending, err)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		u, err := foo.m.Status(id)
		if err != nil || u.State != controlproto.Running || !strings.Contains(u.Detail, "node bar refuses since ") || !strings.HasSuffix(u.Detail, ": could not verify signature: token is expired)") {
			t.Errorf("%+v %v", u, err)
		}
		p.refuses("follow", nil)
		p.update(far(t, foo, id), func(u *farUnit) { u.stdout = append(u.stdout, "more\n"...) })
		p.end(far(t, foo, id), controlproto.Succeeded, "exit status 0", 0)
		time.Sleep(2 * time.Minute)
		if out, last := foo.results(id, 0); out != "out\nmore\n" || last.Detail != "exit status 0" {
			t.Errorf("%q %+v", out, last)
		}
		if pending, err := foo.m.Release(t.Context(), id, true); pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
	})
}

// A unit that was never wanted any more is not forgotten because its node
// refuses to release it.
func TestRefusedDisownIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer2(t)
		foo, l := newStreaming(t, p)
		foo.m.watch.close()
		p.onMade = l.cut // the unit comes into being, and nothing of that is known here
		id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "payload")
		if err != nil {
			t.Fatal(err)
		}
		if p.startsSoFar() != 1 {
			t.Fatal("there is no unit on the other node")
		}
		p.refuses("release", controlproto.New(controlproto.Denied, "could not verify signature: token is expired"))
		if pending, err := foo.m.Cancel(t.Context(), id); pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		l.mend()
		time.Sleep(time.Hour)
		if u, _ := foo.m.Status(id); u.State != controlproto.Failed || !strings.HasPrefix(u.Detail, "Locally Cancelled (node bar refuses since ") {
			t.Errorf("%+v", u)
		}
		p.refuses("release", nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.units) != 0 {
			t.Error("an orphan is left")
		}
	})
}

func far(t *testing.T, n *node, id string) string {
	u, err := n.m.unit(id)
	if err != nil {
		t.Fatal(err)
	}
	return u.remoteID()
}

// The executor was rebuilt and does not know the unit: release succeeds, also if
// it was pending.
func TestReleaseFromARebuiltExecutor(t *testing.T) {
	for _, ours := range []bool{true, false} {
		for _, pends := range []bool{true, false} {
			two, one := newPeer2(t), newPeer1()
			var foo *node
			var l *link
			forget := one.forget
			if ours {
				foo, l = newStreaming(t, two)
				forget = func() { two.mu.Lock(); defer two.mu.Unlock(); clear(two.units) }
			} else {
				foo, l = newMixed(t, one)
			}
			id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "")
			if err != nil {
				t.Fatal(err)
			}
			l.cut()
			if pends {
				if pending, err := foo.m.Release(t.Context(), id, false); !pending || err != nil {
					t.Errorf("%v %v", pending, err)
				}
			}
			forget()
			l.mend()
			if !pends {
				foo.await(id, controlproto.Failed)
				if pending, err := foo.m.Release(t.Context(), id, false); pending || err != nil {
					t.Errorf("%v %v", pending, err)
				}
			}
			until(t, "it is gone", func() bool { return len(foo.m.List()) == 0 })
		}
	}
}

// The ttl ends while the payload is being sent, and while the node does not
// answer; what has come into being there is released.
func TestExpiresInEachPhase(t *testing.T) {
	t.Run("dialling", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, h := hanging(t)
			h.on.Store(true)
			start := time.Now()
			id, _, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "true", TTL: "3s"}, "")
			if err != nil {
				t.Fatal(err)
			}
			p.foo.await(id, controlproto.Failed)
			if d := time.Since(start); d > 4*time.Second {
				t.Errorf("after %v", d)
			}
		})
	})
	t.Run("sending", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := quietPair(t)
			slow := func(op, path string) error {
				if op == "write" && filepath.Base(path) == fileStdin {
					time.Sleep(time.Second)
				}
				return nil
			}
			p.bar.m.store.did = slow
			id, _, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "true", TTL: "3s"}, strings.Repeat("x", 4<<20))
			if err != nil {
				t.Fatal(err)
			}
			if u := p.foo.await(id, controlproto.Failed); !strings.HasPrefix(u.Detail, "Work unit expired on ") {
				t.Errorf("%+v", u)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(p.bar.m.List()); n != 0 {
				t.Errorf("%d orphans", n)
			}
			p.wantStarts(t, 0)
		})
	})
}

// The executor has no room for the payload.
func TestFullDiskOfTheExecutor(t *testing.T) {
	p := newPair(t)
	p.bar.m.store.did = func(op, path string) error {
		if op == "write" && filepath.Base(path) == fileStdin {
			return errors.New("no space left on device")
		}
		return nil
	}
	id, _, err := p.hand("cat", "", "payload")
	if err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%v", err)
	}
	if u := p.foo.await(id, controlproto.Failed); !strings.Contains(u.Detail, "no space left on device") {
		t.Errorf("%+v", u)
	}
	until(t, "nothing is left there", func() bool { return len(p.bar.m.List()) == 0 })
}

// A submission that was cancelled as a request, not as a unit, is made again.
func TestCancelledRequestIsMadeAgain(t *testing.T) {
	p := newPeer2(t)
	foo, _ := newStreaming(t, p)
	p.refuses("submit", controlproto.New(controlproto.Canceled, "the request was canceled"))
	id, result, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "out\n")
	if err != nil || result != controlproto.JobSubmitted {
		t.Errorf("%q %v", result, err)
	}
	p.refuses("submit", nil)
	foo.await(id, controlproto.Running)
}

// The disk of the controller is full. The unit goes on, says so, and its output
// is whole in the end.
func TestFullDiskOfTheController(t *testing.T) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip(err)
	}
	for _, ours := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			two, one := newPeer2(t), newPeer1()
			var foo *node
			var l *link
			if ours {
				foo, l = newStreaming(t, two)
			} else {
				foo, l = newMixed(t, one)
			}
			foo.m.watch.close()
			l.cut()
			id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "some output\n")
			if err != nil {
				t.Fatal(err)
			}
			stdout := filepath.Join(foo.c.Dir, id, fileStdout)
			if err := os.Symlink(full, stdout); err != nil {
				t.Fatal(err)
			}
			l.mend()
			time.Sleep(2 * time.Second)
			if !ours {
				one.set(controlproto.Running, "Running: PID 1", "some output\n")
			}
			const remark = "Running: PID 1 (output cannot be stored here: no space left on device)"
			check := func() {
				t.Helper()
				foo.awaitThat(id, "held up", func(u controlproto.UnitStatus) bool {
					return u.State == controlproto.Running && u.Detail == remark
				})
				if strings.Contains(foo.file(id, fileStatus), "stored") {
					t.Error("that is on disk")
				}
			}
			check()
			foo.restart()
			foo.m.watch.close()
			check()
			if ours {
				two.end(far(t, foo, id), controlproto.Succeeded, "exit status 0", 0)
			} else {
				one.set(controlproto.Succeeded, "exit status 0", "some output\n")
			}
			time.Sleep(time.Hour)
			if u, _ := foo.m.Status(id); u.State != controlproto.Running {
				t.Errorf("it ended without its output: %+v", u)
			}
			if err := os.Remove(stdout); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Second)
			if out, last := foo.results(id, 0); out != "some output\n" || last.State != controlproto.Succeeded || last.Detail != "exit status 0" {
				t.Errorf("%q %+v", out, last)
			}
		})
	}
}

// A status that cannot be saved is shown, saved later, and no trouble otherwise.
func TestStatusThatCannotBeStored(t *testing.T) {
	p := newPeer2(t)
	foo, _ := newStreaming(t, p)
	var full atomic.Bool
	foo.m.store.did = func(op, path string) error {
		if full.Load() && strings.HasSuffix(path, fileStatus) {
			return errors.New("no space left on device")
		}
		return nil
	}
	id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "")
	if err != nil {
		t.Fatal(err)
	}
	foo.awaitThat(id, "running", func(u controlproto.UnitStatus) bool { return u.Detail == "Running: PID 1" })
	full.Store(true)
	p.update(far(t, foo, id), func(u *farUnit) { u.st.Detail = "Running: PID 2" })
	foo.awaitThat(id, "held up", func(u controlproto.UnitStatus) bool {
		return u.Detail == "Running: PID 2 (status cannot be stored here: no space left on device)"
	})
	full.Store(false)
	foo.awaitThat(id, "saved", func(u controlproto.UnitStatus) bool { return u.Detail == "Running: PID 2" })
	until(t, "it is on disk", func() bool { return strings.Contains(foo.file(id, fileStatus), "PID 2") })
}

// Wherever the controller is killed, and whatever of the last blocks of its copy
// a power cut takes, the copy is the executor's output in the end.
func TestMirrorIsIdentical(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, ours := range []bool{true, false} {
		for round := range 6 {
			synctest.Test(t, func(t *testing.T) { mirrorRound(t, rand.New(rand.NewPCG(seed, uint64(round))), ours) })
		}
	}
}

func mirrorRound(t *testing.T, rnd *rand.Rand, ours bool) {
	two, one := newPeer2(t), newPeer1()
	var foo *node
	var l *link
	if ours {
		foo, l = newStreaming(t, two)
	} else {
		foo, l = newMixed(t, one)
	}
	foo.m.watch.close()
	id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat", Stderr: controlproto.StderrSeparate}, "")
	if err != nil {
		t.Fatal(err)
	}
	remote := far(t, foo, id)
	var out, errs []byte
	grow := func(b []byte) []byte {
		for range rnd.IntN(200_000) {
			b = append(b, byte(rnd.Uint32()))
		}
		return append(b, '\n')
	}
	publish := func(state controlproto.State, detail string) {
		if !ours {
			one.set(state, detail, string(out))
			return
		}
		two.update(remote, func(u *farUnit) { u.stdout, u.stderr, u.st.State, u.st.Detail = out, errs, state, detail })
	}
	for range 6 {
		out, errs = grow(out), grow(errs)
		publish(controlproto.Running, "Running: PID 1")
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		switch rnd.IntN(3) {
		case 0:
			l.cut()
			time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
			l.mend()
		case 1:
			foo.stop()
			for _, name := range []string{fileStdout, fileStderr} {
				path := filepath.Join(foo.c.Dir, id, name)
				if info, err := os.Stat(path); err == nil && rnd.IntN(2) == 0 {
					os.Truncate(path, rnd.Int64N(info.Size()+1))
				}
			}
			if b, err := os.ReadFile(filepath.Join(foo.c.Dir, id, fileStatus)); err == nil { // older or newer than the output
				if r, err := parseStatus(b); err == nil {
					r.StdoutSize = rnd.Int64N(int64(len(out)) + 1)
					b, _ = r.appendStatus(nil)
					os.WriteFile(filepath.Join(foo.c.Dir, id, fileStatus), b, 0o600)
				}
			}
			foo.start()
			foo.m.watch.close()
		}
	}
	publish(controlproto.Succeeded, "exit status 0")
	time.Sleep(time.Minute)
	got, last := foo.results(id, 0)
	if got != string(out) || last.State != controlproto.Succeeded || last.Detail != "exit status 0" || last.StdoutSize != int64(len(out)) {
		t.Errorf("%d bytes, want %d: %+v", len(got), len(out), last)
	}
	if !ours {
		return
	}
	if foo.file(id, fileStderr) != string(errs) || last.StderrSize == nil || *last.StderrSize != int64(len(errs)) {
		t.Errorf("error output of %d bytes, want %d: %+v", len(foo.file(id, fileStderr)), len(errs), last)
	}
}

// A copy that is longer than what it is a copy of is damaged, or the other one
// is. Both are kept, and the unit says so.
func TestMirrorThatIsTooLong(t *testing.T) {
	for _, ours := range []bool{true, false} {
		two, one := newPeer2(t), newPeer1()
		var foo *node
		var l *link
		if ours {
			foo, l = newStreaming(t, two)
		} else {
			foo, l = newMixed(t, one)
		}
		id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "out\n")
		if err != nil {
			t.Fatal(err)
		}
		one.set(controlproto.Running, "Running: PID 1", "out\n")
		foo.awaitThat(id, "mirrored", func(u controlproto.UnitStatus) bool { return u.StdoutSize == 4 })
		l.cut()
		foo.stop()
		if err := os.WriteFile(filepath.Join(foo.c.Dir, id, fileStdout), []byte("out\nwhat is this\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		foo.start()
		l.mend()
		one.set(controlproto.Succeeded, "exit status 0", "out\n")
		if ours {
			two.end(far(t, foo, id), controlproto.Succeeded, "exit status 0", 0)
		}
		out, last := foo.results(id, 0)
		const want = "exit status 0 (13 bytes more of the output are here than node bar has: one of the two is damaged)"
		if last.State != controlproto.Succeeded || last.Detail != want || out != "out\nwhat is this\n" || last.StdoutSize != int64(len(out)) {
			t.Errorf("%q %+v", out, last)
		}
	}
}

// The Detail tells since when a node is silent, in every state.
func TestSilenceIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quietPair(t)
		id := p.mustHand(t, "sleep", "")
		p.foo.await(id, controlproto.Running)
		detail := func() string {
			time.Sleep(silenceShown + time.Second)
			synctest.Wait()
			u, err := p.foo.m.Status(id)
			if err != nil {
				t.Fatal(err)
			}
			return u.Detail
		}
		time.Sleep(time.Hour)
		p.link.cut()
		at := time.Now().Format(remarkTime)
		running := strings.TrimSpace(detail())
		if want := "(node bar not heard of since " + at + ": no route to node)"; !strings.HasSuffix(running, want) || !strings.HasPrefix(running, "Running: PID ") {
			t.Errorf("%q, want %q", running, want)
		}
		p.foo.restart()
		p.foo.m.watch.close()
		began := time.Now().Format(remarkTime)
		if d, want := detail(), fmt.Sprintf("(node bar not heard of since this daemon tried first, %s: no route to node)", began); !strings.HasSuffix(d, want) {
			t.Errorf("after a restart %q, want %q", d, want)
		}
		if pending, err := p.foo.m.Cancel(t.Context(), id); !pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		if d := detail(); !strings.Contains(d, " (cancel pending; node bar not heard of since ") {
			t.Errorf("%q", d)
		}
		if pending, err := p.foo.m.Release(t.Context(), id, false); !pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		if d := detail(); !strings.Contains(d, " (release pending; node bar not heard of since ") {
			t.Errorf("%q", d)
		}
		p.link.mend()
		time.Sleep(2 * time.Minute)
		if n := len(p.foo.m.List()) + len(p.bar.m.List()); n != 0 {
			t.Errorf("%d units are left", n)
		}
		// A release of what has ended pends as well.
		id = p.mustHand(t, "true", "")
		p.foo.await(id, controlproto.Succeeded)
		p.link.cut()
		if pending, err := p.foo.m.Release(t.Context(), id, false); !pending || err != nil {
			t.Errorf("%v %v", pending, err)
		}
		if d := detail(); !strings.HasPrefix(d, "exit status 0 (release pending; node bar not heard of since ") {
			t.Errorf("%q", d)
		}
	})
}

// A unit that is released by force while its node is away is gone here at once, and
// there as soon as that node is back, whether a release was pending before or not.
func TestForceTellsTheExecutorLater(t *testing.T) {
	for _, pending := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := quietPair(t)
			id := p.mustHand(t, "sleep", "")
			p.foo.await(id, controlproto.Running)
			p.link.cut()
			if pending {
				if pends, err := p.foo.m.Release(t.Context(), id, false); !pends || err != nil {
					t.Errorf("%v %v", pends, err)
				}
			}
			if pends, err := p.foo.m.Release(t.Context(), id, true); pends || err != nil {
				t.Errorf("%v %v", pends, err)
			}
			if n := len(p.foo.m.List()); n != 0 {
				t.Errorf("%d units are listed", n)
			}
			time.Sleep(10 * time.Minute)
			p.link.mend()
			time.Sleep(2 * time.Minute)
			if n := len(p.bar.m.List()); n != 0 {
				t.Errorf("%d units are left on the executor", n)
			}
		})
	}
}
