package lend

import (
	"runtime"
	"testing"
	"time"
)

const large, small = 1 << 16, 1 << 13

// TestBuffers: who stalls with a buffer does not take all.
func TestBuffers(t *testing.T) {
	b := New(large, small, 2)
	first, second, third := b.Get(), b.Large(), b.Get()
	if len(first.Bytes) != large || len(second.Bytes) != large || len(third.Bytes) != small {
		t.Errorf("buffers of %d, %d and %d bytes", len(first.Bytes), len(second.Bytes), len(third.Bytes))
	}
	if p := b.Large(); p != nil {
		t.Error("a third large one")
	}
	b.Put(third)
	if p := b.Get(); len(p.Bytes) != small {
		t.Errorf("%d bytes after a small one was given back", len(p.Bytes))
	}
	b.Put(first)
	if again := b.Large(); again == nil || len(again.Bytes) != large {
		t.Error("none after one was given back")
	}
	runtime.KeepAlive(second)
}

// TestForgotten: a buffer that was never given back does not count for ever, and one
// that was does not count twice.
func TestForgotten(t *testing.T) {
	b := New(large, small, 2)
	b.Put(b.Large())
	b.Large()
	b.Large()
	for deadline := time.Now().Add(time.Minute); b.lent.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are lent", b.lent.Load())
		}
		runtime.GC()
	}
	for range 5 {
		runtime.GC() // what was in the pool goes, too
	}
	if n := b.lent.Load(); n != 0 {
		t.Errorf("%d are lent", n)
	}
}
