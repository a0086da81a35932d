package mesh

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// Addr is the address of a service: a net.Addr of network "mesh" that reads
// "node:service".
type Addr struct {
	Node    wire.NodeID
	Service wire.Service
}

// Network is "mesh".
func (a Addr) Network() string { return "mesh" }

// String is "node:service".
func (a Addr) String() string { return string(a.Node) + ":" + string(a.Service) }

// maxPayload is the most that a data packet carries on every kind of link but
// UDP, which takes 28 bytes less (spec mesh-protocol 3.1).
const maxPayload = 65535 - headerSize

// PacketConn is a datagram service. It keeps the contract of net.PacketConn,
// deadlines included; addresses are of type Addr.
type PacketConn interface {
	net.PacketConn
	// Receive waits for the next packet as ReadFrom does, and hands it to f
	// without a copy: payload may be used until f returns.
	Receive(f func(payload []byte, from Addr)) error
}

// ListenPacket opens a datagram service. Packets are lost
// when they find a queue on the way full, the queue of the socket included;
// WriteTo however waits for the first link. It reports ErrNoRoute,
// ErrNoConnection, and ErrServiceUnknown if the service would be on this node.
func (n *Node) ListenPacket(s Service) (PacketConn, error) {
	sock, err := n.listen(s, wire.Datagram, nil)
	if err != nil {
		return nil, err
	}
	return &packetConn{socket: sock, closing: n.withdraw}, nil
}

// packetConn is a socket as a PacketConn.
type packetConn struct {
	*socket
	closing     func(*socket) // tells the mesh, before the socket closes
	read, write deadline
}

var _ PacketConn = (*packetConn)(nil)

// ReadFrom waits for the next packet. What does not fit b is lost.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	f, src, err := c.next()
	if err != nil {
		return 0, nil, err
	}
	from := fromService(f.Bytes())
	n := copy(b, f.Bytes()[headerSize:])
	f.Release()
	return n, Addr{src.id, from.Service()}, nil
}

// Receive waits for the next packet and hands it to handle.
func (c *packetConn) Receive(handle func(payload []byte, from Addr)) error {
	f, src, err := c.next()
	if err != nil {
		return err
	}
	defer f.Release()
	from := fromService(f.Bytes())
	handle(f.Bytes()[headerSize:], Addr{src.id, from.Service()})
	return nil
}

// next waits for the next frame, which the caller takes over, and its source.
func (c *packetConn) next() (*link.Frame, *destination, error) {
	expired := c.read.wait()
	select {
	case <-expired:
		return nil, nil, os.ErrDeadlineExceeded
	default:
	}
	for {
		f, err := c.receive(expired)
		if err != nil {
			return nil, nil, err
		}
		if f == nil {
			// The deadline has come, unless it was moved meanwhile.
			if moved := c.read.wait(); moved != expired {
				expired = moved
				continue
			}
			return nil, nil, os.ErrDeadlineExceeded
		}
		src := c.node.view.Load().byHash[srcHash(f.Bytes())]
		if src == nil { // forgotten since it arrived
			f.Release()
			continue
		}
		return f, src, nil
	}
}

// WriteTo sends a packet to addr, an Addr.
func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	a, ok := addr.(Addr)
	if !ok {
		return 0, fmt.Errorf("write to %v: not an address of the mesh", addr)
	}
	if len(a.Service) > len(wire.ServiceName{}) {
		return 0, errServiceTooLong
	}
	if len(b) > maxPayload {
		return 0, fmt.Errorf("write to %v: packet of %d bytes is too long for the mesh, most is %d", a, len(b), maxPayload)
	}
	select {
	case <-c.done:
		return 0, ErrClosed
	default:
	}
	expired := c.write.wait()
	select {
	case <-expired:
		return 0, os.ErrDeadlineExceeded
	default:
	}
	dst, err := c.node.resolve(a.Node)
	if err != nil {
		return 0, err
	}
	wait := patience{closed: c.done, expired: expired}
	if err := c.node.send(c.socket, dst, a.Service.Name(), maxHops, b, wait); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close withdraws the service and frees its name.
func (c *packetConn) Close() error {
	if c.closing != nil {
		c.closing(c.socket)
	}
	return c.socket.Close()
}

// LocalAddr is the Addr of the service.
func (c *packetConn) LocalAddr() net.Addr { return Addr{c.node.ID, c.service} }

// SetDeadline sets both deadlines; reads and writes that wait are affected.
func (c *packetConn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}

// SetReadDeadline sets the deadline of reads, those that wait included.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

// SetWriteDeadline sets the deadline of writes, those that wait included.
func (c *packetConn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return nil
}

// resolve finds a node by name; "localhost" in any mixture of case is this
// node (spec mesh-protocol 2).
func (n *Node) resolve(id wire.NodeID) (*destination, error) {
	const local = "localhost"
	v := n.view.Load()
	if len(id) == len(local) && strings.EqualFold(string(id), local) {
		return v.byHash[n.hash], nil
	}
	if d := v.byName[id]; d != nil {
		return d, nil
	}
	return nil, ErrNoRoute
}
