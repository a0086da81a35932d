package linktest

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// testCloseRead closes each end while it waits for a frame.
func testCloseRead(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	for _, l := range []link.Link{x, y} {
		// No frame was sent, so the read waits, or will, and cannot succeed.
		got := make(chan error, 1)
		started := make(chan struct{})
		go func() {
			close(started)
			f, err := l.ReadFrame()
			if err == nil {
				f.Release()
			}
			got <- err
		}()
		<-started
		runtime.Gosched()
		if l == x {
			if err := l.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if err := within(t, "ReadFrame", func() error { return <-got }); !errors.Is(err, link.ErrClosed) {
				t.Errorf("read of a closed link: %v", err)
			}
			continue
		}
		l.Close()
		if err := within(t, "ReadFrame", func() error { return <-got }); err == nil {
			t.Error("a frame came out of a closed link")
		}
	}
}

// testCloseWrite closes an end whose peer does not read while it writes.
func testCloseWrite(t *testing.T, ln link.Listener, d link.Dialer) {
	x, _ := Connect(t, ln, d)
	const enough = 4096 // frames of the largest size: more than any buffer on the way
	big := link.FrameOf(pattern(x.MaxFrame(), 0))
	defer big.Release()
	progress := make(chan struct{}, enough)
	got := make(chan error, 1)
	go func() {
		for range enough {
			if err := x.WriteFrames([]*link.Frame{big}); err != nil {
				got <- err
				return
			}
			progress <- struct{}{}
		}
		got <- nil
	}()
	<-progress
	waitQuiet(progress)
	within(t, "Close", x.Close)
	err := within(t, "WriteFrames", func() error { return <-got })
	if err == nil && x.Lossy() {
		return // it never blocks
	}
	if !errors.Is(err, link.ErrClosed) {
		t.Errorf("blocked write of a closed link: %v", err)
	}
}

func testCloseAccept(t *testing.T, ln link.Listener, d link.Dialer) {
	Connect(t, ln, d)
	got := make(chan error, 1)
	go func() {
		_, err := ln.Accept()
		got <- err
	}()
	for range 2 {
		if err := within(t, "Close", ln.Close); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := within(t, "Accept", func() error { return <-got }); !errors.Is(err, link.ErrClosed) {
		t.Errorf("accept of a closed listener: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, link.ErrClosed) {
		t.Errorf("accept after that: %v", err)
	}
}

func testUseAfterClose(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	for _, l := range []link.Link{x, y} {
		for range 3 {
			if err := l.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		for range 2 {
			if _, err := l.ReadFrame(); !errors.Is(err, link.ErrClosed) {
				t.Errorf("read: %v", err)
			}
			if err := tryWrite(l, []byte("x")); !errors.Is(err, link.ErrClosed) {
				t.Errorf("write: %v", err)
			}
		}
	}
}

// testRemoteClose: what was written before a close arrives, then comes an
// error, which is not ErrClosed. Writing fails, sooner or later.
func testRemoteClose(t *testing.T, ln link.Listener, d link.Dialer) {
	x, y := Connect(t, ln, d)
	if x.Lossy() {
		t.Skip("closing is not announced")
	}
	write(t, x, []byte("last words"))
	x.Close()
	if got := read(t, y); string(got) != "last words" {
		t.Errorf("read %q", got)
	}
	err := within(t, "ReadFrame", func() error {
		_, err := y.ReadFrame()
		return err
	})
	if err == nil || errors.Is(err, link.ErrClosed) {
		t.Errorf("read after the peer has closed: %v", err)
	}
	err = within(t, "WriteFrames", func() error {
		for {
			if err := tryWrite(y, pattern(1500, 0)); err != nil {
				return err
			}
		}
	})
	if errors.Is(err, link.ErrClosed) {
		t.Errorf("write after the peer has closed: %v", err)
	}
}

// waitQuiet waits until nothing has come for a while: the sender is blocked,
// or has finished.
func waitQuiet(progress <-chan struct{}) {
	const quiet = 200 * time.Millisecond
	t := time.NewTimer(quiet)
	defer t.Stop()
	for {
		select {
		case <-progress:
			t.Reset(quiet)
		case <-t.C:
			return
		}
	}
}
