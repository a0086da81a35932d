package linktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// testSizes sends a frame of each interesting size both ways, alone and in
// one call with others.
func testSizes(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	sizes := []int{1, 2, 36, 255, 256, 1500, 2046, 2047, 4094, 4095, 16384, 65000, x.MaxFrame() - 1, x.MaxFrame()}
	for _, way := range []struct{ from, to link.Link }{{x, y}, {y, x}} {
		var all [][]byte
		for i, n := range sizes {
			b := pattern(n, i)
			write(t, way.from, b)
			if got := read(t, way.to); !bytes.Equal(got, b) {
				t.Fatalf("%d bytes arrived as %d, or changed", n, len(got))
			}
			all = append(all, b)
		}
		if way.from.Lossy() {
			continue // together they may exceed a socket buffer
		}
		done := make(chan error, 1)
		go func() { done <- tryWrite(way.from, all...) }()
		for _, b := range all {
			if got := read(t, way.to); !bytes.Equal(got, b) {
				t.Fatalf("%d bytes in a batch arrived as %d, or changed", len(b), len(got))
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// testOrder sends numbered frames in batches of various sizes.
func testOrder(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	if x.Lossy() {
		t.Skip("a lossy link has no order")
	}
	const total = 5000
	done := make(chan error, 1)
	go func() {
		batch := [][]byte{}
		for i := range total {
			b := pattern(4+i*7%900, i)
			binary.BigEndian.PutUint32(b, uint32(i))
			if batch = append(batch, b); len(batch) > i%300 {
				if err := tryWrite(x, batch...); err != nil {
					done <- err
					return
				}
				batch = batch[:0]
			}
		}
		var err error
		if len(batch) > 0 {
			err = tryWrite(x, batch...)
		}
		done <- err
	}()
	for i := range total {
		f, err := y.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint32(f.Bytes()); got != uint32(i) {
			t.Fatalf("frame %d arrived as number %d", got, i)
		}
		f.Release()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// testVolume fills both directions at once. Where nothing may be lost, all
// must arrive; elsewhere what arrives must be whole.
func testVolume(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	const batches, perBatch, size = 60, 64, 1500
	sent := pattern(size, 7)
	send := func(l link.Link) error {
		frames := make([]*link.Frame, perBatch)
		for i := range frames {
			frames[i] = link.FrameOf(sent)
		}
		for range batches {
			if err := l.WriteFrames(frames); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		for _, f := range frames {
			f.Release()
		}
		return nil
	}
	first := make(chan struct{}, 2) // a reader has read a frame
	receive := func(l link.Link) error {
		for n := 0; n < batches*perBatch; n++ {
			f, err := l.ReadFrame()
			if err != nil && l.Lossy() && n > 0 {
				return nil // it was closed below
			}
			if err != nil {
				return fmt.Errorf("read of frame %d: %w", n, err)
			}
			if !bytes.Equal(f.Bytes(), sent) {
				return fmt.Errorf("frame %d arrived changed", n)
			}
			f.Release()
			if n == 0 {
				first <- struct{}{}
			}
		}
		return nil
	}
	senders, readers := make(chan error, 2), make(chan error, 2)
	for _, l := range []link.Link{x, y} {
		go func() { senders <- send(l) }()
		go func() { readers <- receive(l) }()
	}
	for range 2 {
		if err := within(t, "writing", func() error { return <-senders }); err != nil {
			t.Fatal(err)
		}
	}
	if x.Lossy() {
		for range 2 {
			if err := within(t, "reading of a first frame", func() error { <-first; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		x.Close() // ends the readers, who cannot know what was lost
		y.Close()
	}
	for range 2 {
		if err := within(t, "reading", func() error { return <-readers }); err != nil {
			t.Fatal(err)
		}
	}
}

// testFrameSize: frames that cannot be sent are refused, with the whole call,
// and the link goes on (spec mesh-protocol 3.1, weakness of framer.go).
func testFrameSize(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	good := []byte("good")
	for _, bad := range [][]byte{{}, pattern(x.MaxFrame()+1, 0), pattern(x.MaxFrame()+9, 0), pattern(2*65536+1, 0)} {
		for _, call := range [][][]byte{{bad}, {good, bad}, {bad, good}} {
			if err := tryWrite(x, call...); !errors.Is(err, link.ErrFrameSize) {
				t.Errorf("a frame of %d bytes: error %v", len(bad), err)
			}
		}
	}
	write(t, x, []byte("next"))
	if got := read(t, y); string(got) != "next" {
		t.Errorf("read %q: something of a refused call was sent", got)
	}
	if err := x.WriteFrames(nil); err != nil {
		t.Errorf("no frames: %v", err)
	}
}

func testNames(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	for what, s := range map[string]string{
		"listener": ln.Addr(), "dialer": d.String(), "dialed": x.RemoteAddr(), "accepted": y.RemoteAddr(),
	} {
		if s == "" {
			t.Errorf("%s has no name", what)
		}
	}
	if x.MaxFrame() != y.MaxFrame() || x.Lossy() != y.Lossy() {
		t.Error("the ends differ")
	}
}

// testApart: several links of one listener do not mix, and one that nobody
// reads stalls no other (weakness of udp.go).
func testApart(t *testing.T, ln link.Listener, d link.Dialer) {
	stuck, _ := Connect(t, ln, d)
	a, b := Connect(t, ln, d)
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for range 2000 {
			if tryWrite(stuck, pattern(1500, 1)) != nil {
				return
			}
		}
	}()
	for i := range 20 {
		want := fmt.Sprintf("frame %d", i)
		write(t, a, []byte(want))
		if got := read(t, b); string(got) != want {
			t.Fatalf("read %q, want %q", got, want)
		}
	}
	stuck.Close()
	<-writing
}
