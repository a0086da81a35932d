package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// quietPair is newPair for a bubble.
func quietPair(t *testing.T) *pair {
	p := newPair(t)
	p.bar.m.watch.close() // waiting for inotify would hold the clock
	return p
}

// The controller is killed right after the other node took a unit, before or
// after the keeper first wrote its status. It once came back without knowing
// that there is a unit on the other node, which then ran for ever.
func TestFarUnitIsKnownAfterAKill(t *testing.T) {
	for name, reach := range map[string]time.Duration{"before the first write": 0, "after it": keepDelay * 5 / 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := quietPair(t)
				p.foo.stop()
				p.foo.c.Dial = countingDial(p.link, func() { time.Sleep(reach) })
				p.foo.start()
				id := p.mustHand(t, "sleep", "")
				killed := filepath.Join(t.TempDir(), "foo") // what is on the disk now
				if err := os.CopyFS(killed, os.DirFS(p.foo.c.Dir)); err != nil {
					t.Fatal(err)
				}
				p.link.cut()
				p.foo.stop()
				p.foo.c.Dir = killed
				p.foo.start()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, err := p.foo.m.Release(ctx, id, false); err != nil {
					t.Error(err)
				}
				p.link.mend()
				until(t, "the unit is gone on both nodes", func() bool { return len(p.foo.m.List())+len(p.bar.m.List()) == 0 })
			})
		})
	}
}

// The mirrors of 20 units cannot be written. Each attempt gets as far as hearing
// the other node, which once ended the pauses of all the others: the controller
// did nothing but connect.
func TestFullMirrorsKeepTheirPauses(t *testing.T) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip(err)
	}
	synctest.Test(t, func(t *testing.T) {
		const units, enough = 20, 1000
		p := quietPair(t)
		p.foo.stop()
		p.foo.c.Logger = nil
		var dials atomic.Int64
		p.foo.c.Dial = func(ctx context.Context, node, tls string) (io.ReadWriteCloser, bool, error) {
			if dials.Add(1) > enough { // a hot loop would hold the clock
				<-ctx.Done()
			}
			return p.link.dial(ctx, node, tls)
		}
		p.foo.start()
		p.link.cut()
		for range units {
			id, _, err := p.hand("cat", "", "some output\n")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(full, filepath.Join(p.foo.c.Dir, id, fileStdout)); err != nil {
				t.Fatal(err)
			}
		}
		before := dials.Load()
		p.link.mend()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		// Each waits for the node, hands its unit on, and then comes after 1, 2.5 and 4.75 s.
		if n := dials.Load() - before; n < units || n > 6*units {
			t.Errorf("%d connections in 5 s for %d units, want at most 6 each", n, units)
		}
		p.link.cut()
	})
}

// A status that could not be written, as the disk was full, once stayed on disk
// as it was until the unit changed again, which a unit that has ended never does.
func TestStatusThatCouldNotBeSavedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := newNode(t, "solo", func(c *Config) { c.Logger = nil })
		n.m.watch.close() // waiting for inotify would hold the clock
		var full atomic.Bool
		full.Store(true)
		n.m.store.did = func(_, path string) error {
			if full.Load() && strings.HasSuffix(path, fileStatus) {
				return errors.New("no space left on device")
			}
			return nil
		}
		id := n.mustSubmit("true", "", "")
		n.await(id, controlproto.Succeeded)
		time.Sleep(keepDelay * 3)
		full.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r, err := n.m.loadStatus(id)
		if err != nil || r.State != controlproto.Succeeded {
			t.Errorf("2 s after the disk had room again: %+v, %v", r, err)
		}
	})
}

// A unit is cancelled while its command cannot be started yet. The command was
// once started all the same, only to be stopped.
func TestCancelledCommandIsNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, sup := newNode(t, "solo")
		n.m.watch.close() // waiting for inotify would hold the clock
		var tries atomic.Int32
		sup.Before = func(supervise.Job) error {
			if tries.Add(1) == 1 {
				return errors.New("no supervisor")
			}
			return nil
		}
		id := n.mustSubmit("sleep", "", "")
		synctest.Wait() // until it pauses
		if _, err := n.m.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
		n.await(id, controlproto.StateCanceled)
		if got := sup.Starts(id); got != 0 {
			t.Errorf("started %d times", got)
		}
	})
}

// What the supervisor writes about a command that was begun is made durable
// when it is known to run: a power cut once lost that, and the command ran again.
func TestRunningCommandSurvivesAPowerCut(t *testing.T) {
	n, sup := newNode(t, "solo")
	d := &disk{stopAt: -1, synced: map[string]bool{}}
	n.m.store.did = d.did
	sup.Before = func(j supervise.Job) error { // as the real one does
		return os.WriteFile(filepath.Join(j.UnitDir, fileProcess), fmt.Appendln(nil, "101"), 0o600)
	}
	id := n.mustSubmit("sleep", "", "")
	n.await(id, controlproto.Running)
	path := filepath.Join(n.c.Dir, id, fileProcess)
	until(t, "that it runs is durable", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.synced[path]
	})
}

// A link that loses everything and tells nobody: the Detail says within seconds of
// the next question since when the node has given no sign, and forgets it soon
// after the link is back. It once took half a minute, and named the wrong time.
func TestSilentLinkIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quietPair(t)
		p.foo.stop()
		var mute atomic.Bool
		dial := p.foo.c.Dial
		p.foo.c.Dial = func(ctx context.Context, node, tls string) (io.ReadWriteCloser, bool, error) {
			if mute.Load() {
				<-ctx.Done()
				return nil, false, ctx.Err()
			}
			return dial(ctx, node, tls)
		}
		p.foo.start()
		id := p.mustHand(t, "sleep", "")
		p.foo.await(id, controlproto.Running)
		sign := time.Now().Format(remarkTime)
		mute.Store(true)
		time.Sleep(2*firstProbe + answerPatience + time.Second) // the first look sees what came before
		if u, _ := p.foo.m.Status(id); !strings.Contains(u.Detail, "not heard of since "+sign+": no answer within 10s") {
			t.Errorf("%q, want since %s", u.Detail, sign)
		}
		mute.Store(false)
		time.Sleep(firstProbe + answerPatience + time.Second)
		if u, _ := p.foo.m.Status(id); strings.Contains(u.Detail, "heard") {
			t.Errorf("%q", u.Detail)
		}
		p.foo.m.Cancel(t.Context(), id)
	})
}
