// Package linktest checks that an implementation of link.Link keeps its
// promises. Every transport runs the same suite.
package linktest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// Open returns a listener and the dialer that reaches it.
type Open func(t *testing.T) (link.Listener, link.Dialer)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, ln link.Listener, d link.Dialer)
	}{
		{"sizes", testSizes},
		{"order", testOrder},
		{"volume", testVolume},
		{"close unblocks a read", testCloseRead},
		{"close unblocks a write", testCloseWrite},
		{"close unblocks an accept", testCloseAccept},
		{"use after close", testUseAfterClose},
		{"remote close", testRemoteClose},
		{"frame sizes refused", testFrameSize},
		{"names", testNames},
		{"links are apart", testApart},
	} {
		t.Run(test.name, func(t *testing.T) {
			ln, d := open(t)
			t.Cleanup(func() { ln.Close() })
			test.run(t, ln, d)
		})
	}
}

// Connect opens a link and returns both ends, which the test's end closes. On
// a lossy link one frame is sent first, since that is what opens a UDP session.
func Connect(t testing.TB, ln link.Listener, d link.Dialer) (dialed, accepted link.Link) {
	t.Helper()
	type result struct {
		l   link.Link
		err error
	}
	got := make(chan result, 1)
	go func() {
		l, err := ln.Accept()
		got <- result{l, err}
	}()
	dialed, err := d.Dial(t.Context())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { dialed.Close() })
	if dialed.Lossy() {
		write(t, dialed, []byte("hello"))
	}
	select {
	case r := <-got:
		if r.err != nil {
			t.Fatalf("accept: %v", r.err)
		}
		accepted = r.l
	case <-time.After(patience):
		t.Fatal("the link was not accepted")
	}
	t.Cleanup(func() { accepted.Close() })
	if dialed.Lossy() {
		if got := read(t, accepted); string(got) != "hello" {
			t.Fatalf("first frame is %q", got)
		}
	}
	return dialed, accepted
}

// pattern is a frame that differs from others in each of its bytes.
func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*31 + i>>8 + seed)
	}
	return b
}

func write(t testing.TB, l link.Link, frames ...[]byte) {
	t.Helper()
	if err := tryWrite(l, frames...); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func tryWrite(l link.Link, frames ...[]byte) error {
	fs := make([]*link.Frame, len(frames))
	for i, b := range frames {
		fs[i] = link.FrameOf(b)
	}
	err := l.WriteFrames(fs)
	for i, f := range fs {
		if !bytes.Equal(f.Bytes(), frames[i]) {
			return errors.New("WriteFrames changed a frame")
		}
		f.Release()
	}
	return err
}

// read returns the next frame, or fails the test when none comes.
func read(t testing.TB, l link.Link) []byte {
	t.Helper()
	type result struct {
		b   []byte
		err error
	}
	got := make(chan result, 1)
	go func() {
		f, err := l.ReadFrame()
		if err != nil {
			got <- result{err: err}
			return
		}
		got <- result{b: bytes.Clone(f.Bytes())}
		f.Release()
	}()
	select {
	case r := <-got:
		if r.err != nil {
			t.Fatalf("read: %v", r.err)
		}
		return r.b
	case <-time.After(patience):
		l.Close()
		t.Fatal("no frame came")
	}
	return nil
}

// within fails the test if f does not return in time.
func within(t *testing.T, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("%s did not return", what)
		return nil
	}
}
