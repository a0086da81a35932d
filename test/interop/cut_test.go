//go:build interop

package interop

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// cutChain starts controller c - relay r - executor e, with a cable in each link.
func cutChain(t *testing.T, by [3]harness.Programs, work string) (c, r, e *harness.Node, cables [2]*rig.Cable) {
	dir := harness.Dir(t)
	port := harness.FreePort(t)
	r = harness.New(t, by[1], dir, "relay", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", port))
	peer := func(i int) string {
		cables[i] = rig.NewCable(t, "tcp", port)
		return fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", cables[i].Port())
	}
	c = harness.New(t, by[0], dir, "controller", peer(0))
	e = harness.New(t, by[2], dir, "executor", peer(1)+work)
	for _, n := range []*harness.Node{r, c, e} {
		n.Start()
	}
	c.Reach(r, e)
	return c, r, e, cables
}

// TestResultsThroughCuts fetches 64 MiB while links break five times, with
// ansible/receptor in each role: every byte arrives, once and in its place.
func TestResultsThroughCuts(t *testing.T) {
	const cuts, part = 5, 64 << 20 / 6
	theirs := peer(t)
	for i, role := range []string{"controller", "relay", "executor"} {
		t.Run("peer is "+role, func(t *testing.T) {
			t.Parallel() // it waits nearly all the time
			by := [3]harness.Programs{ours, ours, ours}
			by[i] = theirs
			dir := harness.Dir(t)
			want := sha256.New()
			for p := range cuts + 1 {
				data := make([]byte, part)
				rand.Read(data)
				want.Write(data)
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part%d", p)), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// Each part is printed when the test says so, so that each cut meets bytes on their way.
			work := fmt.Sprintf("- work-command: {worktype: parts, command: sh, params: \"-c 'cd %s; for p in 0 1 2 3 4 5; do while [ ! -e go$p ]; do sleep 0.02; done; cat part$p; done'\"}\n", dir)
			c, _, e, cables := cutChain(t, by, work)
			unit := harness.Submit(t, c, "--node", e.ID, "--no-payload", "parts")
			out := filepath.Join(c.DataDir(), unit, "stdout")
			size := func() int64 {
				info, err := os.Stat(out)
				if err != nil {
					return 0
				}
				return info.Size()
			}
			for p := range cuts + 1 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("go%d", p)), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if p == cuts {
					break
				}
				began := time.Now()
				for size() <= int64(p)*part {
					if time.Since(began) > slowly {
						t.Fatalf("only %d bytes have come after %d cuts: %+v\n%s\n%s", size(), p, harness.List(t, c)[unit], c.Log(), e.Log())
					}
					time.Sleep(time.Millisecond)
				}
				at := size()
				cables[p%2].Snap()
				t.Logf("cut %d at %d bytes of part %d, %.1fs after the one before", p+1, at-int64(p)*part, p, time.Since(began).Seconds())
			}
			c.Within(slowly, "have all of the output", func() bool {
				u := harness.List(t, c)[unit]
				return u.StateName == "Succeeded" && size() >= (cuts+1)*part
			})
			got := sha256.Sum256([]byte(c.Run("work", "results", unit)))
			if [32]byte(want.Sum(nil)) != got {
				t.Errorf("%d bytes of output are not the %d that were printed", size(), (cuts+1)*part)
			}
			c.Run("work", "release", unit)
		})
	}
}

// TestNoOrphan has an ansible/receptor controller cancel and release units on
// our executor while links and daemons fail: nothing is left of any of them.
func TestNoOrphan(t *testing.T) {
	theirs := peer(t)
	t.Parallel() // it waits nearly all the time
	const work = "- work-command: {worktype: nap, command: sh, params: \"-c 'echo napping; sleep 100000 & sleep 100000; wait'\"}\n"
	c, _, e, cables := cutChain(t, [3]harness.Programs{theirs, ours, ours}, work)
	commands := func() (n int) {
		for _, pid := range e.Helpers() {
			if !rig.IsSupervisor(pid) {
				n++
			}
		}
		return n
	}
	nap := func() string {
		t.Helper()
		unit := harness.Submit(t, c, "--node", e.ID, "--no-payload", "nap")
		state(t, c, unit, "Running")
		if u := harness.List(t, c)[unit]; u.ExtraData.RemoteUnitID == "" {
			t.Fatalf("unit %s: %+v", unit, u)
		}
		return unit
	}
	gone := func(what, unit string) {
		t.Helper()
		for _, n := range []*harness.Node{c, e} {
			n.Within(slowly, "be rid of the unit that was "+what, func() bool { return len(harness.List(t, n)) == 0 })
			n.Within(slowly, "delete the files of the unit that was "+what, func() bool {
				left, _ := filepath.Glob(filepath.Join(n.DataDir(), "[0-9a-zA-Z]*"))
				return len(left) == 0
			})
		}
		e.Within(slowly, "end the command of the unit that was "+what, func() bool { return commands() == 0 })
	}
	unreachable := func() {
		t.Helper()
		c.Within(slowly, "lose the route", func() bool { return c.Try("ping", "--count", "1", e.ID).Code != 0 })
	}
	// remoteState waits until the executor shows its one unit so.
	remoteState := func(want string) {
		t.Helper()
		e.Within(slowly, "show the unit as "+want, func() bool {
			for _, u := range harness.List(t, e) {
				return u.StateName == want
			}
			return false
		})
	}

	unit := nap()
	c.Run("work", "cancel", unit)
	remoteState("Canceled")
	state(t, c, unit, "Canceled")
	c.Run("work", "release", unit)
	gone("canceled, then released", unit)

	unit = nap()
	c.Run("work", "release", unit)
	gone("released", unit)

	unit = nap()
	cables[0].Cut(false)
	unreachable()
	harness.Match(t, c.Run("work", "cancel", unit), `Cancelled:\n\(\w+, cancel pending\)\n`)
	cables[0].Heal()
	remoteState("Canceled")
	e.Within(slowly, "end the canceled command", func() bool { return commands() == 0 })
	c.Run("work", "release", unit)
	gone("canceled behind a cut", unit)

	unit = nap()
	cables[1].Cut(false)
	unreachable()
	harness.Match(t, c.Run("work", "release", unit), `Released:\n\(\w+, release pending\)\n`)
	cables[1].Heal()
	gone("released behind a cut", unit)

	unit = nap()
	c.Kill()
	c.Start()
	c.Within(slowly, "reach the executor", func() bool { return c.Try("ping", "--count", "1", e.ID).Code == 0 })
	c.Run("work", "release", unit)
	gone("released after its controller was killed", unit)

	unit = nap()
	e.Kill()
	c.Within(slowly, "lose the executor", func() bool { return c.Try("ping", "--count", "1", e.ID).Code != 0 })
	harness.Match(t, c.Run("work", "release", unit), `Released:\n\(\w+, release pending\)\n`)
	e.Start()
	gone("released while its executor was down", unit)
}
