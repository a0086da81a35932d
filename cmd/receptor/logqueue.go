package main

import (
	"io"
	"sync"
	"time"
)

const (
	// logBacklog is how many bytes of lines wait for a slow reader.
	logBacklog = 1 << 20
	// logPatience is how long one line waits to be out, so that a crash loses
	// none. When it was too short, none wait until all is out.
	logPatience = 100 * time.Millisecond
	// logFarewell is how long the end of the daemon waits for the last lines.
	logFarewell = time.Second
	// logSpare is the most memory that is kept for further lines.
	logSpare = 64 << 10
)

// logQueue stands between the daemon and a stream that may not be read: what
// is written to it is written on by a goroutine of its own. A reader that is
// slow makes nobody wait longer than logPatience; beyond logBacklog, lines are
// dropped and counted, and the count is logged where they are missing.
type logQueue struct {
	w       io.Writer
	dropped func(count int) []byte // is the line about them

	work chan struct{} // has a value if there may be something to write
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex    // guards the rest
	pending []byte        // not taken by the goroutine yet
	out     chan struct{} // closed when pending is out; nil if pending is empty
	missing int           // lines dropped behind pending
	behind  bool          // a line was not out in time; until all is, none wait
	closed  bool
}

// newLogQueue starts a queue; close ends it. dropped may be nil if not so much is
// written.
func newLogQueue(w io.Writer, dropped func(count int) []byte) *logQueue {
	q := &logQueue{w: w, dropped: dropped, work: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run() // ends with close, or with the process if nobody reads the stream
	return q
}

// Write takes a line, or drops it; it never fails. Errors of the stream have no
// consequence.
func (q *logQueue) Write(line []byte) (int, error) {
	out := q.put(line)
	if out == nil {
		return len(line), nil
	}
	t := time.NewTimer(logPatience)
	defer t.Stop()
	select {
	case <-out:
	case <-t.C:
		q.mu.Lock()
		select {
		case <-out:
		default:
			q.behind = true
		}
		q.mu.Unlock()
	}
	return len(line), nil
}

// put is Write without the wait; it returns what to wait for, or nil.
func (q *logQueue) put(line []byte) (out chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil
	case q.missing > 0, len(q.pending) > 0 && len(q.pending)+len(line) > logBacklog:
		q.missing++
		return nil
	}
	q.pending = append(q.pending, line...)
	if q.out == nil {
		q.out = make(chan struct{})
	}
	select {
	case q.work <- struct{}{}:
	default:
	}
	if q.behind {
		return nil
	}
	return q.out
}

func (q *logQueue) run() {
	defer close(q.done)
	var spare []byte
	for range q.work {
		q.mu.Lock()
		lines, out, missing, closed := q.pending, q.out, q.missing, q.closed
		q.pending, q.out, q.missing = spare[:0], nil, 0
		q.mu.Unlock()
		if len(lines) > 0 {
			_, _ = q.w.Write(lines)
		}
		if missing > 0 {
			_, _ = q.w.Write(q.dropped(missing))
		}
		q.mu.Lock()
		if len(q.pending) == 0 {
			q.behind = false
		}
		if out != nil {
			close(out)
		}
		q.mu.Unlock()
		if spare = lines; cap(spare) > logSpare {
			spare = nil
		}
		if closed {
			return // nothing comes after
		}
	}
}

// close writes what is left and ends the queue. It returns false if the stream
// does not take it in time.
func (q *logQueue) close() bool {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	t := time.NewTimer(logFarewell)
	defer t.Stop()
	select {
	case q.work <- struct{}{}:
	default: // it will look again, and then see closed
	}
	select {
	case <-q.done:
		return true
	case <-t.C:
		return false
	}
}
