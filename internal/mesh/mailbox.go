package mesh

import (
	"sync"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// mailbox is how others reach the goroutine that owns the node's state. It
// never blocks the owner, and its users are bounded: each caller waits for its
// call, and each peer is listed at most once.
type mailbox struct {
	wake  chan struct{} // cap 1: something is in the box
	ended chan struct{} // closed when the owner takes nothing any more

	mu     sync.Mutex
	calls  []func(*loop)
	peers  []*peer // with frames in their inbox
	closed bool
	wg     sync.WaitGroup // goroutines of the node; grows only while closed is false
}

func (m *mailbox) init() {
	m.wake = make(chan struct{}, 1)
	m.ended = make(chan struct{})
}

// call runs f on the owner's goroutine and returns when it has run. It reports
// false if the owner has ended. The owner itself must not use it.
func (m *mailbox) call(f func(l *loop)) bool {
	done := make(chan struct{})
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.calls = append(m.calls, func(l *loop) { f(l); close(done) })
	m.mu.Unlock()
	m.poke()
	<-done // the owner runs all calls that were taken, also when it ends
	return true
}

// ready lists a peer whose inbox is not empty any more.
func (m *mailbox) ready(p *peer) {
	m.mu.Lock()
	m.peers = append(m.peers, p)
	m.mu.Unlock()
	m.poke()
}

// poke makes the owner look around.
func (m *mailbox) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the box.
func (m *mailbox) take() (calls []func(*loop), peers []*peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls, peers = m.calls, m.peers
	m.calls, m.peers = nil, nil
	return calls, peers
}

// enter registers a goroutine that the node's Run waits for. It reports false
// if the node has ended; else the goroutine calls wg.Done.
func (m *mailbox) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.wg.Add(1)
	}
	return !m.closed
}

// close refuses further calls, runs those that were taken, and lets go of
// everybody who waits for the owner.
func (m *mailbox) close(l *loop) {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	calls, _ := m.take()
	for _, f := range calls {
		f(l)
	}
	close(m.ended)
}

// inbox holds the control frames of one peer until the owner takes them. When
// it is full, or much waits from others too, its reader waits: the owner depends on nobody, so that ends soon,
// and a neighbour that floods holds up no one but itself.
type inbox struct {
	mu      sync.Mutex
	frames  []*link.Frame
	bytes   int // of frames, in memory
	memory  *share
	counted int           // of bytes, in memory
	listed  bool          // in mailbox.peers, or about to be
	room    chan struct{} // closed when there is room again; nil if nobody waits

	unsettled atomic.Bool   // the outcome of a frame is not published yet; changes under mu
	settled   chan struct{} // closed when it is; nil if nobody waits
}

// put queues f for the owner. It reports whether the peer has to be listed.
// The frame is released if done ends first.
func (i *inbox) put(f *link.Frame, done <-chan struct{}) (list bool) {
	for {
		i.mu.Lock()
		if len(i.frames) == 0 || len(i.frames) < maxInbox && i.bytes < i.memory.limit(maxInboxBytes) {
			i.frames = append(i.frames, f)
			i.bytes += f.Size()
			i.counted = i.memory.count(i.counted, i.bytes)
			i.unsettled.Store(true)
			list = !i.listed
			i.listed = true
			i.mu.Unlock()
			return list
		}
		if i.room == nil {
			i.room = make(chan struct{})
		}
		room := i.room
		i.mu.Unlock()
		select {
		case <-room:
		case <-done:
			f.Release()
			return false
		}
	}
}

// get takes everything that waits; the peer is then no longer listed.
func (i *inbox) get() []*link.Frame {
	i.mu.Lock()
	defer i.mu.Unlock()
	frames := i.frames
	i.frames, i.bytes = nil, 0
	i.counted = i.memory.count(i.counted, 0)
	i.listed = false
	if i.room != nil {
		close(i.room)
		i.room = nil
	}
	return frames
}

// settle tells that the outcome of all frames that get returned is published.
func (i *inbox) settle() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.frames) > 0 {
		return // the peer is listed again
	}
	i.unsettled.Store(false)
	if i.settled != nil {
		close(i.settled)
		i.settled = nil
	}
}

// wait waits until the outcome of every frame so far is published, or done
// ends. So a data frame finds the nodes and routes that the frames before it
// on the link told of, and a packet may follow a routing update without delay.
func (i *inbox) wait(done <-chan struct{}) {
	for i.unsettled.Load() {
		i.mu.Lock()
		if !i.unsettled.Load() {
			i.mu.Unlock()
			return
		}
		if i.settled == nil {
			i.settled = make(chan struct{})
		}
		settled := i.settled
		i.mu.Unlock()
		select {
		case <-settled:
		case <-done:
			return
		}
	}
}
