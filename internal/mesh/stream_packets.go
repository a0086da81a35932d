package mesh

import (
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// packets carries the packets of a QUIC transport. quic-go's transport gives
// up a connection when a write fails, so packets without a route are lost
// silently instead: routes come back.
type packets struct {
	sock    *socket
	read    deadline
	refuse  atomic.Bool // answer attempts to open a session with "service unknown"
	remotes map[remoteKey]*remote
}

// remote is the address of the other end of sessions. quic-go compares
// addresses by their text, so it is made once.
type remote struct {
	Addr
	hash wire.Hash
	to   wire.ServiceName
	text string
}

// String is "node:service".
func (r *remote) String() string { return r.text }

// remoteKey is an address as it stands in a packet.
type remoteKey struct {
	hash wire.Hash
	name wire.ServiceName
}

func newRemote(node wire.NodeID, hash wire.Hash, service wire.ServiceName) *remote {
	a := Addr{node, service.Service()}
	return &remote{Addr: a, hash: hash, to: service, text: a.String()}
}

var _ net.PacketConn = (*packets)(nil)

// ReadFrom is called by one goroutine of quic-go.
func (c *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		expired := c.read.wait()
		f, err := c.sock.receive(expired)
		if err != nil {
			return 0, nil, err
		}
		if f == nil {
			return 0, nil, os.ErrDeadlineExceeded
		}
		frame := f.Bytes()
		from := c.remote(srcHash(frame), fromService(frame))
		if from == nil || c.refused(frame) {
			f.Release()
			continue
		}
		n := copy(b, frame[headerSize:])
		f.Release()
		return n, from, nil
	}
}

// remote finds the address of a packet's sender, or nil if it is unknown.
func (c *packets) remote(hash wire.Hash, service wire.ServiceName) *remote {
	key := remoteKey{hash, service}
	if r := c.remotes[key]; r != nil {
		return r
	}
	d := c.sock.node.view.Load().byHash[hash]
	if d == nil {
		return nil
	}
	if c.remotes == nil || len(c.remotes) >= maxRemotes {
		c.remotes = make(map[remoteKey]*remote)
	}
	r := newRemote(d.id, hash, service)
	c.remotes[key] = r
	return r
}

// refused answers a first packet of QUIC (long header, type Initial, padded to
// 1200 bytes) when nobody listens any more, so that dialers need not wait for
// their timeout. The socket is there only for the sessions that are still open.
func (c *packets) refused(frame []byte) bool {
	const firstPacket = 1200
	if !c.refuse.Load() || len(frame) < headerSize+firstPacket || frame[headerSize]&0xf0 != 0xc0 {
		return false
	}
	n := c.sock.node
	v := n.view.Load()
	if src := v.byHash[srcHash(frame)]; src != nil {
		n.notify(src, v.byHash[n.hash], frame, wire.ProblemServiceUnknown)
	}
	return true
}

// WriteTo waits for room in the queue of the first link, which slows quic-go
// down to what the link takes.
func (c *packets) WriteTo(b []byte, addr net.Addr) (int, error) {
	r, ok := addr.(*remote)
	if !ok {
		return 0, net.InvalidAddrError(addr.String())
	}
	n := c.sock.node
	if dst := n.view.Load().byHash[r.hash]; dst != nil {
		n.send(c.sock, dst, r.to, maxHops, b, patience{closed: c.sock.done})
	}
	return len(b), nil
}

func (c *packets) Close() error                       { return c.sock.Close() }
func (c *packets) LocalAddr() net.Addr                { return Addr{c.sock.node.ID, c.sock.service} }
func (c *packets) SetReadDeadline(t time.Time) error  { c.read.set(t); return nil }
func (c *packets) SetWriteDeadline(t time.Time) error { return nil }
func (c *packets) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }

// SetReadBuffer and SetWriteBuffer keep quic-go from logging that the carrier
// has no socket buffers.
func (c *packets) SetReadBuffer(int) error  { return nil }
func (c *packets) SetWriteBuffer(int) error { return nil }
