package mesh

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// peer is one link in use. Its life:
//
//	opened ----> pending --accepted--> up --+--> closed
//	                |  |                    |
//	                |  +--held, see hold.go-+
//	                +--rejected--> ending --+
//
// One goroutine reads, one writes; the owner of the node decides.
type peer struct {
	node   *Node
	link   link.Link
	policy LinkPolicy
	dialed bool   // by us
	name   string // of the dialer or the remote address, for logs
	out    outbox
	in     inbox

	heard   atomic.Int64  // node clock at the last frame received
	life    atomic.Uint64 // frames that only an established peer sends
	moved   traffic
	writing atomic.Int64 // node clock at the start of the write under way; 0 if none
	up      atomic.Bool  // established: data passes
	ending  atomic.Bool  // rejected: what comes in is ignored

	sent  chan struct{} // closed when the writer has ended
	done  chan struct{} // closed by close
	once  sync.Once
	cause error // why it closed; valid once done is closed

	// Of the owner.
	state     state
	id        wire.NodeID // once a first message was understood
	epoch     uint64      // of that message
	cost      float64
	opened    time.Time
	hellos    int       // first messages sent
	nextHello time.Time // when the next is due; meaningful while pending
	early     []byte    // its last update that listed us before the link was established
	listsUs   bool      // the peer has said on this link that it is connected to us
	hold      *hold     // set on the newcomer while it waits for the decision
	refusal   error     // why we rejected it; nil if we did not
	closeAt   time.Time // when the link closes after a rejection
}

func newPeer(n *Node, l link.Link, policy LinkPolicy, name string, dialed bool) *peer {
	p := &peer{node: n, link: l, policy: policy, dialed: dialed, name: name, sent: make(chan struct{}), done: make(chan struct{})}
	p.out.init(l.MaxFrame(), &n.queued, &n.told)
	p.in.memory = &n.arrived
	p.heard.Store(n.clock())
	return p
}

// serve moves frames until the link ends and returns why.
func (p *peer) serve() error {
	var writer sync.WaitGroup
	writer.Go(p.write) // ends with the outbox, which close closes
	p.close(p.read())
	writer.Wait()
	return p.cause
}

// close ends the link; the first cause stays. Any goroutine may call it.
func (p *peer) close(cause error) {
	p.once.Do(func() {
		p.cause = cause
		p.up.Store(false)
		close(p.done)
		p.out.close()
		p.link.Close()
	})
}

// read takes frames from the link and hands them on until the link ends.
func (p *peer) read() error {
	n := p.node
	for {
		f, err := p.link.ReadFrame()
		if err != nil {
			return &linkError{err: err}
		}
		p.heard.Store(n.clock())
		b := f.Bytes()
		p.moved.framesIn.Add(1)
		p.moved.bytesIn.Add(uint64(len(b)))
		if len(b) == 0 {
			n.counters.malformed.Add(1)
			f.Release()
			continue
		}
		switch {
		case p.ending.Load():
			f.Release()
		case wire.Type(b[0]) == wire.TypeData:
			p.in.wait(p.done)
			if !p.up.Load() {
				f.Release() // spec 5, 2: ignored before the link is established
				continue
			}
			p.life.Add(1)
			n.arrive(f)
		case wire.Type(b[0]) == wire.TypeUpdate, wire.Type(b[0]) == wire.TypeAdvert:
			if p.in.put(f, p.done) {
				n.box.ready(p)
			}
		case wire.Type(b[0]) == wire.TypeReject:
			reason := wire.RejectReason(b)
			f.Release()
			return &rejection{reason}
		default:
			n.counters.unknownType.Add(1)
			f.Release()
		}
	}
}

// write sends what the outbox holds until it closes, or until the last frame
// of a rejected link.
func (p *peer) write() {
	defer close(p.sent)
	var batch []*link.Frame
	for {
		var last, ok bool
		batch, last, ok = p.out.next(batch[:0])
		if !ok {
			return
		}
		if len(batch) == 0 {
			return // flushed
		}
		p.writing.Store(max(1, p.node.clock()))
		err := p.link.WriteFrames(batch)
		p.writing.Store(0)
		var sent uint64
		for i, f := range batch {
			sent += uint64(len(f.Bytes()))
			f.Release()
			batch[i] = nil
		}
		if err == nil {
			p.moved.framesOut.Add(uint64(len(batch)))
			p.moved.bytesOut.Add(sent)
		}
		if err != nil {
			p.close(&linkError{writing: true, err: err})
			return
		}
		if last {
			return // the reader goes on until the peer closes or the linger time ends
		}
	}
}

// reject sends a reject frame and lets the link linger until the peer closes
// or the owner's patience ends: a close right behind the frame would often
// overtake it. The owner calls it.
func (p *peer) reject(cause error, now time.Time) {
	p.up.Store(false)
	p.ending.Store(true)
	p.refusal = cause
	p.closeAt = now.Add(lingerReject)
	reason := ""
	if e, ok := errors.AsType[*certificateError](cause); ok {
		reason = e.Error()
	}
	p.out.finish(wire.Reject(reason))
}

// rejection is the end of a link that the peer refused.
type rejection struct{ reason string } // may be empty

func (e *rejection) Error() string        { return errRejectedByPeer.Error() }
func (e *rejection) Is(target error) bool { return target == errRejectedByPeer }

// logEnd writes the line about how the link ended, if there is one.
func (p *peer) logEnd(log *slog.Logger) {
	err := p.cause
	sent, broken := errors.AsType[*linkError](err)
	switch {
	case errors.Is(err, errRejectedByPeer):
		log.Warn("link rejected by peer", "link", p.name, "peer", p.id)
		attrs := []any{"link", p.name, "peer", p.id, "err", err}
		if r, ok := errors.AsType[*rejection](err); ok && r.reason != "" {
			attrs = append(attrs, "cause", r.reason)
		}
		log.Error("link failed", attrs...)
	case errors.Is(err, errSilent):
		log.Warn("link silent", "link", p.name)
	case errors.Is(err, errIdle):
		log.Warn("link idle", "peer", p.id, "idle", p.node.IdleTimeout)
	case p.ending.Load(), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), !broken:
	case sent.writing:
		log.Error("link send failed", "peer", p.id, "err", sent.err)
	default:
		log.Error("link receive failed", "peer", p.id, "err", sent.err)
	}
}

// linkError is a failure of the transport below a link.
type linkError struct {
	writing bool
	err     error
}

func (e *linkError) Error() string {
	if e.writing {
		return "send: " + e.err.Error()
	}
	return "receive: " + e.err.Error()
}

func (e *linkError) Unwrap() error { return e.err }
