package supervise

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// A stop that overtakes the start of its command has nothing to stop, and
// returns. It was taken for one of a command whose supervisor is gone, and
// waited for files that nobody would read before the command's end.
func TestStopThatOvertakesTheStartReturns(t *testing.T) {
	n := newNode(t)
	c, err := Open(t.Context(), n.config()) // no Run: this test is the supervisor
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	defer starting.Wait()
	defer cancel()
	j := n.shell("u", "true")
	starting.Go(func() { c.Start(ctx, j) })
	eventually(t, "start is on its way", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		u := c.units["u"]
		return u != nil && c.startPendingLocked(u)
	})
	stop := &call{op: opStop, unit: "u", grace: time.Minute, done: make(chan struct{})}
	if err := c.enter(stop, &request{Op: opStop, Unit: "u", GraceMS: stop.grace.Milliseconds()}); err != nil {
		t.Fatal(err)
	}
	c.receive(&message{Msg: msgReply, ID: stop.id, Unit: "u", Unknown: true})
	select {
	case <-stop.done:
		if stop.err != nil {
			t.Errorf("stop: %v", stop.err)
		}
	default:
		t.Error("the stop still waits after the supervisor has answered it")
	}
}

// The same with a real supervisor: whoever comes first, Stop returns long before
// the command would end by itself.
func TestStopRacingStartReturns(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for round := range 5 {
		var wg sync.WaitGroup
		for i := range 8 {
			unit := fmt.Sprintf("u%d-%d", round, i)
			j := n.shell(unit, "exec sleep 1000")
			wg.Go(func() {
				if err := d.Stop(ctx, unit, 0); err != nil {
					t.Errorf("stop: %v", err)
				}
			})
			wg.Go(func() { d.Start(ctx, j) })
		}
		wg.Wait()
		for i := range 8 {
			unit := fmt.Sprintf("u%d-%d", round, i)
			if err := d.Stop(ctx, unit, 0); err != nil {
				t.Errorf("stop: %v", err)
			}
			if e := d.exit(unit); e.Signal == "" {
				t.Errorf("unit %s: %+v, want a signal", unit, e)
			}
		}
	}
}
