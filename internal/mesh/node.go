package mesh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Config of a Node; zero values mean the defaults named.
type Config struct {
	// ID is the name of the node; required.
	ID wire.NodeID
	// IdleTimeout: a link without a received frame for this long is closed;
	// default and least 21 s (spec mesh-protocol 1).
	IdleTimeout time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
	// Policy decides which packets pass; nil lets all pass.
	Policy Policy
	// Reached, if not nil, is told of nodes to which a way was found where there
	// was none, and of nodes that were restarted. It is called by the goroutine
	// that owns the routes, once for each change, and must not wait for anything.
	Reached func([]wire.NodeID)
	// PacketSize is the most bytes that a QUIC packet of ours has; default and
	// most 1452, which is what the original reads, least 1200. Above 1280 the
	// pacer of quic-go 0.65 now and then spins for the time of a fraction of a
	// packet. That is short, but for ever under the clock of a
	// testing/synctest bubble: tests there use 1280, as package meshtest does.
	PacketSize int
}

// Node is a member of the mesh. New makes one; all methods may be called from
// any goroutine.
type Node struct {
	Config
	hash        wire.Hash
	start       time.Time // origin of clock
	box         mailbox
	running     atomic.Bool
	view        atomic.Pointer[view]        // what the data path needs to know
	firewall    atomic.Pointer[firewall]    // nil if every packet passes
	trace       atomic.Pointer[slog.Logger] // nil if packets are not logged
	state       atomic.Pointer[linkState]   // what Status shows of links and routes
	local       sockets
	adverts     advertTable // has its own lock
	work        atomic.Pointer[[]wire.WorkCommand]
	streams     streams
	counters    counters
	queued      share        // data frames that wait for links
	told        share        // control frames that wait for links
	arrived     share        // control frames that wait for the owner
	readvertise atomic.Bool  // our services changed: advertise them soon
	logged      atomic.Int64 // node clock at the last line about a notice
}

// counters of what was ignored or dropped, for diagnosis.
type counters struct {
	malformed   atomic.Uint64 // frames that could not be understood
	unknownType atomic.Uint64 // frames of a type that is not known
	unknownHash atomic.Uint64 // packets with a source or destination that is not known
	noRoute     atomic.Uint64 // packets to pass on without a way
	queueFull   atomic.Uint64 // packets that found the queue of a link full
	socketFull  atomic.Uint64 // packets that found the queue of a local socket full
	blocked     atomic.Uint64 // packets that the firewall stopped
	tooLong     atomic.Uint64 // frames too long for the link they had to take
	overLimit   atomic.Uint64 // advertisements for which there was no room
	toldLate    atomic.Uint64 // control frames that found the queue of a link full
	crowded     atomic.Uint64 // links closed because there were too many

	linksUp   atomic.Uint64 // links that were established
	linksDown atomic.Uint64 // of these: that have ended
}

// New makes a node; it starts nothing. Links, sockets and services may be
// given to it before Run; they work as soon as Run does.
func New(c Config) (*Node, error) {
	if _, err := wire.ParseNodeID(string(c.ID)); err != nil {
		return nil, fmt.Errorf("node id %q: %w", c.ID, err)
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = minIdle
	}
	if c.IdleTimeout < minIdle {
		return nil, fmt.Errorf("idle timeout %v: must be %v or more", c.IdleTimeout, minIdle)
	}
	if c.PacketSize == 0 {
		c.PacketSize = packetSize
	}
	if c.PacketSize < packetSizeLeast || c.PacketSize > packetSize {
		return nil, fmt.Errorf("packet size %d: must be from %d to %d", c.PacketSize, packetSizeLeast, packetSize)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{Config: c, hash: c.ID.Hash(), start: time.Now()}
	n.queued.total, n.told.total, n.arrived.total = maxQueued, maxTold, maxArrived
	n.box.init()
	n.local.init()
	n.adverts.init(c.ID)
	n.streams.init(n)
	n.SetPolicy(c.Policy)
	n.state.Store(&linkState{})
	self := &destination{id: c.ID, hash: n.hash}
	n.view.Store(&view{
		byHash: map[wire.Hash]*destination{n.hash: self},
		byName: map[wire.NodeID]*destination{c.ID: self},
	})
	return n, nil
}

// errRunning is the error of a second Run.
var errRunning = errors.New("mesh node: Run was called twice")

// Run owns the node until ctx ends and then returns nil; a node runs once. It
// returns when all goroutines of the node have ended: all links are closed,
// all streams and sessions are aborted, sockets and listeners report
// ErrClosed. An error is fatal: another, younger node uses our ID and this
// process must end (spec mesh-protocol 6.1).
func (n *Node) Run(ctx context.Context) error {
	if !n.running.CompareAndSwap(false, true) {
		return errRunning
	}
	l := newLoop(n, time.Now())
	err := l.run(ctx)
	n.box.close(l)
	n.streams.close()
	n.local.close()
	l.closeAll()
	n.box.wg.Wait()
	return err
}

// clock is the time since the node was made, for comparisons only.
func (n *Node) clock() int64 { return int64(time.Since(n.start)) }

// alphabet of update IDs and ephemeral services (spec mesh-protocol 2).
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// randomName returns 8 characters of alphabet, each equally likely.
func randomName() string {
	var name [8]byte
	for i := 0; i < len(name); {
		var b [16]byte
		rand.Read(b[:]) // never fails
		for _, x := range b {
			if int(x) < 4*len(alphabet) && i < len(name) { // else some would be likelier
				name[i] = alphabet[int(x)%len(alphabet)]
				i++
			}
		}
	}
	return string(name[:])
}

// newRand returns a source of jitter.
func newRand() *mrand.Rand {
	return mrand.New(mrand.NewPCG(mrand.Uint64(), mrand.Uint64()))
}
