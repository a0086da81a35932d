package work

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// awayStops is a Supervisor that cannot be told to stop anything until back is closed.
type awayStops struct {
	Supervisor
	asked chan struct{} // 1
	back  chan struct{}
}

func (s *awayStops) Stop(ctx context.Context, unit string, grace time.Duration) error {
	poke(s.asked)
	select {
	case <-s.back:
		return s.Supervisor.Stop(ctx, unit, grace)
	case <-ctx.Done(): // as the client of the real one: it is not told any more
		return ctx.Err()
	}
}

// The client that asks for a release gives up while the supervisor is away. The
// command is stopped all the same when it is back, and the unit deleted.
func TestReleaseGoesOnWhenTheSupervisorIsBack(t *testing.T) {
	away := &awayStops{asked: make(chan struct{}, 1), back: make(chan struct{})}
	n, _ := newNode(t, "solo", func(c *Config) {
		open := c.OpenSupervisor
		c.OpenSupervisor = func(ctx context.Context) (s Supervisor, err error) {
			away.Supervisor, err = open(ctx)
			return away, err
		}
	})
	id := n.mustSubmit("sleep", "1000", "")
	n.await(id, controlproto.Running)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { // ends with ctx
		_, err := n.m.Release(ctx, id, false)
		done <- err
	}()
	<-away.asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("release: %v", err)
	}
	close(away.back)
	until(t, "the unit is gone", func() bool { _, err := n.m.Status(id); return err != nil })
}

// A daemon that ends while it accepts a unit whose id was chosen does not refuse
// it: the submitter repeats the submission to the next one.
func TestAcceptanceCutByTheEndOfTheDaemon(t *testing.T) {
	n, sup := newNode(t, "solo")
	s := controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: "Chosen01"}
	sub, err := n.m.Create(s, Origin{Node: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, sub, "payload")
	until(t, "Run serves", func() bool { return n.m.up(t.Context()) == nil })
	err = func() error {
		// What the acceptance does after Run has ended, having been let in before.
		n.stop()
		return sub.accept(t.Context())
	}()
	if controlproto.CodeOf(err) != controlproto.Unreachable {
		t.Errorf("%v", err)
	}
	n.start()
	again, err := n.m.Create(s, Origin{Node: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Start(t.Context()); err != nil {
		t.Error(err)
	}
	n.await("Chosen01", controlproto.Succeeded)
	if n := sup.Starts("Chosen01"); n != 1 {
		t.Errorf("%d starts", n)
	}
}

// A unit with a chosen id that was refused is still its submitter's after a restart.
func TestRefusedUnitKeepsItsSubmitter(t *testing.T) {
	n, _ := newNode(t, "solo")
	var bad atomic.Bool
	n.m.store.did = func(op, path string) error {
		if bad.Load() && op == "sync" && filepath.Base(path) == fileReceipt {
			return errors.New("input/output error")
		}
		return nil
	}
	s := controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: "Chosen01"}
	sub, err := n.m.Create(s, Origin{Node: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	bad.Store(true)
	if _, err := sub.Start(t.Context()); err == nil {
		t.Fatal("accepted")
	}
	n.restart()
	if _, err := n.m.Create(s, Origin{Node: "foo"}); err != nil {
		t.Errorf("repeated: %v", err)
	}
	if u := n.await("Chosen01", controlproto.Failed); !strings.Contains(u.Detail, "input/output error") {
		t.Errorf("%+v", u)
	}
}

// The other node makes a streamed unit and then cannot accept it: the unit that
// has Failed there is released.
func TestStreamRefusedAfterItWasMade(t *testing.T) {
	p := newPeer2(t)
	foo, _ := newStreaming(t, p)
	p.refuses("submit", controlproto.New(controlproto.Internal, "sync receipt: input/output error"))
	sub, err := foo.m.Create(controlproto.Submit{Node: "bar", WorkType: "cat", Stream: true}, Origin{UnixSocket: true})
	if err != nil {
		t.Fatal(err)
	}
	sub.u.mu.Lock()
	id := sub.u.live.remoteID
	sub.u.mu.Unlock()
	p.mu.Lock()
	p.units[id] = &farUnit{st: controlproto.UnitStatus{State: controlproto.Failed, Detail: "Error starting worker: no"}}
	p.mu.Unlock()
	if err := sub.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	foo.await(sub.ID(), controlproto.Failed)
	until(t, "nothing is left there", func() bool { _, ok := p.unit(id); return !ok })
}

// Error output that could not be stored here flows again: the Detail says so no more.
func TestStuckErrorOutputFlowsAgain(t *testing.T) {
	u := &unit{kind: remote, far: &remoteExtra{}, live: &live{}}
	u.live.stuck.output = &storeError{what: "output", err: os.ErrInvalid}
	u.grewErr(7)
	if text := u.remarkLocked(); text != "" {
		t.Errorf("remark %q", text)
	}
}

// slowAdopt is a Supervisor that does not take up units of a former daemon before gate is closed.
type slowAdopt struct {
	Supervisor
	first chan string // 1
	gate  chan struct{}
}

func (s *slowAdopt) Adopt(unit, dir string) error {
	select {
	case s.first <- unit:
	default:
	}
	<-s.gate
	return s.Supervisor.Adopt(unit, dir)
}

// A cancel that comes while units are taken up after a restart stops the command,
// and does not take it for one that was never started.
func TestCancelWhileUnitsAreTakenUp(t *testing.T) {
	n, _ := newNode(t, "solo")
	ids := []string{n.mustSubmit("sleep", "1000", ""), n.mustSubmit("sleep", "1000", "")}
	for _, id := range ids {
		n.await(id, controlproto.Running)
	}
	n.stop()
	slow := &slowAdopt{first: make(chan string, 1), gate: make(chan struct{})}
	open := n.c.OpenSupervisor
	n.c.OpenSupervisor = func(ctx context.Context) (s Supervisor, err error) {
		slow.Supervisor, err = open(ctx)
		return slow, err
	}
	n.start()
	other := ids[0]
	if <-slow.first == other {
		other = ids[1]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := n.m.Cancel(ctx, other) // it waits: what is to be cancelled is not known yet
	if err == nil {
		t.Error("cancelled though nothing was stopped")
	}
	close(slow.gate)
	if _, err := n.m.Cancel(t.Context(), other); err != nil {
		t.Error(err)
	}
	n.await(other, controlproto.StateCanceled)
}

// A unit that was accepted here and is refused by its node is told of once,
// unless the answer to its submission says so; one that is streamed always is, as
// it was accepted before, and the end of its submission is the refusal, too.
func TestRefusalThatComesLate(t *testing.T) {
	no := controlproto.New(controlproto.NotFound, "unknown work type nosuch")
	const text = "could not parse response: ERROR: unknown work type nosuch"
	submit := controlproto.Submit{Node: "bar", WorkType: "nosuch"}
	setup := func(t *testing.T) (*node, *peer2, *link, chan Refusal) {
		told := make(chan Refusal, 10)
		p := newPeer2(t)
		p.refuses("submit", no)
		foo, l := newStreaming(t, p, func(c *Config) { c.Refused = func(r Refusal) { told <- r } })
		return foo, p, l, told
	}
	isRefusal := func(t *testing.T, err error) {
		t.Helper()
		if controlproto.CodeOf(err) != controlproto.NotFound || err.Error() != text {
			t.Errorf("told %v, code %s", err, controlproto.CodeOf(err))
		}
	}
	wantTold := func(t *testing.T, foo *node, told chan Refusal, unit string) {
		t.Helper()
		foo.await(unit, controlproto.Failed)
		select {
		case r := <-told:
			if r.Unit != unit || r.WorkType != "nosuch" || r.Node != "bar" {
				t.Errorf("told of %+v", r)
			}
			isRefusal(t, r.Err)
		case <-time.After(patience):
			t.Fatal("nobody was told")
		}
		foo.stop() // what was still to be done is done
		if len(told) > 0 {
			t.Errorf("told again: %+v", <-told)
		}
	}

	t.Run("at once", func(t *testing.T) {
		foo, _, _, told := setup(t)
		id, _, err := foo.submit(submit, "")
		isRefusal(t, err)
		foo.await(id, controlproto.Failed)
		foo.stop()
		if len(told) > 0 {
			t.Errorf("told of %+v", <-told)
		}
	})
	t.Run("later", func(t *testing.T) {
		foo, _, l, told := setup(t)
		l.cut()
		id, result, err := foo.submit(submit, "")
		if err != nil || result != controlproto.JobSubmitted {
			t.Fatalf("%q, %v", result, err)
		}
		l.mend()
		wantTold(t, foo, told, id)
	})
	t.Run("after a restart", func(t *testing.T) {
		foo, _, l, told := setup(t)
		l.cut()
		id, _, err := foo.submit(submit, "")
		if err != nil {
			t.Fatal(err)
		}
		foo.stop()
		l.mend()
		foo.start()
		wantTold(t, foo, told, id)
	})
	t.Run("expired", func(t *testing.T) {
		foo, _, l, told := setup(t)
		l.cut()
		s := submit
		s.TTL = "10ms"
		id, _, err := foo.submit(s, "")
		if err != nil {
			t.Fatal(err)
		}
		foo.await(id, controlproto.Failed)
		if r := <-told; r.Unit != id || r.Err.Code != controlproto.Timeout || !strings.HasPrefix(r.Err.Message, "Work unit expired on ") {
			t.Errorf("told of %+v", r)
		}
	})
	t.Run("streamed", func(t *testing.T) {
		foo, _, _, told := setup(t)
		s := foo.streamTo(submit)
		_, err := s.sub.Start(t.Context())
		isRefusal(t, err)
		isRefusal(t, s.sub.Refusal())
		wantTold(t, foo, told, s.u.id)
	})
	t.Run("streamed, to a node that comes at the end", func(t *testing.T) {
		foo, _, l, told := setup(t)
		l.cut()
		s := foo.streamTo(submit)
		foo.awaitThat(s.u.id, "no way", func(u controlproto.UnitStatus) bool { return strings.Contains(u.Detail, errCut.Error()) })
		s.write("all of it")
		l.mend()
		_, err := s.sub.Start(t.Context())
		isRefusal(t, err)
		wantTold(t, foo, told, s.u.id)
	})
	t.Run("nobody waits", func(t *testing.T) {
		foo, p, l, told := setup(t)
		asked, goOn := make(chan struct{}), make(chan struct{})
		l.serve = func(conn *end) { close(asked); <-goOn; p.serve(conn) }
		p.refuses("submit", no)
		sub, err := foo.m.Create(submit, Origin{UnixSocket: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		done, err := sub.Start(ctx)
		if err != nil || done.Result != controlproto.JobSubmitted {
			t.Errorf("%+v, %v", done, err)
		}
		close(goOn)
		wantTold(t, foo, told, sub.ID())
	})
}
