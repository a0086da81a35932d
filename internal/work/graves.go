package work

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	// maxGraves is how many released units with chosen ids are remembered. Only
	// the submission of moments ago can still be under way.
	maxGraves = 4096
	// fileGraves, beside the units, has their ids, a line each, oldest first. It
	// is cut to maxGraves when it has twice as many.
	fileGraves = ".released"
)

// graves remembers which units with ids that their submitters chose were
// released: a repeated submission that comes late must not start the work again.
// It outlives the daemon, though not a power cut.
//
// It also remembers which ids were to be released that no unit has. The submission
// that is given up may be overtaken by the release, as each is on a stream of its own,
// and would start work that nobody asks for again. The streams do not outlive the
// daemon, and neither does that.
type graves struct {
	s *store

	writing sync.Mutex // held while the file is written; taken before mu
	lines   int        // in the file; guarded by writing

	mu    sync.Mutex // never held over I/O: Manager.mu is held while it is waited for
	ids              // of units that were released
	early ids        // released before there was a unit
}

// ids are at most maxGraves ids, of which the oldest gives way to a new one.
type ids struct {
	known map[string]bool
	order []string // the keys of known, oldest first
}

// loadGraves reads what the last daemon remembered. What cannot be read is forgotten.
func loadGraves(s *store) *graves {
	g := &graves{s: s}
	b, err := s.read("", fileGraves, 1<<20)
	if err != nil && !os.IsNotExist(err) {
		s.log.Warn("ids of released units cannot be read", "err", err)
	}
	for line := range strings.Lines(string(b)) {
		g.lines++
		if id := strings.TrimSuffix(line, "\n"); validID(id) {
			g.enter(id) // nobody else knows g yet
		}
	}
	return g
}

func (g *graves) has(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known[id] || g.early.known[id]
}

// addEarly remembers an id that no unit has.
func (g *graves) addEarly(id string) {
	if !validID(id) {
		return // nor will one have it
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.early.enter(id)
}

// add remembers an id. That it cannot be written is no reason not to release:
// that makes room.
func (g *graves) add(id string) {
	g.writing.Lock()
	defer g.writing.Unlock()
	g.mu.Lock()
	entered, order := g.enter(id), g.order
	g.mu.Unlock()
	if !entered {
		return
	}
	if err := g.writeLocked(id, order); err != nil {
		g.s.log.Warn("id of a released unit could not be noted on disk", "unit", id, "err", err)
	}
}

// enter tells whether the id is new.
func (s *ids) enter(id string) bool {
	if s.known[id] {
		return false
	}
	if s.known == nil {
		s.known = make(map[string]bool)
	}
	if len(s.order) >= maxGraves {
		delete(s.known, s.order[0])
		s.order = s.order[1:]
	}
	s.known[id] = true
	s.order = append(s.order, id)
	return true
}

// writeLocked notes id, the last of order, in the file. g.writing is held.
func (g *graves) writeLocked(id string, order []string) error {
	path := filepath.Join(g.s.dir, fileGraves)
	if g.lines >= 2*maxGraves {
		g.lines = len(order)
		return g.s.replace(path, []byte(strings.Join(order, "\n")+"\n"))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// The line feed before it ends what a full disk has left of a line.
	if _, err := f.WriteString("\n" + id + "\n"); err != nil {
		return err
	}
	g.lines += 2
	return g.s.step("write", path)
}
