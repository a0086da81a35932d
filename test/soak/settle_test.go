//go:build soak && unix

package soak

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// patience bounds the wait for true ends once all is mended: a pause between
// two attempts of a remote unit, which is up to 60 s, and the redial of links.
const patience = 150 * time.Second

// settle mends everything, waits for all units, checks and releases them, and measures.
func (s *soak) settle(part int) {
	s.happened("everything is mended")
	s.m.heal()
	clear(s.down)
	mended := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	units := s.units[s.first:]
	for _, u := range units {
		switch {
		case u.released:
			s.end(ctx, u, map[bool]string{true: "force-release", false: "release"}[u.forced])
			continue
		case u.chosen && (!u.accepted || u.stream && !u.fed): // cut off by the end of the part, or canceled early
			s.submit(ctx, u, nil)
		}
		if u.kind == "nap" && u.id != "" {
			s.end(ctx, u, "cancel")
		}
	}
	s.await(ctx)
	s.happened("all units have ended after %.1fs", time.Since(mended).Seconds())
	lists := s.lists(ctx)
	for _, u := range units {
		s.check(ctx, u, lists)
	}
	for _, name := range s.m.work { // submitters first: what is on executors goes with it
		for id, status := range lists[name] {
			if status.WorkType == "remote" || s.owner(name, id).submitter == name {
				s.release(ctx, name, id)
			}
		}
	}
	for name, list := range s.lists(ctx) {
		for id, status := range list {
			s.fail(s.owner(name, id), "%s has still a unit %s after all were released: %+v", name, id, status)
		}
	}
	s.first = len(s.units)
	for _, name := range s.m.names {
		n := s.m.nodes[name]
		n.Eventually("remove all unit directories", func() bool { return len(unitDirs(n)) == 0 })
		s.noCommands(n)
	}
	s.measure(fmt.Sprintf("after part %d", part+1))
}

// noCommands waits until the node's commands are gone, and tells whose are left.
func (s *soak) noCommands(n *harness.Node) {
	var left []int
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(again) {
		left = left[:0]
		for _, pid := range n.Helpers() {
			if !rig.IsSupervisor(pid) {
				left = append(left, pid)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	for _, pid := range left {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		out, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", pid))
		id := strings.TrimPrefix(filepath.Base(filepath.Dir(out)), ".released.")
		whose := &unit{n: -1, kind: "?"}
		for _, u := range s.units {
			if u.id == id || bytes.Contains(args, []byte(u.mark+"\x00")) {
				whose = u
			}
		}
		if s.owners[id] != nil {
			whose = s.owners[id]
		}
		s.fail(whose, "%s: after all units were released process %d is left: %q, stat %s, output %s", n.ID, pid, args, stat, out)
		syscall.Kill(pid, syscall.SIGKILL) // so that the run can go on
	}
}

func unitDirs(n *harness.Node) []string {
	left, _ := filepath.Glob(filepath.Join(n.DataDir(), "[0-9a-zA-Z]*"))
	return left
}

func (s *soak) lists(ctx context.Context) map[string]map[string]controlproto.UnitStatus {
	lists := map[string]map[string]controlproto.UnitStatus{}
	for _, name := range s.m.work {
		err := s.session(ctx, name, func(ctx context.Context, c *rig.Session) (err error) {
			lists[name], err = c.List(ctx)
			return err
		})
		if err != nil {
			s.t.Fatalf("list of %s: %v", name, err)
		}
	}
	return lists
}

var markOf = regexp.MustCompile(`/u(\d{6}) `)

// owner finds the unit of the test that a unit of a daemon belongs to, by the
// parameters in its files.
func (s *soak) owner(node, id string) *unit {
	dir := filepath.Join(s.m.nodes[node].DataDir(), id)
	for _, u := range s.units[s.first:] {
		if u.adopted == id && u.plan.adopter == node {
			return u
		}
	}
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	receipt, _ := os.ReadFile(filepath.Join(dir, "receipt"))
	if found := markOf.FindSubmatch(append(status, receipt...)); found != nil {
		if n, err := strconv.Atoi(string(found[1])); err == nil && n < len(s.units) {
			s.owners[id] = s.units[n]
			return s.units[n]
		}
	}
	return &unit{n: -1, id: "unknown", kind: "?"}
}

// await waits until every unit on every node has ended, and released ones are gone.
func (s *soak) await(ctx context.Context) {
	deadline := time.Now().Add(patience)
	waited := map[string]bool{}
	for ; ; time.Sleep(again) {
		type open struct {
			node, id string
			status   controlproto.UnitStatus
		}
		var waiting []open
		for name, list := range s.lists(ctx) {
			for id, status := range list {
				u := s.owner(name, id)
				if strings.HasPrefix(status.Detail, "Waiting: ") && name == u.executor && !waited[id] {
					waited[id] = true
					s.count("units seen waiting for their turn")
				}
				if u.n >= 0 && u.forced && name == u.executor && name != u.submitter {
					// What a release by force leaves on a node that it could not reach.
					s.count("units left behind by force, released by hand")
					s.release(ctx, name, id)
					continue
				}
				if !status.State.Ended() || u.released {
					waiting = append(waiting, open{name, id, status})
				}
			}
		}
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, w := range waiting {
				s.fail(s.owner(w.node, w.id), "unit %s of %s has not come to its end %v after all was mended: %s, %q, %d bytes, %s", w.id, w.node, patience,
					w.status.State, w.status.Detail, w.status.StdoutSize, w.status.ExtraData)
			}
			s.t.FailNow()
		}
	}
}

// release has a node release a unit; one that it does not know is released.
func (s *soak) release(ctx context.Context, node, id string) {
	err := s.session(ctx, node, func(ctx context.Context, c *rig.Session) error {
		_, err := c.Unit(ctx, "release", id)
		return err
	})
	if err != nil && controlproto.CodeOf(err) != controlproto.NotFound {
		s.t.Errorf("release of %s on %s: %v", id, node, err)
	}
}

// read fetches a unit's end, and all that it has printed.
func (s *soak) read(ctx context.Context, node, id string) (last controlproto.UnitStatus, out, errs []byte, err error) {
	var o, e bytes.Buffer
	err = s.session(ctx, node, func(ctx context.Context, c *rig.Session) (err error) {
		o.Reset()
		e.Reset()
		last, err = c.Follow(ctx, id, &o, controlproto.FollowOptions{Stderr: &e})
		return err
	})
	return last, o.Bytes(), e.Bytes(), err
}

// checkAdopted holds that the adopter has the same unit as the submitter.
func (s *soak) checkAdopted(ctx context.Context, u *unit, list map[string]controlproto.UnitStatus, want controlproto.UnitStatus, out, errs []byte) {
	if _, listed := list[u.adopted]; !listed {
		s.fail(u, "the unit was adopted by %s, and is lost there", u.plan.adopter)
		return
	}
	got, o, e, err := s.read(ctx, u.plan.adopter, u.adopted)
	sizes := func(st controlproto.UnitStatus) string {
		text := fmt.Sprint(st.State, ", ", st.StdoutSize, " bytes")
		if st.StderrSize != nil {
			text += fmt.Sprint(", errors ", *st.StderrSize)
		}
		if st.ExitCode != nil {
			text += fmt.Sprint(", exit code ", *st.ExitCode)
		}
		return text + ", " + st.Detail
	}
	switch {
	case err != nil:
		s.fail(u, "the output of the adopted unit cannot be read: %v", err)
	case brokenOff.MatchString(want.Detail) && got.State == controlproto.StateCanceled && got.StdoutSize == want.StdoutSize:
		// The submitter's node knows why it had the executor stop the command.
	case sizes(got) != sizes(want):
		s.fail(u, "the adopted unit ended as %q, the submitter's as %q", sizes(got), sizes(want))
	case !bytes.Equal(o, out) || !bytes.Equal(e, errs):
		s.fail(u, "the adopted unit has other output than the submitter's")
	default:
		s.count("adopted units that ended alike")
	}
}

// check compares a unit's end with what must have become of it.
func (s *soak) check(ctx context.Context, u *unit, lists map[string]map[string]controlproto.UnitStatus) {
	status, listed := lists[u.submitter][u.id]
	switch {
	case !listed && u.accepted && !u.released:
		s.fail(u, "the unit was accepted, and is lost")
		return
	case !listed:
		return
	}
	last, out, errs, err := s.read(ctx, u.submitter, u.id)
	u.note("its end: %s, %q, %d bytes", last.State, last.Detail, last.StdoutSize)
	if err != nil {
		s.fail(u, "its output cannot be read: %v", err)
		return
	}
	if last.State != status.State || last.Detail != status.Detail {
		s.fail(u, "a final state has changed from %s, %q to %s, %q", status.State, status.Detail, last.State, last.Detail)
	}
	if u.adopted != "" {
		s.checkAdopted(ctx, u, lists[u.plan.adopter], last, out, errs)
	}
	if !u.accepted { // the session broke: whatever became of it is right, but that is final
		return
	}
	if wrong := u.wrong(last, out, errs); wrong != "" {
		s.fail(u, "%s: %s, %q", wrong, last.State, last.Detail)
	}
	s.count("ended " + last.State.String())
	if u.doomed {
		s.count("units whose command was killed with its node")
	}
	if last.State == controlproto.Failed && u.kind != "fail" && last.Detail != "Locally Cancelled" {
		s.count("ended Failed by a fault: " + last.Detail)
	}
	if u.excuse != "" {
		s.count("units that a fault might have failed")
	}
}

// quiet is what the daemons and supervisors hold when nothing is to be done.
type quiet struct {
	when  string
	usage map[string]rig.Usage // by process: "c", "c supervisor"
}

// The limits of growth of a process between the first quiet point of its node
// and a later one; a supervisor's first one is where it first was seen.
const (
	maxMoreFiles   = 16
	maxMoreThreads = 12
	maxMoreRSS     = 32 << 20
	maxThreads     = 64
	maxRSS         = 128 << 20
	quietPatience  = 150 * time.Second // an idle daemon collects garbage every two minutes
)

// measure waits until all processes are within their limits, and notes what they hold.
func (s *soak) measure(when string) {
	deadline := time.Now().Add(quietPatience)
	for {
		q := quiet{when, map[string]rig.Usage{}}
		for _, name := range s.m.names {
			n := s.m.nodes[name]
			pids := map[string]int{name: n.Pid()}
			for i, pid := range supervisors(n) {
				pids[fmt.Sprintf("%s supervisor%.*s", name, i, "+++")] = pid
			}
			for what, pid := range pids {
				if u, err := rig.Measure(pid); err == nil {
					q.usage[what] = u
				}
			}
		}
		grown := s.grown(q)
		if grown == nil || time.Now().After(deadline) {
			for _, g := range grown {
				s.t.Errorf("%s: %v", when, g)
			}
			s.quiets = append(s.quiets, q)
			return
		}
		time.Sleep(again)
	}
}

// grown lists the processes that hold more than they may.
func (s *soak) grown(q quiet) (grown []error) {
	for what, u := range q.usage {
		base := u
		for _, earlier := range s.quiets {
			if b, ok := earlier.usage[what]; ok {
				base = b
				break
			}
		}
		if len(s.quiets) < 2 { // the first work makes a process as large as it is to be
			base.RSS = u.RSS
		} else if b, ok := s.quiets[1].usage[what]; ok {
			base.RSS = b.RSS
		}
		switch {
		case u.Files > base.Files+maxMoreFiles:
			grown = append(grown, fmt.Errorf("%s holds %d files, %d before", what, u.Files, base.Files))
		case u.Threads > min(maxThreads, base.Threads+maxMoreThreads):
			grown = append(grown, fmt.Errorf("%s has %d threads, %d before", what, u.Threads, base.Threads))
		case u.RSS > min(maxRSS, base.RSS+maxMoreRSS):
			grown = append(grown, fmt.Errorf("%s holds %d MiB, %d before", what, u.RSS>>20, base.RSS>>20))
		}
	}
	return grown
}

func table(quiets []quiet) string {
	var b bytes.Buffer
	for _, q := range quiets {
		fmt.Fprintf(&b, "  %s\n", q.when)
		for _, what := range slices.Sorted(maps.Keys(q.usage)) {
			u := q.usage[what]
			fmt.Fprintf(&b, "    %-16s pid %-8d %3d files %3d threads %6.1f MiB\n", what, u.Pid, u.Files, u.Threads, float64(u.RSS)/(1<<20))
		}
	}
	return b.String()
}

// maxMoreGoroutines bounds what a daemon that has been through everything has
// more than one that was just started.
const maxMoreGoroutines = 32

func fileOf(n *harness.Node) []byte {
	data, _ := os.ReadFile(n.LogFile())
	return data
}

var goroutineHead = regexp.MustCompile(`(?m)^goroutine \d+ .*\[`)

// goroutines compares the daemons with new ones: SIGQUIT ends a daemon and has it
// print its goroutines, which cannot be seen from outside in another way.
func (s *soak) goroutines() {
	old := s.quit()
	s.m.heal()
	fresh := s.quit()
	for _, name := range s.m.names {
		s.t.Logf("%s: %d goroutines, %d in a new daemon", name, old[name], fresh[name])
		if old[name] > fresh[name]+maxMoreGoroutines {
			s.t.Errorf("%s: %d goroutines when idle, a new daemon has %d; see its log", name, old[name], fresh[name])
		}
	}
	s.m.heal()
}

// quit ends all daemons at once and counts their goroutines.
func (s *soak) quit() map[string]int {
	before := map[string]int{}
	for _, name := range s.m.names {
		before[name] = len(goroutineHead.FindAll(fileOf(s.m.nodes[name]), -1))
	}
	for _, name := range s.m.names {
		syscall.Kill(s.m.nodes[name].Pid(), syscall.SIGQUIT)
	}
	counts := map[string]int{}
	for _, name := range s.m.names {
		n := s.m.nodes[name]
		n.Wait()
		if counts[name] = len(goroutineHead.FindAll(fileOf(n), -1)) - before[name]; counts[name] < 1 {
			s.t.Errorf("%s printed no goroutines", name)
		}
	}
	return counts
}

// finish stops all daemons: nothing is left of them.
func (s *soak) finish() {
	for _, name := range s.m.names {
		n := s.m.nodes[name]
		if code := n.Stop(); code != 0 {
			s.t.Errorf("%s: exit code %d", name, code)
		}
		n.Within(patience, "leave no process", func() bool { return len(n.Helpers()) == 0 })
		if _, err := os.Stat(n.Socket); err == nil {
			s.t.Errorf("%s left its socket", name)
		}
	}
}
