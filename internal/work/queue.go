package work

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// queue lets no more commands of a work type run at a time than the type allows.
// Units beyond that wait in the order of their acceptance. It knows a unit from
// the moment it could be started, or was found running, until it has ended.
//
// Its mutex is taken last of all, and nothing is waited for under it.
type queue struct {
	mu    sync.Mutex
	last  int64             // the number given last
	lanes map[string]*lane  // by work type
	known map[*unit]*ticket // of all units in it
}

type lane struct {
	running int
	waiting []*ticket // in order
}

type ticket struct {
	u        *unit
	workType string
	lane     *lane
	order    int64
	running  bool
}

func newQueue() *queue {
	return &queue{lanes: make(map[string]*lane), known: make(map[*unit]*ticket)}
}

// number returns the next place in the order of acceptance. It goes by the clock,
// so that it grows across restarts.
func (q *queue) number() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = max(q.last+1, time.Now().UnixNano())
	return q.last
}

// seen keeps number from giving out what another daemon has given.
func (q *queue) seen(order int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = max(q.last, order)
}

// ticketLocked enters a unit that is not in the queue; nil if it is.
func (q *queue) ticketLocked(u *unit, workType string, order int64) *ticket {
	if q.known[u] != nil {
		return nil
	}
	l := q.lanes[workType]
	if l == nil {
		l = &lane{}
		q.lanes[workType] = l
	}
	t := &ticket{u: u, workType: workType, lane: l, order: order}
	q.known[u] = t
	return t
}

// hold counts a unit whose command runs already, whatever the limit.
func (q *queue) hold(u *unit, workType string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.ticketLocked(u, workType, 0); t != nil {
		t.running = true
		t.lane.running++
	}
}

// enter has a unit wait for its turn. It returns the units whose turn it is.
func (q *queue) enter(u *unit, workType string, order int64, ts *types) []*unit {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.ticketLocked(u, workType, order); t != nil {
		at, _ := slices.BinarySearchFunc(t.lane.waiting, t, byOrder)
		t.lane.waiting = slices.Insert(t.lane.waiting, at, t)
	}
	return q.turnLocked(workType, ts)
}

func byOrder(a, b *ticket) int {
	return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.u.id, b.u.id))
}

// leave takes out a unit that has ended, or does not want to start any more. It returns the units whose
// turn it is now.
func (q *queue) leave(u *unit, ts *types) []*unit {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known[u]
	if t == nil {
		return nil
	}
	delete(q.known, u)
	if t.running {
		t.lane.running--
	} else if at, ok := slices.BinarySearchFunc(t.lane.waiting, t, byOrder); ok {
		t.lane.waiting = slices.Delete(t.lane.waiting, at, at+1)
	}
	return q.turnLocked(t.workType, ts)
}

// turn returns the units of all types whose turn it is under new limits.
func (q *queue) turn(ts *types) []*unit {
	q.mu.Lock()
	defer q.mu.Unlock()
	var turn []*unit
	for workType := range q.lanes {
		turn = append(turn, q.turnLocked(workType, ts)...)
	}
	return turn
}

func (q *queue) turnLocked(workType string, ts *types) []*unit {
	l := q.lanes[workType]
	n := 0
	for n < len(l.waiting) && ts.admits(workType, l.running) {
		l.waiting[n].running = true
		l.running++
		n++
	}
	turn := make([]*unit, n)
	for i, t := range l.waiting[:n] {
		turn[i] = t.u
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
	if l.running == 0 && len(l.waiting) == 0 {
		delete(q.lanes, workType)
	}
	return turn
}

// admits tells whether one more command of a type may run beside so many. Of a
// type that is not configured none may.
func (ts *types) admits(workType string, running int) bool {
	t := ts.byName[workType]
	return t != nil && (t.MaxUnits <= 0 || running < t.MaxUnits)
}

// text is the Detail of a unit that waits; empty if it does not.
func (q *queue) text(u *unit, ts *types) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known[u]
	if t == nil || t.running {
		return ""
	}
	before, _ := slices.BinarySearchFunc(t.lane.waiting, t, byOrder)
	c := ts.byName[t.workType]
	if c == nil {
		return fmt.Sprintf("Waiting: work type %s is not configured on this node", t.workType)
	}
	run := "units of work type " + t.workType + " run"
	if t.lane.running == 1 {
		run = "unit of work type " + t.workType + " runs"
	}
	place := fmt.Sprintf("%d are before this one", before)
	switch before {
	case 0:
		place = "this one is next"
	case 1:
		place = "1 is before this one"
	}
	return fmt.Sprintf("Waiting: %d %s already (maxunits %d), %s", t.lane.running, run, c.MaxUnits, place)
}
