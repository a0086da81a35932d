package work

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/worktest"
)

// gates are programs that run until they are let go, and know their order.
type gates struct {
	mu      sync.Mutex
	order   []string
	open    map[string]chan struct{}
	running int
	most    int
}

func newGates(sup *worktest.Supervisor, name string) *gates {
	g := &gates{open: make(map[string]chan struct{})}
	sup.Programs[name] = func(ctx context.Context, args []string, _ io.Reader, _ io.Writer) int {
		g.mu.Lock()
		g.order = append(g.order, args[0])
		g.running++
		g.most = max(g.most, g.running)
		gate := g.gateLocked(args[0])
		g.mu.Unlock()
		select {
		case <-gate:
		case <-ctx.Done():
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		return 0
	}
	return g
}

func (g *gates) gateLocked(name string) chan struct{} {
	if g.open[name] == nil {
		g.open[name] = make(chan struct{})
	}
	return g.open[name]
}

func (g *gates) let(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.gateLocked(name))
}

func (g *gates) started() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.order)
}

func (g *gates) want(t *testing.T, names ...string) {
	t.Helper()
	until(t, fmt.Sprintf("%v run, and not only %v", names, g.started()), func() bool { return len(g.started()) >= len(names) })
	if got := g.started(); !slices.Equal(got, names) {
		t.Errorf("started are %v, want %v", got, names)
	}
}

func gateTypes(max int) []Command {
	return append([]Command{{WorkType: "gate", Command: "gate", AllowRuntimeParams: true, MaxUnits: max}}, testTypes...)
}

func (n *node) detail(id string) string {
	u, err := n.m.Status(id)
	if err != nil {
		return err.Error()
	}
	return u.StateName + " " + u.Detail
}

func TestQueue(t *testing.T) {
	n, sup := newNode(t, "solo", func(c *Config) { c.Types = gateTypes(2) })
	g := newGates(sup, "gate")
	ids := make(map[string]string)
	for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
		ids[name] = n.mustSubmit("gate", name, "")
		if i < 2 {
			n.await(ids[name], controlproto.Running)
		}
	}
	g.want(t, "a", "b")
	for name, want := range map[string]string{
		"c": "Pending Waiting: 2 units of work type gate run already (maxunits 2), this one is next",
		"d": "Pending Waiting: 2 units of work type gate run already (maxunits 2), 1 is before this one",
		"f": "Pending Waiting: 2 units of work type gate run already (maxunits 2), 3 are before this one",
	} {
		if got := n.detail(ids[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	n.mustSubmit("true", "", "") // other types are not held up
	g.let("a")
	g.want(t, "a", "b", "c")

	// Cancel and release of one that waits; what runs over a restart counts.
	if _, err := n.m.Cancel(t.Context(), ids["d"]); err != nil {
		t.Fatal(err)
	}
	n.await(ids["d"], controlproto.StateCanceled)
	n.restart()
	until(t, "e waits", func() bool {
		return n.detail(ids["e"]) == "Pending Waiting: 2 units of work type gate run already (maxunits 2), this one is next"
	})
	h := n.mustSubmit("gate", "h", "")
	if got := n.detail(h); !strings.HasSuffix(got, "2 are before this one") {
		t.Errorf("h: %s", got)
	}
	if _, err := n.m.Release(t.Context(), ids["e"], false); err != nil {
		t.Fatal(err)
	}
	n.restart() // in the order of acceptance
	g.let("b")
	g.want(t, "a", "b", "c", "f")
	g.let("c")
	g.want(t, "a", "b", "c", "f", "h")
	if g.most != 2 {
		t.Errorf("%d ran at a time", g.most)
	}
	g.let("f")
	g.let("h")
	n.await(ids["f"], controlproto.Succeeded)
	n.await(h, controlproto.Succeeded)
	until(t, "the queue is empty", func() bool {
		n.m.queue.mu.Lock()
		defer n.m.queue.mu.Unlock()
		return len(n.m.queue.lanes) == 0 && len(n.m.queue.known) == 0
	})
}

// A unit that cannot be started, or ends at once, makes room like any other.
func TestQueueGoesOn(t *testing.T) {
	n, _ := newNode(t, "solo", func(c *Config) {
		c.Types = []Command{
			{WorkType: "nope", Command: "/nonexistent/program", MaxUnits: 1},
			{WorkType: "one", Command: "echo", AllowRuntimeParams: true, MaxUnits: 1},
		}
	})
	var ids []string
	for range 20 {
		ids = append(ids, n.mustSubmit("nope", "", ""), n.mustSubmit("one", "'", ""), n.mustSubmit("one", "x", ""))
	}
	for i, id := range ids {
		want := controlproto.Failed
		if i%3 == 2 {
			want = controlproto.Succeeded
		}
		n.await(id, want)
	}
}

func TestQueueNewLimits(t *testing.T) {
	n, sup := newNode(t, "solo", func(c *Config) { c.Types = gateTypes(1) })
	g := newGates(sup, "gate")
	for _, name := range []string{"a", "b", "c", "d"} {
		id := n.mustSubmit("gate", name, "")
		if name == "a" {
			n.await(id, controlproto.Running)
		}
	}
	g.want(t, "a")
	if err := n.m.SetTypes(gateTypes(2)); err != nil {
		t.Fatal(err)
	}
	g.want(t, "a", "b")
	if err := n.m.SetTypes(testTypes); err != nil { // the type is gone
		t.Fatal(err)
	}
	g.let("a")
	g.let("b")
	until(t, "they have ended", func() bool {
		done := 0
		for _, u := range n.m.List() {
			if u.State.Ended() {
				done++
			} else if u.Detail != "Waiting: work type gate is not configured on this node" {
				return false
			}
		}
		return done == 2
	})
	if err := n.m.SetTypes(gateTypes(0)); err != nil {
		t.Fatal(err)
	}
	until(t, "all run", func() bool { return len(g.started()) == 4 })
	g.let("c")
	g.let("d")
}

// Streamed units wait like others, and take their payload meanwhile.
func TestQueueOfStreams(t *testing.T) {
	n, sup := newNode(t, "solo", func(c *Config) {
		c.Types = []Command{{WorkType: "cat", Command: "cat", MaxUnits: 1}}
	})
	one, two, three := n.stream("cat", ""), n.stream("cat", ""), n.stream("cat", "Chosen01")
	write(t, two, "two")
	write(t, three, "three")
	two.Abort(io.ErrUnexpectedEOF)
	if u := n.await(two.ID(), controlproto.Failed); !strings.HasPrefix(u.Detail, "Error reading input data: ") || sup.Starts(two.ID()) != 0 {
		t.Errorf("%+v", u)
	}
	n.finish(one)
	n.await(one.ID(), controlproto.Succeeded)
	n.awaitOutput("Chosen01", "three")
	n.finish(three)
	n.await("Chosen01", controlproto.Succeeded)
}

// Many that wait cost no goroutines.
func TestQueueOfMany(t *testing.T) {
	n, sup := newNode(t, "solo", func(c *Config) { c.Types, c.Logger, c.Unsynced = gateTypes(1), nil, true })
	g := newGates(sup, "gate")
	first := n.mustSubmit("gate", "a", "")
	n.await(first, controlproto.Running)
	before := runtime.NumGoroutine()
	const many = 500
	last := ""
	for i := range many {
		name := fmt.Sprintf("n%d", i)
		last = n.mustSubmit("gate", name, "")
		g.let(name)
	}
	if after := runtime.NumGoroutine(); after > before+20 {
		t.Errorf("%d goroutines more", after-before)
	}
	if got := n.detail(last); !strings.HasSuffix(got, fmt.Sprintf("%d are before this one", many-1)) {
		t.Errorf("last: %s", got)
	}
	g.let("a")
	n.await(last, controlproto.Succeeded)
	for i, name := range g.started()[1:] {
		if name != fmt.Sprintf("n%d", i) {
			t.Fatalf("%d is %s", i, name)
		}
	}
	if g.most != 1 {
		t.Errorf("%d ran at a time", g.most)
	}
}

// The end of a command that a former daemon has started is told while the unit
// is taken up. Its place is free then, once and for all.
func TestQueueHoldsNothingThatHasEnded(t *testing.T) {
	n, _ := newNode(t, "solo")
	id := n.mustSubmit("true", "", "")
	n.await(id, controlproto.Succeeded)
	u := &unit{id: "Ended001", kind: command, rec: record{State: controlproto.Succeeded, WorkType: "true"}}
	n.m.hold(u, "true")
	n.m.queue.mu.Lock()
	defer n.m.queue.mu.Unlock()
	if n.m.queue.known[u] != nil {
		t.Error("a unit that has ended takes a place")
	}
}
