package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// UDPClient is a way out for datagrams (section udp-client): it offers a
// datagram service, advertised as `UDP Proxy`, and passes what comes to it on to
// a UDP address. Each service of the mesh that sends has a socket of its own,
// and gets what comes back there.
type UDPClient struct {
	Service wire.Service
	Address string // HOST:PORT, looked up once
}

// Open looks up the address and listens on the mesh. A nil log discards.
func (c UDPClient) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	to, err := net.ResolveUDPAddr("udp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("could not resolve UDP address %s: %w", c.Address, err)
	}
	conn, err := n.ListenPacket(mesh.Service{
		Name: c.Service, Advertise: true,
		Tags: map[string]string{"type": "UDP Proxy", "address": c.Address},
	})
	if err != nil {
		return nil, err
	}
	log = named(log).With("service", string(c.Service), "address", c.Address)
	s := &udpClient{
		mesh: conn, to: to, flows: newFlows[mesh.Addr, *net.UDPConn](maxFlows, flowIdle),
		log: log, out: sending(log.With("direction", "socket")), back: sending(log.With("direction", "mesh")),
	}
	return &Service{run: s.run, close: func() { conn.Close() }, addr: conn.LocalAddr()}, nil
}

type udpClient struct {
	mesh      mesh.PacketConn
	to        *net.UDPAddr
	flows     *flows[mesh.Addr, *net.UDPConn]
	log       *slog.Logger
	out, back *reporter
	crowded   sync.Once
	readers   sync.WaitGroup
}

func (s *udpClient) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var expiry sync.WaitGroup
	defer s.readers.Wait()
	defer expiry.Wait()
	defer cancel()
	expiry.Go(func() { s.flows.expire(ctx) }) // ends with ctx
	defer closing(ctx, s.mesh)()

	for {
		err := s.mesh.Receive(func(payload []byte, from mesh.Addr) { s.out.report(s.send(from, payload)) })
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		default:
			return err // the service is closed: nothing else is an error
		}
	}
}

// send passes on a packet of the mesh.
func (s *udpClient) send(from mesh.Addr, payload []byte) error {
	f := s.flows.get(from)
	if f == nil {
		conn, err := net.DialUDP("udp", nil, s.to) // does not wait for anything
		if err != nil {
			return root(err)
		}
		var crowded bool
		if f, crowded = s.flows.add(from, conn); f == nil {
			return nil
		}
		if crowded {
			s.crowded.Do(func() { s.log.Warn("too many senders, the longest silent ones are forgotten", "limit", maxFlows) })
		}
		s.readers.Go(func() { s.receive(f) }) // ends when the flow is closed
	}
	_, err := f.conn.Write(payload)
	if err != nil && refused(err) {
		_, err = f.conn.Write(payload) // the error was about an earlier one, and this was not sent
	}
	if err != nil {
		return root(err)
	}
	return nil
}

// receive passes what comes back on to the sender of a flow.
func (s *udpClient) receive(f *flow[mesh.Addr, *net.UDPConn]) {
	defer s.flows.remove(f)
	for {
		err := readDatagram(f.conn, func(datagram []byte) {
			s.flows.touch(f)
			_, err := s.mesh.WriteTo(datagram, f.key)
			if err == nil || !errors.Is(err, net.ErrClosed) {
				s.back.report(err)
			}
		})
		if err != nil && !refused(err) {
			if !errors.Is(err, net.ErrClosed) {
				s.out.report(root(err))
			}
			return // the next packet of the sender makes a new flow
		}
	}
}
