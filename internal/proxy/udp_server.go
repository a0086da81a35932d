package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// UDPServer is a way in for datagrams (section udp-server): what comes to a UDP
// port goes to a datagram service of another node, and what comes back from
// there goes to the client. Each client has a mesh service of its own, with an
// ephemeral name.
type UDPServer struct {
	Address       string // to listen on, BINDADDR:PORT
	RemoteNode    wire.NodeID
	RemoteService wire.Service
}

// Open listens. A nil log discards.
func (c UDPServer) Open(n *mesh.Node, log *slog.Logger) (*Service, error) {
	addr, err := net.ResolveUDPAddr("udp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("could not resolve UDP address %s: %w", c.Address, err)
	}
	local, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("error listening on UDP: %w", err)
	}
	if len(c.RemoteService) > wire.MaxService {
		local.Close()
		return nil, fmt.Errorf("remote service %s: service name too long", c.RemoteService)
	}
	log = named(log).With("node", string(c.RemoteNode), "service", string(c.RemoteService))
	s := &udpServer{
		node: n, local: local, to: mesh.Addr{Node: c.RemoteNode, Service: c.RemoteService},
		flows: newFlows[netip.AddrPort, mesh.PacketConn](maxFlows, flowIdle),
		log:   log, out: sending(log.With("direction", "mesh")), back: sending(log.With("direction", "clients")),
	}
	s.from = s.to
	if strings.EqualFold(string(c.RemoteNode), "localhost") {
		s.from.Node = n.ID
	}
	log.Debug("listening", "address", local.LocalAddr().String())
	return &Service{run: s.run, close: func() { local.Close() }, addr: local.LocalAddr()}, nil
}

type udpServer struct {
	node      *mesh.Node
	local     *net.UDPConn
	to, from  mesh.Addr // of the service, as we name it and as it names itself
	flows     *flows[netip.AddrPort, mesh.PacketConn]
	log       *slog.Logger
	out, back *reporter
	crowded   sync.Once
	readers   sync.WaitGroup
}

func (s *udpServer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var expiry sync.WaitGroup
	defer s.readers.Wait()
	defer expiry.Wait()
	defer cancel()
	expiry.Go(func() { s.flows.expire(ctx) }) // ends with ctx
	defer closing(ctx, s.local)()

	buf := make([]byte, maxDatagram+1)
	pause := minPause
	for {
		n, client, err := s.local.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			pause = minPause
			s.out.report(s.send(client, buf[:n]))
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case refused(err):
			// Windows tells of answers that a client did not take.
		default:
			s.log.Warn("receive failed", "err", err)
			wait(ctx, pause)
			pause = min(pause*pauseGrowths, maxPause)
		}
	}
}

// send passes on a datagram of a client.
func (s *udpServer) send(client netip.AddrPort, datagram []byte) error {
	f := s.flows.get(client)
	if f == nil {
		conn, err := s.node.ListenPacket(mesh.Service{})
		if err != nil {
			return err
		}
		var crowded bool
		if f, crowded = s.flows.add(client, conn); f == nil {
			return nil
		}
		if crowded {
			s.crowded.Do(func() { s.log.Warn("too many clients, the longest silent ones are forgotten", "limit", maxFlows) })
		}
		s.readers.Go(func() { s.receive(f) }) // ends when the flow is closed
	}
	_, err := f.conn.WriteTo(datagram, s.to)
	return err
}

// receive passes what comes back on to the client of a flow.
func (s *udpServer) receive(f *flow[netip.AddrPort, mesh.PacketConn]) {
	defer s.flows.remove(f)
	var err error
	for err == nil {
		err = f.conn.Receive(func(payload []byte, from mesh.Addr) {
			if from != s.from {
				return // anyone may send; only the service may answer
			}
			s.flows.touch(f)
			_, err := s.local.WriteToUDPAddrPort(payload, f.key)
			if err != nil && !errors.Is(err, net.ErrClosed) {
				s.back.report(root(err))
			} else {
				s.back.report(nil)
			}
		})
	}
}
