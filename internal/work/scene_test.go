package work

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
	"github.com/receptor-go/receptor/internal/work/worktest"
)

const patience = 10 * time.Second

// node is a Manager under test, which can be stopped and started again on the
// same directory.
type node struct {
	t    testing.TB
	c    Config
	m    *Manager
	stop func()
}

var testTypes = []Command{
	{WorkType: "true", Command: "true"},
	{WorkType: "false", Command: "false"},
	{WorkType: "cat", Command: "cat"},
	{WorkType: "echo", Command: "echo", AllowRuntimeParams: true},
	{WorkType: "base", Command: "echo", Params: "base", AllowRuntimeParams: true},
	{WorkType: "talk", Command: "talk", AllowRuntimeParams: true},
	{WorkType: "apart", Command: "talk", AllowRuntimeParams: true, SeparateStderr: true},
	{WorkType: "sleep", Command: "sleep", AllowRuntimeParams: true},
	{WorkType: "nope", Command: "/nonexistent/program"},
	{WorkType: "signed", Command: "true", VerifySignature: true},
}

// newNode starts a node with a fake supervisor.
func newNode(t testing.TB, name string, adjust ...func(*Config)) (*node, *worktest.Supervisor) {
	t.Helper()
	sup := worktest.NewSupervisor()
	n := &node{t: t, c: Config{
		Dir: filepath.Join(t.TempDir(), name), Node: name, Types: testTypes, Logger: testLog(t),
		OpenSupervisor: func(context.Context) (Supervisor, error) { return sup, nil },
	}}
	for _, f := range adjust {
		f(&n.c)
	}
	t.Cleanup(sup.Close)
	t.Cleanup(func() { n.stop() })
	n.start()
	return n, sup
}

// newRealNode starts a node with the real supervisor.
func newRealNode(t testing.TB, name string) *node {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, c: Config{Dir: filepath.Join(t.TempDir(), name), Node: name, Types: testTypes, Logger: testLog(t)}}
	n.c.Supervisor = supervise.Config{
		Dir: filepath.Join(n.c.Dir, ".supervisor"), Argv: []string{exe, "supervise"}, Idle: time.Second,
	}
	t.Cleanup(func() { n.stop() })
	n.start()
	return n
}

func testLog(t testing.TB) *slog.Logger {
	if _, ok := t.(*testing.B); ok {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func (n *node) start() {
	n.t.Helper()
	m, err := New(n.c)
	if err != nil {
		n.t.Fatal(err)
	}
	n.m = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				n.t.Errorf("Run: %v", err)
			}
		})
	}
}

func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.start()
}

// submit submits work and checks the result.
func (n *node) submit(s controlproto.Submit, payload string) (id, result string, err error) {
	n.t.Helper()
	if s.Node == "" {
		s.Node = n.c.Node
	}
	sub, err := n.m.Create(s, Origin{UnixSocket: true})
	if err != nil {
		return "", "", err
	}
	if _, err := io.WriteString(sub, payload); err != nil {
		n.t.Fatal(err)
	}
	done, err := sub.Start(context.Background())
	if done.UnitID != sub.ID() {
		n.t.Errorf("Start names unit %q, Create %q", done.UnitID, sub.ID())
	}
	return sub.ID(), done.Result, err
}

func (n *node) mustSubmit(workType, params, payload string) string {
	n.t.Helper()
	s := controlproto.Submit{WorkType: workType}
	if params != "" {
		s.Params = map[string]string{"params": params}
	}
	id, result, err := n.submit(s, payload)
	if err != nil || result != controlproto.JobStarted {
		n.t.Fatalf("submit %s: %q, %v", workType, result, err)
	}
	return id
}

// await waits for a state.
func (n *node) await(id string, want controlproto.State) controlproto.UnitStatus {
	n.t.Helper()
	return n.awaitThat(id, want.String(), func(u controlproto.UnitStatus) bool { return u.State == want })
}

func (n *node) awaitThat(id, what string, ok func(controlproto.UnitStatus) bool) controlproto.UnitStatus {
	n.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		u, err := n.m.Status(id)
		if err != nil {
			n.t.Fatalf("unit %s: %v", id, err)
		}
		if ok(u) {
			return u
		}
		if time.Now().After(end) {
			n.t.Fatalf("unit %s is not %s in time, but %+v", id, what, u)
		}
	}
}

// until polls a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// results follows a unit to its end.
func (n *node) results(id string, from int64) (string, controlproto.UnitStatus) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var s collect
	last, err := n.m.Follow(ctx, id, FollowOptions{From: from}, &s)
	if err != nil {
		n.t.Fatalf("follow %s: %v (so far %s)", id, err, &s)
	}
	return s.out.String(), last
}

// collect is a Sink that keeps everything.
type collect struct {
	mu     sync.Mutex
	out    bytes.Buffer
	errs   bytes.Buffer
	states []string
}

func (c *collect) Status(u controlproto.UnitStatus) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, u.StateName+" "+u.Detail)
	return nil
}

func (c *collect) Stderr(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs.Write(p)
	return nil
}

func (c *collect) Output(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Write(p)
	return nil
}

func (c *collect) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%q %s", c.out.String(), strings.Join(c.states, ", "))
}

func (c *collect) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Len()
}

func (n *node) file(id, name string) string {
	b, err := os.ReadFile(filepath.Join(n.c.Dir, id, name))
	if err != nil {
		return "<" + err.Error() + ">"
	}
	return string(b)
}
