package rig

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// Cable forwards one listener's traffic, TCP or UDP, and can be cut.
// Its methods may be called from any goroutine.
type Cable struct {
	target string

	mu      sync.Mutex
	changed *sync.Cond
	state   cableState
	conns   map[net.Conn]bool
	wg      sync.WaitGroup
	stop    func() // closes the listening socket

	port int
}

type cableState string

const (
	whole  cableState = "whole"
	silent cableState = "silent" // nothing passes, and nobody is told; TCP's bytes wait, UDP's are dropped
	broken cableState = "broken" // connections are closed, new ones too
	ended  cableState = "ended"
)

// NewCable listens on loopback and forwards to port of loopback; network is tcp
// or udp. It ends with the test.
func NewCable(t testing.TB, network string, port int) *Cable {
	t.Helper()
	c := &Cable{target: fmt.Sprintf("127.0.0.1:%d", port), state: whole, conns: map[net.Conn]bool{}}
	c.changed = sync.NewCond(&c.mu)
	if network == "udp" {
		in, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.port = in.LocalAddr().(*net.UDPAddr).Port
		c.stop = func() { in.Close() }
		c.wg.Go(func() { c.forwardPackets(in) }) // ends when in is closed
	} else {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.port = ln.Addr().(*net.TCPAddr).Port
		c.stop = func() { ln.Close() }
		c.wg.Go(func() { c.accept(ln) }) // ends when ln is closed
	}
	t.Cleanup(c.end)
	return c
}

// Port is where the cable is plugged in: dial it in place of the target.
func (c *Cable) Port() int { return c.port }

// Cut ends all traffic. Quietly: nobody is told, as when a wire is pulled;
// otherwise connections are closed, and so is each new one.
func (c *Cable) Cut(quietly bool) {
	if quietly {
		c.set(silent)
	} else {
		c.set(broken)
	}
}

// Heal lets traffic pass again.
func (c *Cable) Heal() { c.set(whole) }

// Snap closes all connections; new ones are let through.
func (c *Cable) Snap() {
	c.Cut(false)
	c.Heal()
}

func (c *Cable) set(s cableState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == ended {
		return
	}
	c.state = s
	if s == broken || s == ended {
		for conn := range c.conns {
			conn.Close()
		}
	}
	c.changed.Broadcast()
}

func (c *Cable) end() {
	c.set(ended)
	c.stop()
	c.wg.Wait()
}

// keep notes a connection that a cut must close; it is closed at once if there is one.
func (c *Cable) keep(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == broken || c.state == ended {
		conn.Close()
		return false
	}
	c.conns[conn] = true
	return true
}

func (c *Cable) drop(conn net.Conn) {
	conn.Close()
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
}

// passable waits out a silent cut and tells whether traffic may pass.
func (c *Cable) passable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.state == silent {
		c.changed.Wait()
	}
	return c.state == whole
}

func (c *Cable) accept(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		if c.keep(in) {
			c.wg.Go(func() { c.join(in) }) // ends when either side has, or at a cut
		}
	}
}

// join carries one connection in both directions until one of them ends.
func (c *Cable) join(in net.Conn) {
	defer c.drop(in)
	if !c.passable() {
		return
	}
	out, err := net.Dial("tcp", c.target)
	if err != nil || !c.keep(out) {
		return
	}
	defer c.drop(out)
	var both sync.WaitGroup
	pump := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 && c.passable() {
				_, werr := to.Write(buf[:n])
				err = errors.Join(err, werr)
			}
			if err != nil {
				return
			}
		}
	}
	both.Go(func() { pump(out, in) }) // both end when one of the connections does
	both.Go(func() { pump(in, out) })
	both.Wait()
}

// forwardPackets gives each source a socket of its own towards the target.
func (c *Cable) forwardPackets(in net.PacketConn) {
	sources := map[string]net.Conn{}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := in.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			for _, out := range sources {
				out.Close()
			}
			return
		}
		if err != nil || !c.whole() {
			continue
		}
		out := sources[from.String()]
		if out == nil {
			if out, err = net.Dial("udp", c.target); err != nil {
				continue
			}
			sources[from.String()] = out
			back := out
			c.wg.Go(func() { c.answerPackets(in, back, from) }) // ends when back is closed
		}
		out.Write(buf[:n]) // a refusal is a lost packet
	}
}

func (c *Cable) answerPackets(in net.PacketConn, out net.Conn, to net.Addr) {
	buf := make([]byte, 64<<10)
	for {
		n, err := out.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && c.whole() {
			in.WriteTo(buf[:n], to)
		}
	}
}

func (c *Cable) whole() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == whole
}
