package link

import (
	"io"
	"slices"
	"time"
)

// write queues copies of the frames, all of them under one lock where there
// is room, so that the reader gets them with one wake-up.
func (l *lane) write(frames []*Frame) error {
	for len(frames) > 0 {
		if isClosed(l.noMore) {
			return ErrClosed
		}
		if isClosed(l.noUse) {
			return io.ErrClosedPipe
		}
		if frames = l.push(frames); len(frames) == 0 {
			break
		}
		select {
		case <-l.space:
		case <-l.noMore:
		case <-l.noUse:
		}
	}
	return nil
}

// push queues frames until the queue is full and returns the others.
func (l *lane) push(frames []*Frame) []*Frame {
	var now time.Time
	if l.opts.Delay > 0 || l.opts.Reorder > 0 {
		now = time.Now()
	}
	cut := l.opts.Cable != nil && l.opts.Cable.cut.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if isClosed(l.noUse) {
		return frames // the queue was emptied for good
	}
	queued := false
	for len(frames) > 0 {
		if cut || l.chance(l.opts.Loss) {
			l.dropped++
			frames = frames[1:]
			continue
		}
		if len(l.queue)-l.head >= l.opts.Queue {
			if !l.opts.lossy() {
				break
			}
			l.dropped++
			frames = frames[1:]
			continue
		}
		l.enqueue(frames[0], now)
		if l.chance(l.opts.Repeat) {
			l.enqueue(frames[0], now)
		}
		queued = true
		frames = frames[1:]
	}
	if queued {
		signal(l.arrival)
	}
	return frames
}

// enqueue inserts a copy of f by its time of arrival. Called with mu held.
func (l *lane) enqueue(f *Frame, now time.Time) {
	p := parcel{f: FrameOf(f.Bytes())}
	if !now.IsZero() {
		p.due = now.Add(l.opts.Delay)
	}
	if l.chance(l.opts.Reorder) {
		late := max(l.opts.Delay, time.Millisecond)
		p.due = p.due.Add(late + time.Duration(l.rand.Int64N(int64(late))))
	}
	if len(l.queue) == cap(l.queue) && l.head > len(l.queue)/2 {
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue, l.head = l.queue[:n], 0
	}
	at := len(l.queue)
	for at > l.head && l.queue[at-1].due.After(p.due) {
		at--
	}
	if at == len(l.queue) {
		l.queue = append(l.queue, p)
		return
	}
	l.queue = slices.Insert(l.queue, at, p)
}

// chance draws; called with mu held.
func (l *lane) chance(p float64) bool { return p > 0 && l.rand.Float64() < p }

// read waits for the first frame that has arrived. A frame under way is waited
// for with one timer; the others that arrive with it need none.
func (l *lane) read() (*Frame, error) {
	for {
		// Asked before the queue: what was written before the close is there.
		ended := isClosed(l.noMore)
		if isClosed(l.noUse) {
			return nil, ErrClosed
		}
		f, wait := l.pop()
		switch {
		case f != nil:
			return f, nil
		case wait > 0:
			l.sleep(wait)
		case ended:
			return nil, io.EOF
		default:
			select {
			case <-l.arrival:
			case <-l.noMore:
			case <-l.noUse:
			}
		}
	}
}

// pop takes the head of the queue if it has arrived, or tells how long until then.
func (l *lane) pop() (*Frame, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.queue) {
		return nil, 0
	}
	p := &l.queue[l.head]
	if !p.due.IsZero() {
		if wait := time.Until(p.due); wait > 0 {
			return nil, wait
		}
	}
	f := p.f
	*p = parcel{}
	if l.head++; l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	signal(l.space)
	return f, 0
}

// sleep waits until the time has passed, an earlier frame came, or the end.
// The end of the writer does not shorten it: what is under way arrives first.
func (l *lane) sleep(d time.Duration) {
	if l.timer == nil {
		l.timer = time.NewTimer(d)
	} else {
		l.timer.Reset(d)
	}
	defer l.timer.Stop()
	select {
	case <-l.timer.C:
	case <-l.arrival:
	case <-l.noUse:
	}
}

// signal fills a channel of one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
