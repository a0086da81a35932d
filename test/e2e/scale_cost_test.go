//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// maxMemory is what daemon and supervisor may hold together with 1,000 commands running.
const maxMemory = 64 << 20

// TestCostOfSleepers holds that 1,000 running units cost their commands' own
// processes, and less than 64 MiB for all of ours.
func TestCostOfSleepers(t *testing.T) {
	const count = 1000
	n := harness.New(t, programs, harness.Dir(t), "a", "- local-only:\n- work-command: {worktype: nap, command: sleep, params: \"100000\"}\n")
	n.Start()
	ids := make([]string, count)
	sessions(t, n, count, func(ctx context.Context, s *rig.Session, i int) error {
		done, err := s.Submit(ctx, controlproto.Submit{Node: "localhost", WorkType: "nap"}, nil, controlproto.SubmitOptions{})
		ids[i] = done.UnitID
		return err
	})
	session, err := rig.Open(t.Context(), n.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	in := func(state controlproto.State) func() bool {
		return func() bool {
			units, err := session.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, u := range units {
				if u.State == state {
					found++
				}
			}
			return found == count
		}
	}
	n.Eventually("run all units", in(controlproto.Running))
	// The processes of ours, and the commands; a command is a child of the supervisor.
	ours, commands := []int{n.Pid()}, 0
	n.Eventually("run one process for each unit", func() bool {
		ours, commands = ours[:1], 0
		for _, pid := range n.Helpers() {
			if rig.IsSupervisor(pid) {
				ours = append(ours, pid)
			} else {
				commands++
			}
		}
		return len(ours) == 2 && commands == count
	})
	var memory int64
	for _, pid := range ours {
		u, err := rig.Measure(pid)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("process %d: RSS %.1f MiB, PSS %.1f MiB, %d threads, %d files", pid, float64(u.RSS)/(1<<20), float64(u.PSS)/(1<<20), u.Threads, u.Files)
		memory += u.RSS
		if u.Threads > 64 {
			t.Errorf("process %d has %d threads", pid, u.Threads)
		}
	}
	t.Logf("%d commands, RSS of daemon and supervisor %.1f MiB", commands, float64(memory)/(1<<20))
	if memory > maxMemory {
		t.Errorf("daemon and supervisor hold %d bytes, more than %d", memory, maxMemory)
	}
	sessions(t, n, count/2, func(ctx context.Context, s *rig.Session, i int) error {
		_, err := s.Unit(ctx, "cancel", ids[i])
		return err
	})
	sessions(t, n, count, func(ctx context.Context, s *rig.Session, i int) error {
		_, err := s.Unit(ctx, "release", ids[i])
		return err
	})
	n.Eventually("end all commands", func() bool { return len(n.Helpers()) <= 1 })
	n.Eventually("remove all unit directories", func() bool { return len(unitDirs(n)) == 0 })
	if code := n.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n.Eventually("leave no process", func() bool { return len(n.Helpers()) == 0 })
}
