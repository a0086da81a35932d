package link

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// pipeQueue is the default of PipeOptions.Queue.
const pipeQueue = 1024

// PipeOptions say how an in-memory link behaves. The zero value is a perfect
// link without delay.
type PipeOptions struct {
	// Delay is the time a frame is under way.
	Delay time.Duration
	// Loss, Repeat and Reorder are probabilities, 0 to 1, for a frame to
	// vanish, to arrive twice, and to arrive later than its successors (by one
	// to two times Delay, at least 1 ms, on top of Delay). A pipe with any of
	// them is Lossy.
	Loss, Repeat, Reorder float64
	// Queue is the number of frames that may be under way or unread in one
	// direction; default 1024. A writer that meets a full queue blocks, or
	// loses the frame if the pipe is Lossy.
	Queue int
	// MaxFrame is the largest frame in bytes; default MaxStreamFrame.
	MaxFrame int
	// Seed of the decisions about loss, repetition and order.
	Seed uint64
	// Cable, if given, can be cut and healed while the pipe lives.
	Cable *Cable
	// Name is the RemoteAddr of both ends; default `pipe`.
	Name string
}

func (o PipeOptions) lossy() bool { return o.Loss > 0 || o.Repeat > 0 || o.Reorder > 0 }

// Cable is what any number of pipes run through. While it is cut, frames that
// are written vanish and nobody is told. The zero value is whole. All methods
// may be called from any goroutine.
type Cable struct{ cut atomic.Bool }

// Cut makes frames vanish from now on; frames under way still arrive.
func (c *Cable) Cut() { c.cut.Store(true) }

// Heal ends the cut.
func (c *Cable) Heal() { c.cut.Store(false) }

// Pipe returns the two ends of a link in memory. It starts no goroutine, uses
// package time alone for delays, and may be used in a testing/synctest bubble.
// Closing one end lets the other read what was under way and then gives it
// io.EOF.
func Pipe(o PipeOptions) (a, b Link) {
	if o.Queue <= 0 {
		o.Queue = pipeQueue
	}
	if o.MaxFrame <= 0 {
		o.MaxFrame = MaxStreamFrame
	}
	if o.Name == "" {
		o.Name = "pipe"
	}
	ab, ba := newLane(o, 0), newLane(o, 1)
	return &pipeLink{out: ab, in: ba, opts: o}, &pipeLink{out: ba, in: ab, opts: o}
}

// pipeLink is one end.
type pipeLink struct {
	in, out *lane
	opts    PipeOptions
	closed  atomic.Bool
}

func (l *pipeLink) ReadFrame() (*Frame, error) { return l.in.read() }

func (l *pipeLink) WriteFrames(frames []*Frame) error {
	if err := checkFrames(frames, l.opts.MaxFrame); err != nil {
		return err
	}
	return l.out.write(frames)
}

func (l *pipeLink) Close() error {
	if l.closed.CompareAndSwap(false, true) {
		l.out.closeWriter()
		l.in.closeReader()
	}
	return nil
}

func (l *pipeLink) MaxFrame() int      { return l.opts.MaxFrame }
func (l *pipeLink) Lossy() bool        { return l.opts.lossy() }
func (l *pipeLink) RemoteAddr() string { return l.opts.Name }

// Dropped counts the frames towards this end that were lost, for whatever reason.
func (l *pipeLink) Dropped() uint64 {
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	return l.in.dropped
}

// lane is one direction of a pipe: a queue of frames with the times at which
// they arrive, in order of these times. One goroutine writes and one reads;
// each of them is woken through a channel of one place, so that neither a lock
// nor a goroutine of ours is held while waiting.
type lane struct {
	opts PipeOptions

	mu      sync.Mutex // guards the fields below; never held while waiting
	queue   []parcel   // queue[head:] is waiting
	head    int
	rand    *rand.Rand
	dropped uint64

	arrival chan struct{} // the head of the queue changed
	space   chan struct{} // the queue got shorter
	noMore  chan struct{} // closed: the writer's end was closed
	noUse   chan struct{} // closed: the reader's end was closed

	timer *time.Timer // the reader's, made at the first wait
}

type parcel struct {
	f   *Frame
	due time.Time // zero if the pipe has no delay
}

func newLane(o PipeOptions, direction uint64) *lane {
	l := &lane{
		opts:    o,
		arrival: make(chan struct{}, 1),
		space:   make(chan struct{}, 1),
		noMore:  make(chan struct{}),
		noUse:   make(chan struct{}),
	}
	if o.lossy() {
		l.rand = rand.New(rand.NewPCG(o.Seed, direction))
	}
	return l
}

func (l *lane) closeWriter() { close(l.noMore) }

func (l *lane) closeReader() {
	close(l.noUse)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.queue[l.head:] {
		p.f.Release()
	}
	l.queue, l.head = nil, 0
}
