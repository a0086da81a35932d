//go:build attack

package attack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/mesh/link"
	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// epoch is that of a node that starts now.
func epoch() uint64 { return uint64(time.Now().UnixNano()) / 1e9 << 24 }

// hello is the first message of node id, or with a neighbour the next one.
func hello(id, neighbour string) []byte {
	u := wire.Update{
		NodeID: wire.NodeID(id), ForwardingNode: wire.NodeID(id), UpdateID: fmt.Sprintf("%08x", rand.Uint32()),
		UpdateEpoch: epoch(), UpdateSequence: uint64(time.Now().UnixNano()), Connections: map[wire.NodeID]float64{},
	}
	if neighbour != "" {
		u.Connections[wire.NodeID(neighbour)] = 1
	}
	return wire.AppendUpdate(nil, u)
}

// update is a routing update as text, with values that no encoder would write.
func update(r *rand.Rand, by, node, connections, epoch, sequence, suspected string) []byte {
	return fmt.Appendf(nil, `%c{"NodeID":%q,"UpdateID":"%08x","UpdateEpoch":%s,"UpdateSequence":%s,"Connections":%s,"ForwardingNode":%q,"SuspectedDuplicate":%s}`,
		wire.TypeUpdate, node, r.Uint32(), epoch, sequence, connections, by, suspected)
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// forgedRoutes speaks in other nodes' names and in the target's own. It does not
// accuse the target of being a duplicate with its true epoch: a node that believes
// that ends, as the protocol has it.
func forgedRoutes(x *attacker) {
	x.crowd(4, func(r *rand.Rand) {
		id := fmt.Sprintf("forger%d", r.IntN(50))
		x.member(r, id, func(l link.Link) {
			for range 500 {
				var edges []string
				for range r.IntN(8) {
					edges = append(edges, fmt.Sprintf("%q:%s", pick(r, "t", "honest", id, "b", "c", "d", ""),
						pick(r, "1", "-1", "0", "-0", "1e308", "1e-308", "-1e308", "1e999", "NaN", "null", `"1"`, "0.5", "[]")))
				}
				node := pick(r, "t", "honest", "b", "c", "d", "", id+"x", strings.Repeat("n", 255), strings.Repeat("n", 256), "a\nb", "\x00")
				frame := update(r, pick(r, id, id, id, id, id, "honest"), node, "{"+strings.Join(edges, ",")+"}",
					pick(r, "0", "1", "18446744073709551615", "18446744073709551616", "-1", fmt.Sprint(epoch()), fmt.Sprint(epoch()+1<<40)),
					pick(r, "0", "1", "18446744073709551615", "9223372036854775807", "-1", "1.5"),
					pick(r, "0", "0", "0", "1", "18446744073709551615"))
				if send(l, frame) != nil {
					return
				}
			}
		})
	})
}

// fakeNodes has one neighbour tell of 10,000 nodes that do not exist.
func fakeNodes(x *attacker) {
	const count = 10_000
	x.crowd(1, func(r *rand.Rand) {
		x.member(r, "liar", func(l link.Link) {
			for x.ctx.Err() == nil {
				var near strings.Builder // its own neighbours: so all are in reach
				for range 500 {
					fmt.Fprintf(&near, `,"fake%d":1`, r.IntN(count))
				}
				send(l, update(r, "liar", "liar", `{"t":1`+near.String()+"}", fmt.Sprint(epoch()+1), fmt.Sprint(time.Now().UnixNano()), "0"))
				for i := range count {
					edges := fmt.Sprintf(`{"liar":1,"fake%d":%d,"fake%d":1}`, r.IntN(count), 1+r.IntN(5), (i+1)%count)
					if send(l, update(r, "liar", fmt.Sprintf("fake%d", i), edges, fmt.Sprint(epoch()), fmt.Sprint(time.Now().UnixNano()), "0")) != nil {
						return
					}
				}
			}
		})
	})
}

// giantUpdates tells of nodes with as many connections as a frame can hold.
func giantUpdates(x *attacker) {
	x.crowd(5, func(r *rand.Rand) {
		id := fmt.Sprintf("giant%d", r.IntN(10))
		x.member(r, id, func(l link.Link) {
			for range 500 {
				var b strings.Builder
				for i := 0; b.Len() < 65000; i++ {
					fmt.Fprintf(&b, `,"%x":1`, r.Uint64()>>r.IntN(40))
				}
				node := fmt.Sprintf("hub%d", r.IntN(3000))
				if send(l, update(r, id, node, "{"+b.String()[1:]+"}", fmt.Sprint(epoch()), fmt.Sprint(time.Now().UnixNano()), "0")) != nil {
					return
				}
			}
		})
	})
}

// advertStorm advertises thousands of services of nodes that exist and of
// nodes that do not, with clocks that are wrong by thousands of years.
func advertStorm(x *attacker) {
	x.crowd(3, func(r *rand.Rand) {
		id := fmt.Sprintf("crier%d", r.IntN(20))
		x.member(r, id, func(l link.Link) {
			for range 1000 {
				tag := strings.Repeat("v", 1<<r.IntN(16))
				when := pick(r, `"0000-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999999999Z"`, `"1970-01-01T00:00:00Z"`, `"2300-01-01T00:00:00+23:59"`,
					`"`+time.Now().Format(time.RFC3339Nano)+`"`, "0", "null", `"tomorrow"`)
				frame := fmt.Appendf(nil, `%c{"NodeID":%q,"Service":"%x","Time":%s,"ConnType":%s,"Tags":{"type":%q,"%d":"x"},"WorkCommands":%s,"Cancel":%s}`,
					wire.TypeAdvert, pick(r, "honest", "t", id, fmt.Sprint("fake", r.IntN(5000))), r.IntN(1<<16), when,
					pick(r, "0", "1", "2", "255", "256", "-1"), tag, r.Uint32(), pick(r, "null", "[]", `[{"WorkType":"x","Secure":true}]`), pick(r, "true", "false", "false", "false"))
				if len(frame) > wire.MaxFrame {
					continue
				}
				if send(l, frame) != nil {
					return
				}
			}
		})
	})
}

// packet is a data frame.
func packet(r *rand.Rand, src, dst, from, to string, hops uint8, payload []byte) []byte {
	b := wire.AppendHeader(nil, wire.Header{
		Hops: hops, Src: wire.NodeID(src).Hash(), Dst: wire.NodeID(dst).Hash(),
		From: wire.Service(from).Name(), To: wire.Service(to).Name(),
	})
	return append(b, payload...)
}

// pingFlood pings the target, its neighbour through it, and nobody, with
// addresses true and false.
func pingFlood(x *attacker) {
	x.crowd(3, func(r *rand.Rand) {
		id := fmt.Sprintf("pinger%d", r.IntN(20))
		x.member(r, id, func(l link.Link) {
			for range 20_000 {
				frame := packet(r, pick(r, id, id, "t", "honest", "nobody"), pick(r, "t", "t", "honest", id, "nobody"),
					pick(r, "abcdefgh", "ping", "unreach", ""), pick(r, "ping", "ping", "unreach", "control", "nowhere"), uint8(r.IntN(256)), nil)
				if r.IntN(10) == 0 { // notices about packets that never were
					frame = append(frame, fmt.Sprintf(`{"FromNode":%q,"ToNode":%q,"FromService":"control","ToService":"x","Problem":"service unknown"}`, pick(r, "t", id), id)...)
				}
				if send(l, frame) != nil {
					return
				}
			}
		})
	})
}

// quicGarbage sends packets to services that are, or look like, QUIC.
func quicGarbage(x *attacker) {
	x.crowd(3, func(r *rand.Rand) {
		id := fmt.Sprintf("quic%d", r.IntN(20))
		x.member(r, id, func(l link.Link) {
			for range 3000 {
				var b []byte
				switch r.IntN(4) {
				case 0:
					b = noise(r, r.IntN(1500))
				case 1: // a first packet whose key anyone can work out, and nonsense in it
					b = append([]byte{0xc0 | byte(r.IntN(64)), 0, 0, 0, 1, 8}, noise(r, 8)...)
					b = append(append(b, 8), noise(r, 8)...)
					b = append(b, 0, 0x44, 0xb0)
					b = append(b, noise(r, 1200-len(b))...)
				case 2: // of a version nobody speaks
					b = append(append([]byte{0xc0}, noise(r, 4)...), bytes.Repeat([]byte{20}, 1200)...)
				case 3: // of a session that nobody knows
					b = append([]byte{0x40}, noise(r, 60)...)
				}
				if send(l, packet(r, id, "t", fmt.Sprintf("q%d", r.IntN(1000)), pick(r, "control", "echo", "ctl2", "ctl3"), 30, b)) != nil {
					return
				}
			}
		})
	})
}

// streamsLeft opens streams as a true node does, and leaves them as no node does:
// each node vanishes with all its sessions open.
func streamsLeft(x *attacker) {
	x.crowd(3, func(r *rand.Rand) {
		n, err := mesh.New(mesh.Config{ID: wire.NodeID(fmt.Sprintf("streams%d", r.IntN(1000)))})
		if err != nil {
			panic(err)
		}
		ctx, cancel := context.WithCancel(x.ctx)
		ended := make(chan struct{}, 2)
		go func() { n.Run(ctx); ended <- struct{}{} }()
		way := &vanishing{Dialer: link.DialTCP(x.where.TCP, nil)}
		go func() { n.KeepLink(ctx, way, mesh.LinkPolicy{Cost: 1}, false); ended <- struct{}{} }()
		for until := time.Now().Add(time.Second); n.Status().Routes["t"] == "" && time.Now().Before(until); {
			x.pause(10 * time.Millisecond)
		}
		for i := range 200 {
			dialling, stop := context.WithTimeout(ctx, 3*time.Second)
			c, err := n.Dial(dialling, "t", wire.Service(pick(r, "control", "echo", "ctl2")), nil)
			stop()
			if err != nil {
				break
			}
			switch i % 4 {
			case 0:
				fmt.Fprint(c, "status\n")
			case 1:
				c.Write(noise(r, 5000))
			case 2:
				fmt.Fprintf(c, "work results %s\n", x.where.Unit)
			}
		}
		way.gone.Store(true)
		cancel()
		<-ended
		<-ended
	})
}

// vanishing dials links over which nothing is sent any more once its node is gone.
type vanishing struct {
	link.Dialer
	gone atomic.Bool
}

func (v *vanishing) Dial(ctx context.Context) (link.Link, error) {
	l, err := v.Dialer.Dial(ctx)
	return vanishingLink{l, v}, err
}

type vanishingLink struct {
	link.Link
	of *vanishing
}

func (l vanishingLink) WriteFrames(frames []*link.Frame) error {
	if l.of.gone.Load() {
		return nil
	}
	return l.Link.WriteFrames(frames)
}

// proxyFlood connects to a way in and says little; what the way out leads to
// answers nobody.
func proxyFlood(x *attacker) {
	ln, err := net.Listen("tcp", x.where.Echo)
	if err == nil {
		stop := context.AfterFunc(x.ctx, func() { ln.Close() })
		x.all.Go(func() {
			defer stop()
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				context.AfterFunc(x.ctx, func() { c.Close() })
				x.all.Go(func() {
					io.CopyN(io.Discard, c, 1000)
					<-x.ctx.Done()
				})
			}
		})
	}
	x.crowd(200, func(r *rand.Rand) {
		x.with("tcp", x.where.Proxy, func(c net.Conn) {
			c.Write(noise(r, r.IntN(3000)))
			x.pause(time.Duration(r.IntN(3000)) * time.Millisecond)
		})
	})
}
