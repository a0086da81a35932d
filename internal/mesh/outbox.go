package mesh

import (
	"errors"
	"os"
	"sync"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// errQueueFull tells a sender that may not wait that its frame was dropped.
var errQueueFull = errors.New("queue of the link is full")

// controlKey names what a control frame is about. A frame that waits is
// replaced by a newer one with the same key, which bounds the number of
// waiting control frames by the number of nodes and services known. That of all
// links together is bounded by the memory that they take.
type controlKey struct {
	node    wire.NodeID
	service wire.Service // of an advertisement; empty for a routing update
	nonce   uint64       // not 0 in frames that replace nothing
}

type controlFrame struct {
	key   controlKey
	bytes []byte // shared with other links, never changed
}

// outbox holds the frames that wait for the writer of one link. Control frames
// go ahead of data, in the order of their keys' first arrival. Data is bounded:
// frames that pass through are dropped when the queue is full, or when there is
// little memory left for all queues together; frames that
// start here wait, and may only fill a part so that they cannot starve others.
type outbox struct {
	maxFrame int // of the link
	wake     chan struct{}

	mu      sync.Mutex
	control []controlFrame
	first   int                // index in control of the oldest that waits
	at      map[controlKey]int // index in control of what waits
	data    frameRing          // that pass through, and answers of the node itself
	own     frameRing          // that start here; the two take turns
	turn    bool               // of own
	final   []byte             // last frame of the link; nothing else is sent once it is set
	flushed bool               // the link ends when nothing waits any more
	waiting bool               // the writer sleeps on wake
	closed  bool               // nothing is taken any more
	room    chan struct{}      // closed when local senders may try again; nil if none waits

	memory  *share // of all links
	counted int    // of data, in memory
	told    *share // of all links, for control
	toldNow int    // of control, in told
}

func (o *outbox) init(maxFrame int, memory, told *share) {
	o.maxFrame = maxFrame
	o.memory, o.told = memory, told
	o.wake = make(chan struct{}, 1)
}

// sendControl queues a control frame. It fails for one that is too long for the link
// (link.ErrFrameSize) and for one for which there is no room (errQueueFull).
func (o *outbox) sendControl(key controlKey, frame []byte) error {
	if len(frame) > o.maxFrame || len(frame) == 0 {
		return link.ErrFrameSize
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.final != nil {
		return nil
	}
	if i, ok := o.at[key]; ok {
		o.control[i].bytes = frame
		return nil
	}
	waiting := len(o.control) - o.first
	if waiting >= leastControl && waiting*controlCost >= o.told.limit(maxControl) {
		return errQueueFull
	}
	if key.nonce != 0 && waiting >= maxUnique {
		return nil // these may be lost; the others may not, and are bounded by their keys
	}
	if o.at == nil {
		o.at = make(map[controlKey]int)
	}
	o.at[key] = len(o.control)
	o.control = append(o.control, controlFrame{key, frame})
	o.toldNow = o.told.count(o.toldNow, (waiting+1)*controlCost)
	o.wakeLocked()
	return nil
}

// finish makes frame the last that is sent and drops everything else.
func (o *outbox) finish(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.final = frame
	o.dropLocked()
	o.wakeLocked()
}

// send queues a data frame, which it takes over, and never waits. A frame that
// finds the queue full is released and errQueueFull returned.
func (o *outbox) send(f *link.Frame) error {
	if len(f.Bytes()) > o.maxFrame {
		f.Release()
		return link.ErrFrameSize
	}
	o.mu.Lock()
	if o.closed || o.final != nil {
		o.mu.Unlock()
		f.Release()
		return ErrNoConnection
	}
	if o.data.n >= maxQueue || o.data.bytes >= o.memory.limit(maxQueueBytes) {
		o.mu.Unlock()
		f.Release()
		return errQueueFull
	}
	o.data.push(f)
	o.counted = o.memory.count(o.counted, o.data.bytes)
	o.wakeLocked()
	o.mu.Unlock()
	return nil
}

// sendLocal queues a data frame that starts at this node, which it takes over.
// It waits for room until closed or expired ends.
func (o *outbox) sendLocal(f *link.Frame, closed, expired <-chan struct{}) error {
	if len(f.Bytes()) > o.maxFrame {
		f.Release()
		return link.ErrFrameSize
	}
	for {
		o.mu.Lock()
		if o.closed || o.final != nil {
			o.mu.Unlock()
			f.Release()
			return ErrNoConnection
		}
		if o.own.n < maxLocal && o.own.bytes < maxQueueBytes/2 {
			o.own.push(f)
			o.wakeLocked()
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-closed:
			f.Release()
			return ErrClosed
		case <-expired:
			f.Release()
			return os.ErrDeadlineExceeded
		}
	}
}

// next appends frames to send to batch, waiting for the first. last tells that
// the link ends after them; ok is false when the outbox was closed.
func (o *outbox) next(batch []*link.Frame) (_ []*link.Frame, last, ok bool) {
	for {
		o.mu.Lock()
		if o.closed {
			o.mu.Unlock()
			return batch, true, false
		}
		if o.final != nil {
			batch = append(batch, link.FrameOf(o.final))
			o.mu.Unlock()
			return batch, true, true
		}
		batch = o.gatherLocked(batch)
		if len(batch) > 0 || o.flushed {
			o.mu.Unlock()
			return batch, len(batch) == 0, true
		}
		o.waiting = true
		o.mu.Unlock()
		<-o.wake
	}
}

// gatherLocked moves waiting frames to batch, control first, up to the bounds
// of a batch.
func (o *outbox) gatherLocked(batch []*link.Frame) []*link.Frame {
	bytes := 0
	most := o.memory.limit(maxBatchBytes)
	for o.first < len(o.control) && len(batch) < maxBatch && bytes < most {
		c := o.control[o.first]
		o.control[o.first] = controlFrame{}
		o.first++
		delete(o.at, c.key)
		f := link.TightFrame(c.bytes)
		batch = append(batch, f)
		bytes += f.Size()
	}
	if o.first == len(o.control) {
		if o.first > manyControl {
			o.at = nil // maps do not shrink
		}
		o.control, o.first = nil, 0
	}
	o.toldNow = o.told.count(o.toldNow, (len(o.control)-o.first)*controlCost)
	for o.data.n+o.own.n > 0 && len(batch) < maxBatch && bytes < most {
		from := &o.data
		if o.data.n == 0 || o.own.n > 0 && o.turn {
			from = &o.own
		}
		o.turn = !o.turn
		f := from.pop()
		batch = append(batch, f)
		bytes += f.Size()
	}
	o.counted = o.memory.count(o.counted, o.data.bytes+bytes) // they wait for the neighbour, too
	if o.room != nil && o.own.n <= maxLocal/2 {
		close(o.room)
		o.room = nil
	}
	return batch
}

// flush ends the writer as soon as it has sent what waits.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushed = true
	o.wakeLocked()
}

// close drops what waits and ends next and all senders.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.dropLocked()
	o.wakeLocked()
}

func (o *outbox) dropLocked() {
	o.data.clear()
	o.own.clear()
	o.counted = o.memory.count(o.counted, 0)
	o.toldNow = o.told.count(o.toldNow, 0)
	o.control, o.first, o.at = nil, 0, nil
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

func (o *outbox) wakeLocked() {
	if o.waiting {
		o.waiting = false
		o.wake <- struct{}{} // has room: one token for each time waiting was set
	}
}
