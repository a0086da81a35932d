package harness

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Direction is one of the two ways through a Cable.
type Direction int

// The directions: named by who sends.
const (
	FromDialer   Direction = iota // what the dialling node sends
	FromListener                  // what the listening node sends
)

// lossless is how many pieces may be on the way in one direction of a
// connection. When so many are, the sender is held up.
const lossless = 64

// Cable stands in for the network between a node that dials and one that
// listens: the dialling node is given Addr in place of the listener's address,
// and the cable forwards. The test holds, cuts, slows and heals it, and can have
// it held at the very byte. All methods may be called from any goroutine.
type Cable struct {
	Addr string // HOST:PORT on loopback, TCP or UDP

	t    *testing.T
	tcp  net.Listener   // nil with UDP
	udp  net.PacketConn // nil with TCP
	done chan struct{}  // closed when the test ends
	wg   sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond // held, cut or ended changed
	target  string
	held    bool
	cut     bool
	ended   bool
	delay   time.Duration
	rate    int // bytes per second and direction; 0: as fast as it goes
	passed  [2]int64
	holdAt  [2]*holdPoint
	wires   map[*wire]bool
}

// holdPoint is where a cable has to be held: when passed reaches at.
type holdPoint struct {
	at      int64
	reached chan struct{}
}

// wire is one connection through a cable, or the datagrams of one sender.
type wire struct {
	ends [2]net.Conn // the dialling node's, the listener's; with UDP the first is nil
	from net.Addr    // UDP: the dialling node
	ways [2]chan piece
	gone chan struct{}
	once sync.Once
}

// piece is some bytes on their way; due is when they may arrive. A piece without
// bytes is the end.
type piece struct {
	data []byte
	due  time.Time
}

// NewCable opens a cable for links of the transport (tcp, ws or udp) to a
// listener; the target may be set later. It ends with the test.
func NewCable(t *testing.T, transport, target string) *Cable {
	t.Helper()
	c := &Cable{t: t, target: target, done: make(chan struct{}), wires: make(map[*wire]bool)}
	c.changed = sync.NewCond(&c.mu)
	var err error
	if transport == "udp" {
		if c.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err == nil {
			c.Addr = c.udp.LocalAddr().String()
			c.wg.Go(c.receive) // ends when the socket is closed
		}
	} else if c.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
		c.Addr = c.tcp.Addr().String()
		c.wg.Go(c.accept) // ends when the listener is closed
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

// SetTarget says where connections go from now on; needed again after the
// listening node was started anew on another port.
func (c *Cable) SetTarget(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = addr
}

// Bytes is how much has passed so far.
func (c *Cable) Bytes(d Direction) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed[d]
}

// Hold is a silent cut: nothing passes any more and nobody is told. Connections
// stay open, new ones are accepted; what is sent waits (TCP) or is lost (UDP).
func (c *Cable) Hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
	c.changed.Broadcast()
}

// HoldAfter holds the cable once n more bytes have passed in a direction, after
// exactly so many with TCP. The channel is closed then.
func (c *Cable) HoldAfter(d Direction, n int64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &holdPoint{at: c.passed[d] + n, reached: make(chan struct{})}
	c.holdAt[d] = h
	return h.reached
}

// Cut breaks all connections, and new ones as soon as they are made. What was on
// the way is lost.
func (c *Cable) Cut() {
	c.mu.Lock()
	c.cut = true
	c.changed.Broadcast()
	wires := c.wires
	c.wires = make(map[*wire]bool)
	c.mu.Unlock()
	for w := range wires {
		w.close(true)
	}
}

// Heal undoes Hold, HoldAfter and Cut.
func (c *Cable) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.cut, c.holdAt = false, false, [2]*holdPoint{}
	c.changed.Broadcast()
}

// Delay makes everything arrive so much later.
func (c *Cable) Delay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = d
}

// Throttle lets so many bytes per second pass in each direction; 0: all.
func (c *Cable) Throttle(rate int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rate = rate
}

func (c *Cable) end() {
	c.mu.Lock()
	c.ended = true
	c.changed.Broadcast()
	c.mu.Unlock()
	close(c.done)
	if c.tcp != nil {
		c.tcp.Close()
	} else {
		c.udp.Close()
	}
	c.Cut()
	c.wg.Wait()
}

func (c *Cable) accept() {
	for {
		conn, err := c.tcp.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.join(conn) }) // ends with the connection
	}
}

// join connects a new connection of the dialling node with the listener.
func (c *Cable) join(in net.Conn) {
	if !c.open() { // until then nothing is answered
		reset(in)
		return
	}
	c.mu.Lock()
	target := c.target
	c.mu.Unlock()
	out, err := net.DialTimeout("tcp", target, Patience)
	if err != nil {
		reset(in)
		return
	}
	w := newWire()
	w.ends = [2]net.Conn{in, out}
	if !c.enter(w) {
		return
	}
	for d := range w.ends {
		c.wg.Go(func() { c.read(w, Direction(d)) })  // ends with the wire
		c.wg.Go(func() { c.write(w, Direction(d)) }) // ends with the wire
	}
}

func newWire() *wire {
	return &wire{ways: [2]chan piece{make(chan piece, lossless), make(chan piece, lossless)}, gone: make(chan struct{})}
}

func (c *Cable) enter(w *wire) bool {
	c.mu.Lock()
	ok := !c.cut && !c.ended
	if ok {
		c.wires[w] = true
	}
	c.mu.Unlock()
	if !ok {
		w.close(true)
	}
	return ok
}

// open waits as long as the cable is held; false: it is cut.
func (c *Cable) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.held && !c.cut && !c.ended {
		c.changed.Wait()
	}
	return !c.cut && !c.ended
}

// read takes what one end sends.
func (c *Cable) read(w *wire, d Direction) {
	for {
		data := make([]byte, 16<<10)
		n, err := w.ends[d].Read(data)
		if n > 0 && !c.carry(w, d, data[:n]) {
			return
		}
		if err != nil {
			c.carry(w, d, nil)
			return
		}
	}
}

// carry puts data on their way, waiting for room; false: the wire is gone.
func (c *Cable) carry(w *wire, d Direction, data []byte) bool {
	c.mu.Lock()
	p := piece{data, time.Now().Add(c.delay)}
	c.mu.Unlock()
	select {
	case w.ways[d] <- p:
		return true
	case <-w.gone:
		return false
	}
}

// write delivers what was sent in a direction.
func (c *Cable) write(w *wire, d Direction) {
	to := w.ends[1-d]
	for {
		var p piece
		select {
		case p = <-w.ways[d]:
		case <-w.gone:
			return
		}
		c.sleep(time.Until(p.due))
		if len(p.data) == 0 { // the end is no news on a held cable either
			c.open()
			c.drop(w)
			return
		}
		for len(p.data) > 0 {
			n, rate := c.admit(d, len(p.data))
			if n == 0 {
				c.drop(w)
				return
			}
			if _, err := to.Write(p.data[:n]); err != nil {
				c.open()
				c.drop(w)
				return
			}
			c.count(d, n)
			if p.data = p.data[n:]; rate > 0 {
				c.sleep(time.Duration(n) * time.Second / time.Duration(rate))
			}
		}
	}
}

// admit waits until some of n bytes may pass, and says how many; 0: the cable is cut.
func (c *Cable) admit(d Direction, n int) (int, int) {
	if !c.open() {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.holdAt[d]; h != nil {
		n = min(n, max(1, int(h.at-c.passed[d])))
	}
	return n, c.rate
}

// count notes what has passed, and holds the cable where that was asked for.
func (c *Cable) count(d Direction, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed[d] += int64(n)
	if h := c.holdAt[d]; h != nil && c.passed[d] >= h.at {
		c.holdAt[d] = nil
		c.held = true
		close(h.reached)
	}
}

// sleep passes time, at most until the test ends.
func (c *Cable) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.done:
	}
}

func (c *Cable) drop(w *wire) {
	c.mu.Lock()
	delete(c.wires, w)
	c.mu.Unlock()
	w.close(false)
}

// close ends a wire; hard loses what is under way.
func (w *wire) close(hard bool) {
	w.once.Do(func() {
		close(w.gone)
		for _, e := range w.ends {
			switch {
			case e == nil:
			case hard:
				reset(e)
			default:
				e.Close()
			}
		}
	})
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// receive takes the datagrams of dialling nodes.
func (c *Cable) receive() {
	wires := make(map[string]*wire)
	for {
		data := make([]byte, 64<<10)
		n, from, err := c.udp.ReadFrom(data)
		if err != nil {
			return
		}
		w := wires[from.String()]
		if w == nil || w.isGone() {
			if w = c.dialUDP(from); w == nil {
				continue
			}
			wires[from.String()] = w
		}
		c.fling(w, FromDialer, data[:n])
	}
}

func (w *wire) isGone() bool {
	select {
	case <-w.gone:
		return true
	default:
		return false
	}
}

// dialUDP makes the way of a dialling node's datagrams; nil while the cable is cut.
func (c *Cable) dialUDP(from net.Addr) *wire {
	c.mu.Lock()
	target := c.target
	c.mu.Unlock()
	out, err := net.Dial("udp", target)
	if err != nil {
		return nil
	}
	w := newWire()
	w.from, w.ends[1] = from, out
	if !c.enter(w) {
		return nil
	}
	c.wg.Go(func() { // ends with the wire
		for {
			data := make([]byte, 64<<10)
			n, err := out.Read(data)
			if err != nil && w.isGone() {
				return
			}
			if err == nil {
				c.fling(w, FromListener, data[:n])
			}
		}
	})
	for _, d := range []Direction{FromDialer, FromListener} {
		c.wg.Go(func() { c.deliver(w, d) }) // ends with the wire
	}
	return w
}

// fling puts a datagram on its way; it is lost when the cable is held or full.
func (c *Cable) fling(w *wire, d Direction, data []byte) {
	c.mu.Lock()
	p := piece{data, time.Now().Add(c.delay)}
	lost := c.held || c.cut
	c.mu.Unlock()
	if lost {
		return
	}
	select {
	case w.ways[d] <- p:
	default:
	}
}

// deliver delivers datagrams.
func (c *Cable) deliver(w *wire, d Direction) {
	for {
		var p piece
		select {
		case p = <-w.ways[d]:
		case <-w.gone:
			return
		}
		c.sleep(time.Until(p.due))
		c.mu.Lock()
		lost, rate := c.held || c.cut, c.rate
		c.mu.Unlock()
		if lost {
			continue
		}
		if d == FromDialer {
			w.ends[1].Write(p.data)
		} else {
			c.udp.WriteTo(p.data, w.from)
		}
		c.count(d, len(p.data))
		if rate > 0 {
			c.sleep(time.Duration(len(p.data)) * time.Second / time.Duration(rate))
		}
	}
}

// WaitHeld waits for what HoldAfter returned.
func (c *Cable) WaitHeld(reached <-chan struct{}) {
	c.t.Helper()
	select {
	case <-reached:
	case <-time.After(Patience):
		c.t.Fatalf("the cable has passed only %d and %d bytes", c.Bytes(FromDialer), c.Bytes(FromListener))
	}
}

// ListenAddr is the address of the node's first listener of a transport (tcp,
// udp, ws), as its log at level debug says since it was last started; for
// listeners with port 0.
func (n *Node) ListenAddr(transport string) string {
	n.t.Helper()
	name := map[string]string{"tcp": "TCP ", "udp": "UDP ", "ws": "Websocket "}[transport]
	var addr string
	n.Eventually("say where it listens", func() bool {
		for line := range strings.Lines(n.logSince(n.logAt)) {
			_, after, ok := strings.Cut(line, "Listening on "+name)
			if ok {
				addr, _, _ = strings.Cut(strings.TrimSpace(after), " ")
				return true
			}
		}
		return false
	})
	return addr
}
