//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// marking is a work type that leaves a line in a file of dir, named by its
// parameter, and answers its input.
func marking(dir string) string {
	return fmt.Sprintf("- work-command: {worktype: mark, command: sh, params: \"-c 'echo ran >>%s/$0; exec cat'\", allowruntimeparams: true}\n", dir)
}

// chainOfCables starts c - r - e, with a cable in each of the two links.
func chainOfCables(t *testing.T, work string) (c, r, e *harness.Node, cables [2]*rig.Cable) {
	dir := harness.Dir(t)
	port := harness.FreePort(t)
	r = harness.New(t, programs, dir, "r", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", port))
	ends := make([]*harness.Node, 2)
	for i, id := range []string{"c", "e"} {
		cables[i] = rig.NewCable(t, "tcp", port)
		ends[i] = harness.New(t, programs, dir, id, fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", cables[i].Port())+work)
	}
	c, e = ends[0], ends[1]
	for _, n := range []*harness.Node{r, c, e} {
		n.Start()
	}
	c.Reach(e)
	return c, r, e, cables
}

// number is the value of an environment variable, or n.
func number(t *testing.T, variable string, n int) int {
	text := os.Getenv(variable)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%s is not a number above 0", variable, text)
	}
	return n
}

// sessions runs work for each number below n, over a few connections. The test ends if one fails.
func sessions(t *testing.T, node *harness.Node, n int, work func(context.Context, *rig.Session, int) error) {
	t.Helper()
	overSessions(t, node, n, work)
	if t.Failed() {
		t.FailNow()
	}
}

// overSessions is sessions for any goroutine.
func overSessions(t *testing.T, node *harness.Node, n int, work func(context.Context, *rig.Session, int) error) {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience+time.Duration(n)*50*time.Millisecond)
	defer cancel()
	var next atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() { // ends when all numbers are done, or ctx is
			s, err := rig.Open(ctx, node.Socket)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := work(ctx, s, int(i)); err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// TestUnitsWhileLinksFlap submits RECEPTOR_UNITS units (500 without it), most of
// them to a node two hops away, while both links break again and again: each
// has its final state and its whole output, and its command ran once.
func TestUnitsWhileLinksFlap(t *testing.T) {
	count := number(t, "RECEPTOR_UNITS", 500)
	marks := harness.Dir(t)
	c, _, e, cables := chainOfCables(t, marking(marks))
	payload := func(i int) []byte {
		r := rand.NewChaCha8(sha256.Sum256([]byte(strconv.Itoa(i))))
		data := make([]byte, r.Uint64()%4096)
		r.Read(data)
		return data
	}

	ids := make([]string, count)
	submitted := make(chan struct{})
	go func() { // ends when all units are submitted, or the time for that is over
		defer close(submitted)
		overSessions(t, c, count, func(ctx context.Context, s *rig.Session, i int) error {
			node := "e"
			if i%8 == 0 {
				node = "localhost"
			}
			done, err := s.Submit(ctx, controlproto.Submit{Node: node, WorkType: "mark", Params: map[string]string{"params": strconv.Itoa(i)}},
				strings.NewReader(string(payload(i))), controlproto.SubmitOptions{})
			ids[i] = done.UnitID
			return err
		})
	}()

	// Something breaks each time that another part of the units has its mark. A link
	// alone is bridged by the streams; the end of the daemon cuts submissions in two.
	parts := max(3, count/500)
	for part := 1; part <= parts; part++ {
		c.Within(2*harness.Patience, "run more units", func() bool {
			list, _ := os.ReadDir(marks)
			return len(list) >= part*count/(parts+2)
		})
		if part%3 == 2 {
			e.Kill()
			e.Start()
		} else {
			cables[part%2].Snap()
		}
	}
	<-submitted
	if t.Failed() {
		t.FailNow()
	}

	session, err := rig.Open(t.Context(), c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var units map[string]controlproto.UnitStatus
	c.Within(2*harness.Patience+time.Duration(count)*20*time.Millisecond, "bring every unit to its end", func() bool {
		if units, err = session.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			if !u.State.Ended() {
				return false
			}
		}
		return true
	})
	if len(units) != count {
		t.Errorf("%d units are listed, %d were accepted", len(units), count)
	}
	sessions(t, c, count, func(ctx context.Context, s *rig.Session, i int) error {
		u, ok := units[ids[i]]
		if !ok || u.State != controlproto.Succeeded {
			t.Errorf("unit %s: listed %v, %+v", ids[i], ok, u)
			return nil
		}
		h := sha256.New()
		if _, err := s.Follow(ctx, ids[i], h, controlproto.FollowOptions{}); err != nil {
			return err
		}
		if [32]byte(h.Sum(nil)) != sha256.Sum256(payload(i)) {
			t.Errorf("unit %s: output of %d bytes is not the payload of %d", ids[i], u.StdoutSize, len(payload(i)))
		}
		mark, err := os.ReadFile(filepath.Join(marks, strconv.Itoa(i)))
		if string(mark) != "ran\n" {
			t.Errorf("unit %s: the command left %q, %v; want one line", ids[i], mark, err)
		}
		return nil
	})
	sessions(t, c, count, func(ctx context.Context, s *rig.Session, i int) error {
		_, err := s.Unit(ctx, "release", ids[i])
		return err
	})
	for _, n := range []*harness.Node{c, e} {
		n.Eventually("remove all unit directories", func() bool { return len(unitDirs(n)) == 0 })
	}
}

// unitDirs are the directories of a node's units.
func unitDirs(n *harness.Node) []string {
	left, _ := filepath.Glob(filepath.Join(n.DataDir(), "[0-9a-zA-Z]*"))
	return left
}
