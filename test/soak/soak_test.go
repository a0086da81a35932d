//go:build soak && unix

package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Build(m, &programs)) }

// soak is one run.
type soak struct {
	t      *testing.T
	m      *mesh
	seed   uint64
	r      *rand.Rand // of the goroutine that breaks things
	began  time.Time
	steady string // the node whose daemon is never ended: it shows what grows
	units  []*unit
	first  int                  // of units: those before it were dealt with at a quiet point
	down   map[string]time.Time // daemons that are ended, and when they are started again
	owners map[string]*unit     // by the id of a unit on any node, as far as it was seen
	actors sync.WaitGroup
	slots  chan struct{}

	mu     sync.Mutex
	counts map[string]int
	events []string
	failed int

	quiets []quiet
}

const (
	parts     = 3 // of the time; after each everything is mended, checked and measured
	maxLive   = 48
	maxReport = 5 // units whose history is printed
)

// TestSoak is the whole of it; see the package documentation.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmpOr(os.Getenv("SOAK"), "2m"))
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	s := &soak{
		t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 1)), began: time.Now(),
		down: map[string]time.Time{}, owners: map[string]*unit{}, slots: make(chan struct{}, maxLive), counts: map[string]int{},
	}
	t.Logf("SEED=%d SOAK=%v", seed, length)
	t.Cleanup(s.report)
	s.m = newMesh(t, programs)
	s.steady = s.m.names[s.r.IntN(len(s.m.names))]
	s.measure("at the start")
	for part := range parts {
		s.disturb(length / parts)
		s.settle(part)
	}
	s.goroutines()
	s.finish()
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// disturb submits, ends and breaks things for so long.
func (s *soak) disturb(length time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	nextFault := time.Now()
	for ctx.Err() == nil {
		select {
		case s.slots <- struct{}{}:
			u := newUnit(s.r, s.seed, len(s.units), s.m, s.began)
			s.units = append(s.units, u)
			s.actors.Go(func() { // ends when the unit's plan is carried out, or soon after ctx
				defer func() { <-s.slots }()
				s.live(ctx, u)
			})
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(nextFault) {
			s.fault()
			nextFault = time.Now().Add(time.Duration(300+s.r.IntN(2000)) * time.Millisecond)
		}
		s.restartDue()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(s.r.IntN(200)) * time.Millisecond):
		}
	}
	s.actors.Wait()
}

// happened notes an event that concerns all units.
func (s *soak) happened(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf("%9.3fs ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// fail reports what is wrong with a unit, with its history.
func (s *soak) fail(u *unit, format string, args ...any) {
	s.mu.Lock()
	s.failed++
	n := s.failed
	s.mu.Unlock()
	if n > maxReport {
		s.t.Errorf("unit %d, id %q: "+format, append([]any{u.n, u.id}, args...)...)
		return
	}
	s.t.Errorf("%s\n%s", fmt.Sprintf(format, args...), u)
}

// report prints what was done, and in a failed run all that happened to the mesh.
func (s *soak) report() {
	var b strings.Builder
	fmt.Fprintf(&b, "SEED=%d, %d units, steady node %s\n", s.seed, len(s.units), s.steady)
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "  %6d  %s\n", s.counts[what], what)
	}
	fmt.Fprint(&b, table(s.quiets))
	if s.t.Failed() {
		fmt.Fprintf(&b, "what happened to the mesh:\n  %s\n", strings.Join(s.events, "\n  "))
	}
	s.t.Log(b.String())
}
