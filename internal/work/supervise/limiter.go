package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// outputEvery is the time between two looks at the sizes of outputs that have a limit.
	outputEvery = 100 * time.Millisecond
	// runtimeEvery bounds the time to the next look at run times, for a clock that was stopped with the machine.
	runtimeEvery = time.Minute
	// outputSlack is what a command may write, in bytes, when it was interrupted for its output, before it is killed without more grace.
	outputSlack = 64 << 10
)

// limiter finds commands that exceed their limits. One goroutine with one timer looks after all; those without limits are none of its business.
type limiter struct {
	wake chan struct{} // capacity 1: there is a new command

	mu  sync.Mutex // never held across callbacks and I/O
	all map[*limited]struct{}
}

// limited is a command with a limit.
type limited struct {
	terms terms
	dir   string
	began time.Time
	// exceeded is called by run: when a limit was exceeded, and, with the same text and no grace, when the command goes on writing after that.
	exceeded func(text string, grace time.Duration)
	over     int64 // size of the output when it was found too large; of run
}

func newLimiter() *limiter {
	return &limiter{wake: make(chan struct{}, 1), all: map[*limited]struct{}{}}
}

// add puts x under control, until remove. It may have exceeded its limits long ago.
func (l *limiter) add(x *limited) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[x] = struct{}{}
	poke(l.wake)
}

// remove takes x out; nil is nobody. A call of exceeded may be under way.
func (l *limiter) remove(x *limited) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, x)
}

// run looks after the commands until ctx ends.
func (l *limiter) run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-l.wake:
		case <-ctx.Done():
			return
		}
		if pause := l.check(); pause > 0 {
			t.Reset(pause)
		}
	}
}

// check looks at all commands, and gives the time to the next look; 0: there is nothing to look at.
func (l *limiter) check() time.Duration {
	l.mu.Lock()
	all := make([]*limited, 0, len(l.all))
	for x := range l.all {
		all = append(all, x)
	}
	l.mu.Unlock()
	var pause time.Duration
	for _, x := range all {
		text, grace, next := x.look()
		if text != "" {
			l.mu.Lock()
			_, there := l.all[x]
			if next == 0 {
				delete(l.all, x)
			}
			l.mu.Unlock()
			if there {
				x.exceeded(text, grace)
			}
		}
		if next == 0 {
			continue
		}
		if pause == 0 || next < pause {
			pause = next
		}
	}
	return pause
}

// look gives the text of a limit that was exceeded with the grace that the command has now, and the time to the next look; 0: none is needed.
func (x *limited) look() (text string, grace, next time.Duration) {
	next = runtimeEvery
	if limit := x.terms.maxRuntime(); limit > 0 && x.over == 0 {
		left := limit - time.Since(x.began)
		if left <= 0 {
			return fmt.Sprintf("stopped: it ran longer than %v (maxruntime)", limit), x.terms.grace(), 0
		}
		next = min(next, left)
	}
	limit := x.terms.MaxOutput
	if limit <= 0 {
		return "", 0, next
	}
	var size int64
	for _, name := range []string{stdoutName, stderrName} {
		if fi, err := os.Stat(filepath.Join(x.dir, name)); err == nil {
			size += fi.Size()
		}
	}
	if size <= limit {
		return "", 0, min(next, outputEvery)
	}
	text = fmt.Sprintf("stopped: its output became larger than %d bytes (maxoutput)", limit)
	switch {
	case x.over == 0:
		x.over = size
		return text, x.terms.grace(), outputEvery
	case size > x.over+outputSlack:
		return text, 0, 0
	}
	return "", 0, outputEvery
}
