package link

import (
	"bytes"
	"errors"
	"testing"
)

func TestFrame(t *testing.T) {
	for _, n := range []int{0, 1, 2046, 2047, 18430, 18431, 65507, 65535, 65536, 70000} {
		f := NewFrame(n)
		if len(f.Bytes()) != n {
			t.Errorf("NewFrame(%d) has %d bytes", n, len(f.Bytes()))
		}
		if n > 0 {
			f.Truncate(n - 1)
			if len(f.Bytes()) != n-1 {
				t.Errorf("truncated to %d, not %d", len(f.Bytes()), n-1)
			}
		}
		f.Release()
	}
	f := FrameOf([]byte("abc"))
	if want := "\x03\x00abc"; string(f.buf) != want {
		t.Errorf("buffer %q, want %q", f.buf, want)
	}
	f.Truncate(2)
	if want := "\x02\x00ab"; string(f.buf) != want {
		t.Errorf("buffer %q, want %q", f.buf, want)
	}
	f.Release()
}

func TestFrameMisuse(t *testing.T) {
	for name, misuse := range map[string]func(f *Frame){
		"released twice":     func(f *Frame) { f.Release(); f.Release() },
		"made longer":        func(f *Frame) { f.Truncate(4) },
		"of negative length": func(f *Frame) { f.Truncate(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse(NewFrame(3))
		})
	}
}

func TestWriteCopied(t *testing.T) {
	var frames []*Frame
	var want []byte
	for i := range 100 {
		f := NewFrame(1 + i*661)
		for j := range f.Bytes() {
			f.Bytes()[j] = byte(i + j)
		}
		frames = append(frames, f)
		want = append(want, f.buf...)
	}
	var got bytes.Buffer
	if err := writeCopied(&got, frames); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the bytes differ")
	}
	if err := checkFrames(frames, 99*661); !errors.Is(err, ErrFrameSize) {
		t.Errorf("a frame of %d bytes: %v", 1+99*661, err)
	}
}
