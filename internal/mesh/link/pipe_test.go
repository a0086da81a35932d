package link

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// numbers writes frames numbered from 0 and returns the numbers that arrive
// before the end, with the times since start.
func numbers(t *testing.T, n int, o PipeOptions) (got []int, at []time.Duration) {
	t.Helper()
	x, y := Pipe(o)
	defer y.Close()
	start := time.Now()
	go func() {
		defer x.Close()
		for i := range n {
			f := NewFrame(4)
			binary.BigEndian.PutUint32(f.Bytes(), uint32(i))
			if err := x.WriteFrames([]*Frame{f}); err != nil {
				t.Error(err)
			}
			f.Release()
		}
	}()
	for {
		f, err := y.ReadFrame()
		if err == io.EOF {
			return got, at
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, int(binary.BigEndian.Uint32(f.Bytes())))
		at = append(at, time.Since(start))
		f.Release()
	}
}

func TestPipeDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, at := numbers(t, 200, PipeOptions{Delay: 5 * time.Millisecond})
		if len(got) != 200 || !slices.IsSorted(got) {
			t.Errorf("%d frames arrived: %v", len(got), got)
		}
		for _, d := range at {
			if d != 5*time.Millisecond {
				t.Fatalf("a frame arrived after %v", d)
			}
		}
	})
}

// TestPipeFaults: loss, repetition and order are as asked for, and the same
// for the same seed.
func TestPipeFaults(t *testing.T) {
	const n = 4000
	count := func(got []int) (missing, twice, late int) {
		seen := make([]int, n)
		for i, k := range got {
			seen[k]++
			if i > 0 && k < got[i-1] {
				late++
			}
		}
		for _, c := range seen {
			switch c {
			case 0:
				missing++
			case 2:
				twice++
			}
		}
		return missing, twice, late
	}
	near := func(x int, want float64) bool { return float64(x) > want*0.7*n && float64(x) < want*1.3*n }
	synctest.Test(t, func(t *testing.T) {
		o := PipeOptions{Delay: time.Millisecond, Queue: 2 * n, Seed: 1}
		lossy := o
		lossy.Loss = 0.1
		got, _ := numbers(t, n, lossy)
		if missing, twice, late := count(got); !near(missing, 0.1) || twice != 0 || late != 0 {
			t.Errorf("loss: %d missing, %d twice, %d late", missing, twice, late)
		}
		again, _ := numbers(t, n, lossy)
		if !slices.Equal(got, again) {
			t.Error("the same seed gave another result")
		}
		lossy.Seed = 2
		if other, _ := numbers(t, n, lossy); slices.Equal(got, other) {
			t.Error("another seed gave the same result")
		}
		repeating := o
		repeating.Repeat = 0.1
		got, _ = numbers(t, n, repeating)
		if missing, twice, _ := count(got); missing != 0 || !near(twice, 0.1) {
			t.Errorf("repeat: %d missing, %d twice", missing, twice)
		}
		reordering := o
		reordering.Reorder = 0.1
		got, at := numbers(t, n, reordering)
		if missing, twice, late := count(got); missing != 0 || twice != 0 || late < n/50 {
			t.Errorf("reorder: %d missing, %d twice, %d late", missing, twice, late)
		}
		if last := at[len(at)-1]; last < 2*time.Millisecond || last > 3*time.Millisecond {
			t.Errorf("the last one took %v", last)
		}
	})
}

func TestPipeCable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cable Cable
		ln, d := ListenPipe(PipeOptions{Delay: time.Millisecond, Cable: &cable})
		defer ln.Close()
		accepted := make(chan Link, 1)
		go func() {
			l, _ := ln.Accept()
			accepted <- l
		}()
		x, err := d.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		y := <-accepted
		defer y.Close()

		write := func(s string) {
			if err := x.WriteFrames([]*Frame{FrameOf([]byte(s))}); err != nil {
				t.Fatal(err)
			}
		}
		write("under way")
		cable.Cut()
		write("lost")
		if _, err := d.Dial(t.Context()); err == nil {
			t.Error("a dial over a cut cable succeeded")
		}
		time.Sleep(time.Second)
		cable.Heal()
		write("after")
		wantFrame(t, y, "under way")
		wantFrame(t, y, "after")
		if n := y.(*pipeLink).Dropped(); n != 1 {
			t.Errorf("%d frames were dropped", n)
		}
	})
}

// TestPipeCloseDelivers: what is under way when an end closes arrives, in its time.
func TestPipeCloseDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := Pipe(PipeOptions{Delay: time.Second})
		start := time.Now()
		if err := x.WriteFrames([]*Frame{FrameOf([]byte("bye"))}); err != nil {
			t.Fatal(err)
		}
		x.Close()
		wantFrame(t, y, "bye")
		if d := time.Since(start); d != time.Second {
			t.Errorf("it took %v", d)
		}
		if _, err := y.ReadFrame(); err != io.EOF {
			t.Errorf("then: %v", err)
		}
		if err := y.WriteFrames([]*Frame{FrameOf([]byte("?"))}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write: %v", err)
		}
		y.Close()
	})
}

func TestPipeDial(t *testing.T) {
	ln, d := ListenPipe(PipeOptions{Name: "wire"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody accepts: %v", err)
	}
	ln.Close()
	if _, err := d.Dial(t.Context()); err == nil || err.Error() != "dial pipe wire: connection refused" {
		t.Errorf("closed: %v", err)
	}
}
