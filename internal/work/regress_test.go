package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// putUnit makes a unit's directory as a daemon left it.
func putUnit(t *testing.T, n *node, id string, files map[string][]byte) {
	t.Helper()
	dir := filepath.Join(n.c.Dir, id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Status and receipt may reach the disk before the payload, and then the power
// goes. Such a unit was once handed on with the part that was there, as the
// original leaves units that look the same and are whole.
func TestPayloadCutShortIsNotHandedOn(t *testing.T) {
	far := remoteExtra{RemoteNode: "bar", RemoteWorkType: "cat"}
	st := record{Detail: detailStarting, WorkType: remoteType, ExtraData: far.encode()}
	status, err := st.appendStatus(nil)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := receipt{Accepted: true, Payload: 100, RemoteID: "FarUnit1", Status: st}.encode()
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte("only a part")
	for name, tt := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"receipt of more": {map[string][]byte{fileStatus: status, fileReceipt: accepted, fileStdin: payload}, "Failed " + detailNotBefore},
		"receipt only":    {map[string][]byte{fileReceipt: accepted, fileStdin: payload}, "Failed " + detailNotBefore},
		"no receipt":      {map[string][]byte{fileStatus: status, fileStdin: payload}, "Failed " + detailNotBefore},
		"of the original": {map[string][]byte{fileStatus: status, fileLock: nil, fileStdin: payload}, "Succeeded exit status 0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.foo.stop()
			putUnit(t, p.foo, "Trunc001", tt.files)
			p.foo.start()
			u := p.foo.awaitThat("Trunc001", "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
			if got := u.StateName + " " + u.Detail; got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			p.wantStarts(t, map[bool]int{true: 1}[u.State == controlproto.Succeeded])
		})
	}
}

// A submission is repeated while the first one still writes. What was told as
// received was once less than what got into the file, so that a part of the
// payload came twice.
func TestRepeatGoesOnWhereTheFirstEnded(t *testing.T) {
	n, _ := newNode(t, "solo", func(c *Config) { c.Logger = nil })
	for i := range 25 {
		s := controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: fmt.Sprintf("Repeat%02d", i)}
		first, err := n.m.Create(s, Origin{Node: "x"})
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() { // ends when the submission is taken over
			defer close(over)
			b := make([]byte, 256<<10)
			for {
				if _, err := first.Write(b); err != nil {
					return
				}
			}
		}()
		until(t, "the first one writes", func() bool { return n.m.store.size(s.UnitID, fileStdin) > 0 })
		second, err := n.m.Create(s, Origin{Node: "x"})
		if err != nil {
			t.Fatal(err)
		}
		<-over
		if size := n.m.store.size(s.UnitID, fileStdin); size != second.Received() {
			t.Fatalf("told %d bytes received, the file has %d", second.Received(), size)
		}
		second.Abort(io.EOF)
		if _, err := n.m.Release(t.Context(), s.UnitID, true); err != nil {
			t.Fatal(err)
		}
	}
}

// holdAcceptance has the next sync of a receipt wait: in has a value when it
// does, until gate is closed.
func holdAcceptance(n *node) (in, gate chan struct{}) {
	in, gate = make(chan struct{}, 1), make(chan struct{})
	var held atomic.Bool
	n.m.store.did = func(op, path string) error {
		if op == "sync" && filepath.Base(path) == fileReceipt && held.CompareAndSwap(false, true) {
			in <- struct{}{}
			<-gate
		}
		return nil
	}
	return in, gate
}

// started is what became of Submission.Start.
type started struct {
	result string
	err    error
}

func goStart(ctx context.Context, s *Submission) chan started {
	c := make(chan started, 1)
	go func() { // ends when the unit is accepted, or ctx ends
		done, err := s.Start(ctx)
		c <- started{done.Result, err}
	}()
	return c
}

func (s started) want(t *testing.T, what, result string) {
	t.Helper()
	if s.err != nil || s.result != result {
		t.Errorf("%s submission: %q, %v, want %q", what, s.result, s.err, result)
	}
}

// A submission is repeated while the first one is being made durable. The second
// once took the unit away from the first, and was then refused, though the unit
// ran.
func TestRepeatOfWhatIsBeingAcceptedLetsItBe(t *testing.T) {
	n, sup := newNode(t, "solo")
	in, gate := holdAcceptance(n)
	s := controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: "Accept01"}
	first, err := n.m.Create(s, Origin{Node: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(first, "payload"); err != nil {
		t.Fatal(err)
	}
	one := goStart(context.Background(), first)
	<-in
	second, err := n.m.Create(s, Origin{Node: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Received(); got != int64(len("payload")) {
		t.Errorf("%d bytes received, want all", got)
	}
	close(gate)
	(<-one).want(t, "first", controlproto.JobStarted)
	n.await(s.UnitID, controlproto.Succeeded)
	(<-goStart(context.Background(), second)).want(t, "second", controlproto.JobStarted)
	if out, last := n.results(s.UnitID, 0); out != "payload" || last.State != controlproto.Succeeded {
		t.Errorf("%q %+v", out, last)
	}
	if got := sup.Starts(s.UnitID); got != 1 {
		t.Errorf("started %d times", got)
	}
}

// Nothing but the acceptance itself moves a unit whose node does not answer: who
// repeated the submission meanwhile was once not told of it.
func TestRepeatIsToldOfTheAcceptance(t *testing.T) {
	n, _ := newNode(t, "solo", func(c *Config) {
		c.Dial = func(ctx context.Context, _, _ string) (io.ReadWriteCloser, bool, error) {
			<-ctx.Done()
			return nil, false, errCut
		}
	})
	in, gate := holdAcceptance(n)
	s := controlproto.Submit{Node: "bar", WorkType: "true", UnitID: "Accept02"}
	first, err := n.m.Create(s, Origin{Node: "x"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	one := goStart(ctx, first)
	<-in
	second, err := n.m.Create(s, Origin{Node: "x"})
	if err != nil {
		t.Fatal(err)
	}
	two := goStart(ctx, second)
	until(t, "the second one waits", func() bool {
		first.u.mu.Lock()
		defer first.u.mu.Unlock()
		return first.u.changed != nil
	})
	close(gate)
	(<-two).want(t, "second", controlproto.JobSubmitted)
	cancel()
	(<-one).want(t, "first", controlproto.JobSubmitted)
}

// A client goes away while its unit is being made durable. Half an acceptance is
// none: a unit given up there is Failed, and has a receipt that it was accepted.
func TestAcceptanceOutlivesItsClient(t *testing.T) {
	n, _ := newNode(t, "solo")
	in, gate := holdAcceptance(n)
	sub, err := n.m.Create(controlproto.Submit{Node: "solo", WorkType: "true"}, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	one := goStart(ctx, sub)
	<-in
	cancel(errors.New("the client is gone"))
	close(gate)
	(<-one).want(t, "the", controlproto.JobStarted)
	n.await(sub.ID(), controlproto.Succeeded)
}

// A crash leaves files that say nothing of a unit: such directories once stayed
// for ever, and no request could name them. What may be somebody's stays.
func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	n, _ := newNode(t, "solo")
	n.stop()
	for id, files := range map[string]map[string][]byte{
		"Left0001": {".status": nil, fileStdin: nil},
		"Left0002": {fileReceipt: nil, fileStdin: nil},
		"Left0003": {".status": nil, fileReceipt: nil, fileStdin: []byte("payload")},
		"Keep0001": {fileStdin: nil, fileStdout: nil},
		"Keep0002": {fileReceipt: []byte("half a li"), fileStdin: nil},
	} {
		putUnit(t, n, id, files)
	}
	n.start()
	entries, err := os.ReadDir(n.c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[string]bool)
	for _, e := range entries {
		left[e.Name()] = true
	}
	if len(left) != 2 || !left["Keep0001"] || !left["Keep0002"] {
		t.Errorf("left are %v", left)
	}
	if list := n.m.List(); len(list) != 1 || list["Keep0002"].State != controlproto.Failed {
		t.Errorf("units %v", list)
	}
}
