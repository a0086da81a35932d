package meshtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Harness is a node whose only neighbours are the test. It works in synctest
// bubbles only.
type Harness struct {
	*mesh.Node
	tb      testing.TB
	links   int
	ctx     context.Context
	running sync.WaitGroup
}

// NewNode makes and runs a node. It ends with the test.
func NewNode(tb testing.TB, c mesh.Config) *Harness {
	tb.Helper()
	n, err := mesh.New(prepared(tb, c))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h := &Harness{Node: n, tb: tb, ctx: ctx}
	h.running.Go(func() {
		if err := n.Run(ctx); err != nil {
			tb.Logf("node %s: %v", c.ID, err)
		}
	})
	tb.Cleanup(func() { stop(); h.running.Wait() })
	return h
}

// Attach makes a harness around a node that runs already. The links that it
// makes end with the test.
func Attach(tb testing.TB, n *mesh.Node) *Harness {
	ctx, stop := context.WithCancel(context.Background())
	h := &Harness{Node: n, tb: tb, ctx: ctx}
	tb.Cleanup(func() { stop(); h.running.Wait() })
	return h
}

// Advance lets time pass until everybody waits again.
func (h *Harness) Advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Neighbour is the test's end of a link to the node under test.
type Neighbour struct {
	ID       wire.NodeID
	Epoch    uint64
	Sequence uint64
	Cost     float64
	Link     link.Link
	h        *Harness

	mu     sync.Mutex
	got    []Received
	closed time.Time // when the link ended; zero while it is open
	stays  bool      // does not close the link when it is rejected
}

// Received is a frame that the node sent.
type Received struct {
	At    time.Time
	Frame []byte
}

// Open makes a link to the node, over which the test says what it wants. With
// dialed the node is the one that dialled.
func (h *Harness) Open(id wire.NodeID, p mesh.LinkPolicy, dialed bool) *Neighbour {
	return h.OpenPipe(id, p, dialed, link.PipeOptions{})
}

// OpenPipe is Open over a link with options.
func (h *Harness) OpenPipe(id wire.NodeID, p mesh.LinkPolicy, dialed bool, o link.PipeOptions) *Neighbour {
	h.links++
	o.Name = fmt.Sprintf("%s#%d", id, h.links)
	here, there := link.Pipe(o)
	nb := &Neighbour{ID: id, Epoch: 1<<40 + uint64(h.links), Cost: 1, Link: here, h: h}
	if dialed {
		h.running.Go(func() { h.KeepLink(h.ctx, once{there, o.Name}, p, false) })
	} else {
		h.running.Go(func() { h.ServeLinks(h.ctx, newOneLink(there, o.Name), p) })
	}
	h.running.Go(nb.collect)
	synctest.Wait()
	return nb
}

// Link opens a link and makes the handshake; the frames of that are taken.
func (h *Harness) Link(id wire.NodeID, cost float64) *Neighbour {
	h.tb.Helper()
	nb := h.Open(id, mesh.LinkPolicy{Cost: cost}, false)
	nb.Cost = cost
	nb.Hello()
	h.Advance(150 * time.Millisecond)
	nb.SendUpdate(h.ID)
	h.Advance(150 * time.Millisecond)
	nb.Take()
	return nb
}

// KeepAlive repeats the neighbour's own update every 10 s from now on.
func (nb *Neighbour) KeepAlive(links ...wire.NodeID) {
	nb.h.running.Go(func() {
		t := time.NewTicker(10 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if nb.Link.WriteFrames([]*link.Frame{link.FrameOf(nb.Update(links...))}) != nil {
					return
				}
			case <-nb.h.ctx.Done():
				return
			}
		}
	})
}

func (nb *Neighbour) collect() {
	for {
		f, err := nb.Link.ReadFrame()
		nb.mu.Lock()
		if err != nil {
			nb.closed = time.Now()
			nb.mu.Unlock()
			nb.Link.Close()
			return
		}
		b := append([]byte(nil), f.Bytes()...)
		nb.got = append(nb.got, Received{time.Now(), b})
		stays := nb.stays
		nb.mu.Unlock()
		f.Release()
		if !stays && len(b) > 0 && wire.Type(b[0]) == wire.TypeReject {
			nb.Link.Close() // as every node does
		}
	}
}

// Send sends a frame as it is and waits until the node has dealt with it.
func (nb *Neighbour) Send(frame []byte) {
	nb.h.tb.Helper()
	var f *link.Frame
	if len(frame) > 0 {
		f = link.FrameOf(frame)
	} else {
		f = link.NewFrame(0)
	}
	err := nb.Link.WriteFrames([]*link.Frame{f})
	f.Release()
	if err != nil {
		nb.h.tb.Logf("send to %s: %v", nb.h.ID, err)
	}
	synctest.Wait()
}

// Update makes the neighbour's next update about itself. It lists the given
// nodes, all at the cost of the link.
func (nb *Neighbour) Update(links ...wire.NodeID) []byte {
	nb.Sequence++
	u := wire.Update{
		NodeID: nb.ID, ForwardingNode: nb.ID, UpdateID: fmt.Sprintf("%.3s%05d", nb.ID, nb.Sequence),
		UpdateEpoch: nb.Epoch, UpdateSequence: nb.Sequence, Connections: map[wire.NodeID]float64{},
	}
	for _, id := range links {
		u.Connections[id] = nb.Cost
	}
	return wire.AppendUpdate(nil, u)
}

// Hello sends a first message, SendUpdate an update that lists nodes.
func (nb *Neighbour) Hello()                          { nb.Send(nb.Update()) }
func (nb *Neighbour) SendUpdate(links ...wire.NodeID) { nb.Send(nb.Update(links...)) }

// Take returns the frames received so far and forgets them.
func (nb *Neighbour) Take() []Received {
	synctest.Wait()
	nb.mu.Lock()
	defer nb.mu.Unlock()
	got := nb.got
	nb.got = nil
	return got
}

// TakeType is Take for frames of one type; the others are forgotten too.
func (nb *Neighbour) TakeType(t wire.Type) [][]byte {
	var found [][]byte
	for _, r := range nb.Take() {
		if len(r.Frame) > 0 && wire.Type(r.Frame[0]) == t {
			found = append(found, r.Frame)
		}
	}
	return found
}

// Want takes what was received of a frame's type and requires it to be just
// that frame.
func (nb *Neighbour) Want(why string, frame []byte) {
	nb.h.tb.Helper()
	got := nb.TakeType(wire.Type(frame[0]))
	if len(got) != 1 || string(got[0]) != string(frame) {
		nb.h.tb.Errorf("%s: %s got %q, want %q", why, nb.ID, got, frame)
	}
}

// WantNone requires that no frame of a type was received.
func (nb *Neighbour) WantNone(why string, t wire.Type) {
	nb.h.tb.Helper()
	if got := nb.TakeType(t); len(got) != 0 {
		nb.h.tb.Errorf("%s: %s got %q, want nothing", why, nb.ID, got)
	}
}

// Closed tells when the node closed the link; zero if it has not.
func (nb *Neighbour) Closed() time.Time {
	synctest.Wait()
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return nb.closed
}

// Stay keeps the link open after a rejection, which no node does.
func (nb *Neighbour) Stay() {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.stays = true
}

// Close closes the link at the test's end.
func (nb *Neighbour) Close() {
	nb.Link.Close()
	synctest.Wait()
}

// once is a dialer for one link.
type once struct {
	l    link.Link
	name string
}

func (o once) Dial(context.Context) (link.Link, error) { return o.l, nil }
func (o once) String() string                          { return o.name }

// oneLink is a listener for one link.
type oneLink struct {
	l    chan link.Link
	done chan struct{}
	end  sync.Once
	name string
}

func newOneLink(l link.Link, name string) *oneLink {
	o := &oneLink{l: make(chan link.Link, 1), done: make(chan struct{}), name: name}
	o.l <- l
	return o
}

func (o *oneLink) Accept() (link.Link, error) {
	select {
	case l := <-o.l:
		return l, nil
	case <-o.done:
		return nil, link.ErrClosed
	}
}

func (o *oneLink) Close() error { o.end.Do(func() { close(o.done) }); return nil }
func (o *oneLink) Addr() string { return o.name }
