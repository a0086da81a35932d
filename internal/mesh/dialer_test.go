package mesh_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/meshtest"
)

// failing is a dialer that fails until it is told otherwise.
type failing struct {
	mu    sync.Mutex
	at    []time.Time
	err   error
	links chan link.Link
}

func (f *failing) String() string { return "tcp nowhere:1" }
func (f *failing) Dial(context.Context) (link.Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = append(f.at, time.Now())
	select {
	case l := <-f.links:
		return l, nil
	default:
		return nil, f.err
	}
}

// TestRedialVector compares our attempts with those recorded, which have a
// resolution of one second; our waits are up to a tenth shorter.
func TestRedialVector(t *testing.T) {
	var file struct {
		Times []float64 `json:"attempt_times_seconds"`
	}
	vector(t, "redial.json", &file)
	synctest.Test(t, func(t *testing.T) {
		lines := &logLines{}
		h := meshtest.NewNode(t, mesh.Config{ID: "b", Logger: slog.New(lines)})
		d := &failing{err: errors.New("connection refused"), links: make(chan link.Link, 1)}
		ctx, stop := context.WithCancel(t.Context())
		start := time.Now()
		done := make(chan error, 1)
		go func() { done <- h.KeepLink(ctx, d, mesh.LinkPolicy{}, true) }()
		h.Advance(200 * time.Second)
		for i, want := range file.Times {
			got := d.at[i].Sub(start).Seconds()
			if got > want+1 || got < 0.9*want-1 {
				t.Errorf("attempt %d after %.1f s, want about %.0f", i, got, want)
			}
		}
		for i := len(file.Times); i < len(d.at); i++ {
			if wait := d.at[i].Sub(d.at[i-1]); wait > 20*time.Second || wait < 18*time.Second {
				t.Errorf("wait %v before attempt %d, want a little below 20 s", wait, i)
			}
		}
		if got := lines.with("link dial failed"); len(got) != 1 || got[0]["level"] != "WARN" || got[0]["retry"] != "true" {
			t.Errorf("log lines %v, want one", got)
		}

		// Another failure is logged, with the number of those before it; a
		// success takes the wait back to 5 s.
		d.mu.Lock()
		d.err = errors.New("host unreachable")
		d.mu.Unlock()
		h.Advance(21 * time.Second)
		if got := lines.with("link dial failed"); len(got) != 2 || got[1]["attempt"] == "" {
			t.Errorf("log lines %v, want two", got)
		}
		mine, theirs := link.Pipe(link.PipeOptions{})
		d.links <- mine
		for len(d.links) > 0 {
			h.Advance(time.Second)
		}
		ended := time.Now()
		theirs.Close()
		h.Advance(6 * time.Second)
		if wait := d.at[len(d.at)-1].Sub(ended); wait > 5*time.Second || wait < 4*time.Second {
			t.Errorf("wait %v after a session, want 5 s", wait)
		}
		if got := lines.with("link lost"); len(got) != 1 || got[0]["retry"] != "true" {
			t.Errorf("log lines %v, want one", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("KeepLink: %v after its context ended", err)
		}
	})
}

// TestNoRedial: a single session, whose end is returned.
func TestNoRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logLines{}
		h := meshtest.NewNode(t, mesh.Config{ID: "b", Logger: slog.New(lines)})
		refused := errors.New("connection refused")
		if err := h.KeepLink(t.Context(), &failing{err: refused}, mesh.LinkPolicy{}, false); !errors.Is(err, refused) {
			t.Errorf("KeepLink: %v", err)
		}
		if got := lines.with("link dial failed"); len(got) != 1 || got[0]["level"] != "ERROR" || got[0]["retry"] != "false" {
			t.Errorf("log lines %v", got)
		}
	})
}

// TestDialRejected: the texts for both sides of a rejection.
func TestDialRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logLines{}
		m := meshtest.New(t)
		m.Config.Logger = slog.New(lines)
		ln, dialer := link.ListenPipe(link.PipeOptions{})
		ctx, stop := context.WithCancel(t.Context())
		a, b := m.Node("a"), m.Node("b")
		served := make(chan error, 1)
		go func() {
			served <- a.ServeLinks(ctx, ln, mesh.LinkPolicy{AllowedPeers: nil, Cost: 1, NodeCost: nil})
		}()
		start := time.Now()
		err := b.KeepLink(ctx, dialer, mesh.LinkPolicy{Cost: 2}, false)
		if err == nil || time.Since(start) > 2*time.Second {
			t.Errorf("KeepLink: %v after %v", err, time.Since(start))
		}
		got := lines.with("link rejected")
		if len(got) == 0 || got[0]["cause"] != "we disagree about the connection cost" {
			t.Errorf("log lines %v", got)
		}
		stop()
		if err := <-served; err != nil {
			t.Errorf("ServeLinks: %v", err)
		}
	})
}
