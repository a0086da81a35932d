package mesh

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// sockets are the local services, by name. Stream and datagram services share
// one name space (spec mesh-protocol 2).
type sockets struct {
	mu     sync.RWMutex
	byName map[wire.ServiceName]*socket
	closed bool
	turn   atomic.Uint64 // changes with what the mesh is told
}

func (t *sockets) init() { t.byName = make(map[wire.ServiceName]*socket) }

// lookup finds the socket of a service, or nil.
func (t *sockets) lookup(name wire.ServiceName) *socket {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name]
}

// add registers s under the name it has.
func (t *sockets) add(s *socket) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	if t.byName[s.name] != nil {
		return fmt.Errorf("service %s is already listening", s.service)
	}
	s.open(t)
	return nil
}

// ephemeral registers s under a fresh random name. If the node has ended, the
// socket is closed.
func (t *sockets) ephemeral(s *socket) *socket {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s.service == "" || t.byName[s.name] != nil {
		s.service = wire.Service(randomName())
		s.name = s.service.Name()
	}
	s.open(t)
	if t.closed {
		delete(t.byName, s.name)
		s.ended = true
		close(s.done)
	}
	return s
}

// setAdvert sets what the mesh is told of s, nil for nothing, and returns what
// it was told before.
func (t *sockets) setAdvert(s *socket, a *wire.Advert) *wire.Advert {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := s.advert
	s.advert = a
	t.turn.Add(1)
	return was
}

// adverts are the advertisements of all sockets that the mesh is told of.
func (t *sockets) adverts() []wire.Advert {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found []wire.Advert
	for _, s := range t.byName {
		if s.advert != nil {
			found = append(found, *s.advert)
		}
	}
	return found
}

// close closes all sockets and refuses new ones.
func (t *sockets) close() {
	t.mu.Lock()
	t.closed = true
	open := maps.Clone(t.byName)
	t.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
}

// socket is a local service: it gets the frames that are for it. Frames wait
// in a bounded queue; what finds it full is dropped and counted, so that a
// slow reader never holds up a link.
type socket struct {
	node    *Node
	service wire.Service
	name    wire.ServiceName
	advert  *wire.Advert // what the mesh is told; nil if nothing; guarded by table.mu
	quiet   bool         // notices about it are not logged
	// sink, if not nil, gets each frame in place of the queue and takes it
	// over. problem, if not nil, gets notices about packets sent. Both run on
	// readers of links and must not wait.
	sink    func(src *destination, from wire.ServiceName, f *link.Frame)
	problem func(reporter wire.NodeID, p wire.Problem)

	table *sockets
	done  chan struct{} // closed by Close

	mu      sync.Mutex
	queue   frameRing
	waiting int           // readers asleep
	wake    chan struct{} // cap 1
	ended   bool
}

// open makes s ready and enters it; the table is locked.
func (s *socket) open(t *sockets) {
	s.table = t
	s.done = make(chan struct{})
	s.wake = make(chan struct{}, 1)
	t.byName[s.name] = s
}

// deliver takes over a frame for this socket.
func (s *socket) deliver(src *destination, f *link.Frame) {
	if s.sink != nil {
		s.sink(src, fromService(f.Bytes()), f)
		return
	}
	s.mu.Lock()
	if s.ended || s.queue.n >= maxSocket || s.queue.bytes >= maxSocketSize {
		full := !s.ended
		s.mu.Unlock()
		f.Release()
		if full {
			s.node.counters.socketFull.Add(1)
		}
		return
	}
	s.queue.push(f)
	wake := s.waiting > 0
	s.mu.Unlock()
	if wake {
		s.signal()
	}
}

// notice passes on what became of a packet.
func (s *socket) notice(reporter wire.NodeID, p wire.Problem) {
	if s.problem != nil {
		s.problem(reporter, p)
	}
}

// receive waits for the next frame, which the caller takes over, until the
// socket is closed (ErrClosed) or expired ends (nil, nil).
func (s *socket) receive(expired <-chan struct{}) (*link.Frame, error) {
	for {
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		if s.queue.n > 0 {
			f := s.queue.pop()
			more := s.queue.n > 0 && s.waiting > 0
			s.mu.Unlock()
			if more {
				s.signal() // another reader sleeps
			}
			return f, nil
		}
		s.waiting++
		s.mu.Unlock()
		var timedOut bool
		select {
		case <-s.wake:
		case <-s.done:
		case <-expired:
			timedOut = true
		}
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		if timedOut {
			return nil, nil
		}
	}
}

// signal wakes one reader.
func (s *socket) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close frees the name and drops what waits. It may be called more than once,
// also while frames are being delivered.
func (s *socket) Close() error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	s.ended = true
	close(s.done)
	s.queue.clear()
	s.mu.Unlock()
	s.table.mu.Lock()
	delete(s.table.byName, s.name)
	if s.advert != nil {
		s.table.turn.Add(1)
	}
	s.table.mu.Unlock()
	return nil
}
