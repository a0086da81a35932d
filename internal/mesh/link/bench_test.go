package link

import (
	"fmt"
	"testing"
)

// joined opens a link through a listener, both ends.
func joined(tb testing.TB, ln Listener, d Dialer) (dialed, accepted Link) {
	tb.Helper()
	tb.Cleanup(func() { ln.Close() })
	type result struct {
		l   Link
		err error
	}
	got := make(chan result, 1)
	go func() {
		l, err := ln.Accept()
		got <- result{l, err}
	}()
	dialed, err := d.Dial(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { dialed.Close() })
	if dialed.Lossy() {
		hello := NewFrame(1)
		if err := dialed.WriteFrames([]*Frame{hello}); err != nil {
			tb.Fatal(err)
		}
	}
	r := <-got
	if r.err != nil {
		tb.Fatal(r.err)
	}
	tb.Cleanup(func() { r.l.Close() })
	return dialed, r.l
}

// benchLink sends frames one way; the time is that per frame, received.
func benchLink(b *testing.B, from, to Link) {
	for _, size := range []int{100, 1500, 16384} {
		for _, batch := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("size=%d/batch=%d", size, batch), func(b *testing.B) {
				send(b, from, to, size, batch)
			})
		}
	}
}

func send(b *testing.B, from, to Link, size, batch int) {
	frames := make([]*Frame, batch)
	for i := range frames {
		frames[i] = NewFrame(size)
		clear(frames[i].Bytes())
	}
	defer func() {
		for _, f := range frames {
			f.Release()
		}
	}()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	total := (b.N + batch - 1) / batch * batch
	done := make(chan error, 1)
	b.ResetTimer()
	go func() {
		for range total {
			f, err := to.ReadFrame()
			if err != nil {
				done <- err
				return
			}
			f.Release()
		}
		done <- nil
	}()
	for range total / batch {
		if err := from.WriteFrames(frames); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPipe(b *testing.B) {
	x, y := Pipe(PipeOptions{})
	benchLink(b, x, y)
	x.Close()
	y.Close()
}

func BenchmarkTCP(b *testing.B) {
	ln, err := ListenTCP("127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	x, y := joined(b, ln, DialTCP(ln.Addr(), nil))
	benchLink(b, x, y)
}

func BenchmarkUDP(b *testing.B) {
	for _, batch := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("size=1500/batch=%d", batch), func(b *testing.B) {
			ln, err := ListenUDP("127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			d, err := DialUDP(ln.Addr())
			if err != nil {
				b.Fatal(err)
			}
			x, y := joined(b, ln, d)
			sendLossy(b, x, y, 1500, batch)
		})
	}
}

// sendLossy counts what arrives: it is throughput that is of interest.
func sendLossy(b *testing.B, from, to Link, size, batch int) {
	frames := make([]*Frame, batch)
	for i := range frames {
		frames[i] = NewFrame(size)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if err := from.WriteFrames(frames); err != nil {
				return
			}
			if isClosed(stop) {
				return
			}
		}
	}()
	for b.Loop() {
		f, err := to.ReadFrame()
		if err != nil {
			b.Fatal(err)
		}
		f.Release()
	}
	close(stop)
	<-done
}

func BenchmarkTLS(b *testing.B) {
	server, client := testKeys(b)
	ln, err := ListenTCP("127.0.0.1:0", server)
	if err != nil {
		b.Fatal(err)
	}
	x, y := joined(b, handshaken{ln}, DialTCP(ln.Addr(), client))
	benchLink(b, x, y)
}

// handshaken makes the handshake of what it accepts, which the dialer waits for.
type handshaken struct{ Listener }

func (l handshaken) Accept() (Link, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, Handshake(c)
}

func BenchmarkWebSocket(b *testing.B) {
	ln, err := ListenWebSocket("127.0.0.1:0", "/", nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	d, err := DialWebSocket("ws://"+ln.Addr(), WebSocketOptions{})
	if err != nil {
		b.Fatal(err)
	}
	x, y := joined(b, ln, d)
	b.Run("dialer to listener", func(b *testing.B) { benchLink(b, x, y) })
	b.Run("listener to dialer", func(b *testing.B) { benchLink(b, y, x) })
}
