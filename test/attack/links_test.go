//go:build attack

package attack

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// attacks are all of them; see the files named after what they are thrown at.
var attacks = []attack{
	// Listeners of links.
	{"silent-tcp", func(x *attacker) { x.silent("tcp", x.where.TCP, 2000, nil) }},
	{"half-frame", func(x *attacker) {
		x.silent("tcp", x.where.TCP, 1000, append([]byte{0xff, 0xff, 1}, bytes.Repeat([]byte(" "), 65530)...))
	}},
	{"silent-ws", func(x *attacker) { x.silent("tcp", x.where.WS, 1000, nil) }},
	{"half-request", func(x *attacker) { x.silent("tcp", x.where.WS, 1000, []byte("GET / HTTP/1.1\r\nHost: x\r\nX: ")) }},
	{"http-nonsense", httpNonsense},
	{"udp-strangers", udpStrangers},
	{"reset", reset},
	{"garbage", garbage},
	{"stuck-links", stuckLinks},
	{"many-names", manyNames},
	{"impostor", impostor},
	// Handshakes of TLS, of links and of the control service.
	{"half-tls", func(x *attacker) {
		hello := clientHello()
		for _, addr := range []string{x.where.TLS, x.where.WSS, x.where.ControlTLS} {
			x.silent("tcp", addr, 700, hello)
		}
	}},
	{"tls-nonsense", tlsNonsense},
	// Routing and advertisements.
	{"forged-routes", forgedRoutes},
	{"fake-nodes", fakeNodes},
	{"giant-updates", giantUpdates},
	{"adverts", advertStorm},
	// Packets and streams.
	{"pings", pingFlood},
	{"quic-garbage", quicGarbage},
	{"streams", streamsLeft},
	{"proxy", proxyFlood},
	// Control service and metrics.
	{"silent-control", func(x *attacker) {
		x.silent("tcp", x.where.Control, 2000, nil)
		x.silent("unix", x.where.Socket, 200, nil)
	}},
	{"endless-lines", endlessLines},
	{"giant-json", giantJSON},
	{"slow-readers", slowReaders},
	{"control-nonsense", controlNonsense},
	{"submissions", submissions},
	{"session2", session2},
	{"metrics", metricsFlood},
}

// silent holds n connections that send so much and no more. One that is closed
// is replaced.
func (x *attacker) silent(network, addr string, n int, say []byte) {
	const each = 25 // connections of one goroutine
	x.crowd(n/each, func(r *rand.Rand) {
		var conns []net.Conn
		defer func() {
			for _, c := range conns {
				c.Close()
			}
		}()
		for range each {
			if c := x.dial(network, addr); c != nil {
				conns = append(conns, c)
				c.Write(say[:min(len(say), r.IntN(len(say)+1))])
			}
		}
		var b [512]byte
		for x.ctx.Err() == nil { // until the daemon has given up all of them
			open := conns[:0]
			for _, c := range conns {
				c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				if _, err := c.Read(b[:]); err == nil || isTimeout(err) {
					open = append(open, c)
				} else {
					c.Close()
				}
			}
			if conns = open; len(conns) == 0 {
				return
			}
		}
	})
}

func isTimeout(err error) bool { e, ok := err.(net.Error); return ok && e.Timeout() }

// dial connects; nil if it does not come to that.
func (x *attacker) dial(network, addr string) net.Conn {
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(x.ctx, network, addr)
	if err != nil {
		x.pause(10 * time.Millisecond)
		return nil
	}
	return c
}

// with calls f with a connection that ends with the attack, and closes it.
func (x *attacker) with(network, addr string, f func(c net.Conn)) {
	c := x.dial(network, addr)
	if c == nil {
		return
	}
	stop := context.AfterFunc(x.ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	f(c)
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

func httpNonsense(x *attacker) {
	x.crowd(20, func(r *rand.Rand) {
		x.with("tcp", x.where.WS, func(c net.Conn) {
			c.SetDeadline(time.Now().Add(3 * time.Second))
			switch r.IntN(5) {
			case 0:
				c.Write(noise(r, r.IntN(5000)))
			case 1: // a header without end
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n")
				for range 100 {
					if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", r.Uint32(), bytes.Repeat([]byte("y"), 4000)); err != nil {
						return
					}
				}
			case 2: // a body without end
				fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
				for range 100 {
					if _, err := c.Write(noise(r, 10000)); err != nil {
						return
					}
				}
			case 3:
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n")
			case 4: // a link, and then a message of 2^63 bytes, or fragments without end
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
				if r.IntN(2) == 0 {
					c.Write([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
				}
				for range 200 {
					if _, err := c.Write(append([]byte{0x02, 0xfe, 0x03, 0xe8, 0, 0, 0, 0}, noise(r, 1000)...)); err != nil {
						return
					}
				}
			}
			io.Copy(io.Discard, c)
		})
	})
}

func udpStrangers(x *attacker) {
	x.crowd(20, func(r *rand.Rand) {
		for range 10 {
			x.with("udp", x.where.UDP, func(c net.Conn) {
				if r.IntN(2) == 0 {
					c.Write(hello(fmt.Sprintf("u%d", r.IntN(5000)), ""))
				}
				for range 20 {
					b := noise(r, 1+r.IntN(1<<(1+r.IntN(15))))
					b[0] %= 6
					c.Write(b)
				}
			})
		}
		x.pause(20 * time.Millisecond)
	})
}

func reset(x *attacker) {
	addrs := []string{x.where.TCP, x.where.WS, x.where.Control, x.where.Metrics, x.where.Proxy}
	x.crowd(20, func(r *rand.Rand) {
		x.with("tcp", addrs[r.IntN(len(addrs))], func(c net.Conn) {
			c.Write(noise(r, r.IntN(3)*r.IntN(2000)))
			if r.IntN(3) > 0 {
				c.(*net.TCPConn).SetLinger(0)
			}
		})
		x.pause(time.Duration(r.IntN(10)) * time.Millisecond)
	})
}

// join opens a link by any of the transports and is accepted as id.
func (x *attacker) join(r *rand.Rand, id string) link.Link {
	dialers := []link.Dialer{link.DialTCP(x.where.TCP, nil)}
	if d, err := link.DialUDP(x.where.UDP); err == nil {
		dialers = append(dialers, d)
	}
	if d, err := link.DialWebSocket("ws://"+x.where.WS+"/", link.WebSocketOptions{}); err == nil {
		dialers = append(dialers, d)
	}
	return x.joinBy(dialers[r.IntN(len(dialers))], id)
}

// joinTCP is join over TCP, on which nothing is lost.
func (x *attacker) joinTCP(id string) link.Link {
	return x.joinBy(link.DialTCP(x.where.TCP, nil), id)
}

func (x *attacker) joinBy(d link.Dialer, id string) link.Link {
	ctx, cancel := context.WithTimeout(x.ctx, 5*time.Second)
	defer cancel()
	l, err := d.Dial(ctx)
	if err != nil {
		x.pause(10 * time.Millisecond)
		return nil
	}
	context.AfterFunc(x.ctx, func() { l.Close() })
	if send(l, hello(id, "")) != nil || send(l, hello(id, "t")) != nil {
		l.Close()
		return nil
	}
	return l
}

// send sends one frame.
func send(l link.Link, frame []byte) error {
	f := link.FrameOf(frame)
	defer f.Release()
	return l.WriteFrames([]*link.Frame{f})
}

// drain reads what comes, until the link ends.
func drain(l link.Link) {
	for {
		f, err := l.ReadFrame()
		if err != nil {
			return
		}
		f.Release()
	}
}

// member joins as id, reads what comes in the background, and calls f.
func (x *attacker) member(r *rand.Rand, id string, f func(l link.Link)) {
	l := x.joinTCP(id)
	if l == nil {
		return
	}
	done := make(chan struct{})
	go func() { defer close(done); drain(l) }() // ends with the link
	f(l)
	l.Close()
	<-done
}

func garbage(x *attacker) {
	x.crowd(10, func(r *rand.Rand) {
		l := x.join(r, fmt.Sprintf("g%d", r.IntN(100)))
		if l == nil {
			return
		}
		defer l.Close()
		for range 200 {
			b := noise(r, 1+r.IntN(1<<(1+r.IntN(16)))%65507)
			b[0] %= 8
			if b[0] == 3 {
				continue // a reject ends the link
			}
			if send(l, b) != nil {
				return
			}
		}
	})
}

// stuckLinks are neighbours that ask for much and read nothing.
func stuckLinks(x *attacker) {
	x.crowd(30, func(r *rand.Rand) {
		id := fmt.Sprintf("stuck%d", r.IntN(1000))
		l := x.joinTCP(id)
		if l == nil {
			return
		}
		defer l.Close()
		for x.ctx.Err() == nil {
			if send(l, packet(r, id, "t", "x", "ping", 30, noise(r, 1000))) != nil {
				return
			}
			if send(l, packet(r, id, "honest", "x", "nowhere", 30, noise(r, 60000))) != nil {
				return
			}
		}
	})
}

// manyNames joins under hundreds of names, reads nothing, and stays.
func manyNames(x *attacker) {
	x.crowd(50, func(r *rand.Rand) {
		var links []link.Link
		defer func() {
			for _, l := range links {
				l.Close()
			}
		}()
		for range 6 {
			if l := x.join(r, fmt.Sprintf("name%x", r.Uint64())); l != nil {
				links = append(links, l)
			}
		}
		x.pause(time.Minute)
	})
}

// impostor claims to be the honest neighbour, or the target itself.
func impostor(x *attacker) {
	x.crowd(10, func(r *rand.Rand) {
		if l := x.join(r, []string{"honest", "t", "localhost", ""}[r.IntN(4)]); l != nil {
			for range 20 {
				if send(l, hello("honest", "t")) != nil {
					break
				}
				x.pause(time.Duration(r.IntN(20)) * time.Millisecond)
			}
			l.Close()
		}
	})
}
