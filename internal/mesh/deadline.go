package mesh

import (
	"sync"
	"time"
)

// deadline is a point in time that others can wait for and that may be moved
// while they wait. The zero value is a deadline that never comes.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // closed when it has come; nil until somebody needs it
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		// It has fired, or is firing and waits for the lock: its channel is
		// done with either way.
		d.passed = nil
	}
	d.timer = nil
	if d.isPassedLocked() {
		d.passed = nil
	}
	if t.IsZero() {
		return
	}
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	passed := d.passed
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	close(passed)
}

// wait returns a channel that is closed when the deadline comes, or has come.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}

func (d *deadline) isPassedLocked() bool {
	select {
	case <-d.passed:
		return d.passed != nil
	default:
		return false
	}
}
