package work

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/worktest"
)

// crash is one run that ends after so many steps on the disk.
type crash struct {
	*node
	sup  *worktest.Supervisor
	disk *disk
}

// eachStep runs scene again and again, ending the daemon after each of its steps
// on the disk, with and without a power cut, and checks what the next one makes of it.
func eachStep(t *testing.T, power []bool, adjust func(*Config), scene, check func(*crash)) {
	t.Helper()
	for _, cut := range power {
		for stop := 0; ; stop++ {
			n, sup := newNode(t, "solo", func(c *Config) { c.Logger = nil }, adjust)
			c := &crash{node: n, sup: sup, disk: &disk{stopAt: stop, synced: map[string]bool{}}}
			n.m.store.did = c.disk.did
			scene(c)
			n.stop()
			c.disk.mu.Lock()
			enough := len(c.disk.steps) > stop
			c.disk.mu.Unlock()
			if cut {
				powerCut(t, n.c.Dir, c.disk)
			}
			n.start()
			check(c)
			n.stop()
			sup.Close()
			if t.Failed() {
				t.Fatalf("stopped after step %d, power cut %v: %v", stop, cut, c.disk.steps)
			}
			if !enough {
				t.Logf("power cut %v: %d steps", cut, stop)
				break
			}
		}
	}
}

func nothing(*Config) {}

// trySubmit submits work on a disk that may fail.
func (c *crash) trySubmit(workType, params string) (id string, err error) {
	sub, err := c.m.Create(controlproto.Submit{Node: "solo", WorkType: workType, Params: map[string]string{"params": params}}, Origin{})
	if err != nil {
		return "", err
	}
	_, err = sub.Start(c.t.Context())
	return sub.ID(), err
}

func TestStopAfterEachStepOfAStream(t *testing.T) {
	for _, chosen := range []string{"", "Chosen01"} {
		s := controlproto.Submit{Node: "solo", WorkType: "cat", UnitID: chosen, Stream: true}
		id, begun, ended := "", false, false
		scene := func(c *crash) {
			id, begun, ended = "", false, false
			sub, err := c.m.Create(s, Origin{})
			if err != nil {
				return
			}
			id = sub.ID()
			if err = sub.Begin(t.Context()); err == nil {
				begun = true
				if _, err = sub.Write([]byte("pay")); err == nil {
					_, err = sub.Write([]byte("load"))
				}
			}
			if err == nil {
				_, err = sub.Start(t.Context())
				ended = err == nil
			}
			if ended {
				c.await(id, controlproto.Succeeded)
			}
		}
		check := func(c *crash) {
			switch {
			case ended:
				if out, last := c.results(id, 0); out != "payload" || last.State != controlproto.Succeeded {
					t.Errorf("ended, and now %q %+v", out, last)
				}
			case chosen == "":
				for id := range c.m.List() {
					u := c.awaitThat(id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
					if out := c.file(id, fileStdout); u.State == controlproto.Succeeded && out != "payload" {
						t.Errorf("a payload that broke off: %q %+v", out, u)
					}
				}
			case begun || len(c.m.List()) > 0:
				if u, err := c.m.Status(id); err != nil || u.State.Ended() {
					if begun && err != nil {
						t.Errorf("begun, and now %v", err)
					}
					break
				}
				again := c.stream("cat", id)
				write(t, again, "payload"[again.Received():])
				c.finish(again)
				if out, last := c.results(id, 0); out != "payload" || last.State != controlproto.Succeeded {
					t.Errorf("came back, and now %q %+v", out, last)
				}
			}
			if n := c.sup.Starts(id); n > 1 {
				t.Errorf("started %d times", n)
			}
		}
		eachStep(t, []bool{false}, nothing, scene, check)
		// After a power cut no command is left that has read a part of it.
		eachStep(t, []bool{true}, nothing, scene, func(c *crash) {
			if ended {
				check(c)
				return
			}
			for id, u := range c.m.List() {
				if chosen == "" && !u.State.Ended() {
					c.awaitThat(id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
				}
			}
			if begun && len(c.m.List()) != 1 {
				t.Errorf("begun, and now %v", c.m.List())
			}
		})
	}
}

// What was accepted runs once, in the order of acceptance, one at a time.
func TestStopAfterEachStepOfAQueue(t *testing.T) {
	var g *gates
	var accepted []string
	eachStep(t, []bool{false, true}, func(c *Config) { c.Types = gateTypes(1) }, func(c *crash) {
		g, accepted = newGates(c.sup, "gate"), nil
		for _, name := range []string{"a", "b", "c"} {
			id, err := c.trySubmit("gate", name)
			if err == nil {
				accepted = append(accepted, name)
				if name == "a" {
					c.await(id, controlproto.Running)
				}
			}
		}
	}, func(c *crash) {
		for _, name := range []string{"a", "b", "c"} {
			g.let(name)
		}
		for id := range c.m.List() {
			c.awaitThat(id, "ended", func(u controlproto.UnitStatus) bool { return u.State.Ended() })
		}
		started := g.started()
		for _, name := range accepted {
			if !slices.Contains(started, name) {
				t.Errorf("%s was accepted and not run", name)
			}
		}
		if !slices.IsSorted(started) || len(slices.Compact(slices.Clone(started))) != len(started) || g.most > 1 {
			t.Errorf("run were %v, %d at a time", started, g.most)
		}
	})
}

// A unit is there whole, or gone with all its files; and it is not run again.
func TestStopAfterEachStepOfARelease(t *testing.T) {
	s := controlproto.Submit{Node: "solo", WorkType: "apart", UnitID: "Chosen01", Params: map[string]string{"params": "x"}}
	for _, byItself := range []bool{false, true} {
		const none = 1 << 30
		for stop := 0; ; stop++ {
			n, sup := newNode(t, "solo", func(c *Config) { c.Logger = nil })
			id, _, err := n.submit(s, "")
			if err != nil {
				t.Fatal(err)
			}
			n.await(id, controlproto.Failed)
			n.restart() // its status is saved
			if err := n.m.up(t.Context()); err != nil {
				t.Fatal(err)
			}
			d := &disk{stopAt: none, synced: map[string]bool{}}
			n.m.store.did = d.did
			d.stopAt = stop
			if byItself {
				n.m.releaseOld(n.m.units[id])
			} else {
				n.m.Release(t.Context(), id, false)
			}
			n.restart()
			entries, _ := filepath.Glob(filepath.Join(n.c.Dir, "[^.]*"))
			if list := n.m.List(); len(list) != len(entries) || len(list) == 1 && list[id].ExitCode == nil {
				t.Errorf("stopped at %d: units %v, entries %v", stop, list, entries)
			}
			if left, _ := filepath.Glob(filepath.Join(n.c.Dir, releasedPrefix+"?*")); len(left) > 0 {
				t.Errorf("stopped at %d: %v is left", stop, left)
			}
			if sub, err := n.m.Create(s, Origin{}); err == nil {
				if _, err = sub.Start(t.Context()); err != nil {
					t.Error(err)
				}
			} else if controlproto.CodeOf(err) != controlproto.NotFound {
				t.Errorf("repeated: %v", err)
			}
			if sup.Starts(id) != 1 {
				t.Errorf("stopped at %d: started %d times", stop, sup.Starts(id))
			}
			n.stop()
			if len(d.steps) <= stop {
				t.Logf("%d steps", stop)
				break
			}
		}
	}
}

func TestStopAfterEachStepWithStderr(t *testing.T) {
	id, accepted := "", false
	eachStep(t, []bool{false, true}, nothing, func(c *crash) {
		var err error
		id, err = c.trySubmit("apart", "x")
		accepted = err == nil
		if accepted {
			c.await(id, controlproto.Failed)
		}
	}, func(c *crash) {
		if !accepted {
			return
		}
		// The fake supervisor knows the end still, but writes nothing that outlives a power cut.
		u := c.await(id, controlproto.Failed)
		if u.StderrSize == nil || u.ExitCode == nil || *u.ExitCode != 1 {
			t.Errorf("%+v %v %v", u, u.StderrSize, u.ExitCode)
		}
		if out, _ := os.ReadFile(c.m.store.path(id, fileStdout)); string(out) != "out x\n" {
			t.Errorf("output %q", out)
		}
		if c.sup.Starts(id) != 1 {
			t.Errorf("started %d times", c.sup.Starts(id))
		}
	})
}
