package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// split is the oracle: the frames in b, and what is left.
func split(b []byte) (frames [][]byte, rest []byte) {
	for len(b) >= 2 {
		n := int(binary.LittleEndian.Uint16(b))
		if len(b) < 2+n {
			break
		}
		frames = append(frames, b[2:2+n])
		b = b[2+n:]
	}
	return frames, b
}

func checkDeframer(t *testing.T, src io.Reader, stream []byte) {
	t.Helper()
	var d deframer
	d.src = src
	want, rest := split(stream)
	for i, w := range want {
		f, err := d.next()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if !bytes.Equal(f.Bytes(), w) {
			t.Fatalf("frame %d: %d bytes, want %d, or different ones", i, len(f.Bytes()), len(w))
		}
		f.Release()
	}
	end := io.EOF
	if len(rest) > 0 {
		end = io.ErrUnexpectedEOF
	}
	for range 2 {
		if _, err := d.next(); err != end {
			t.Fatalf("at the end: %v, want %v", err, end)
		}
	}
	if d.big != nil {
		t.Error("the buffer was kept")
	}
}

func TestDeframer(t *testing.T) {
	var long []byte
	for i := range 20 {
		n := []int{0, 1, 2, 36, 1500, 4093, 4094, 4095, 16384, 65535}[i%10]
		long = binary.LittleEndian.AppendUint16(long, uint16(n))
		long = append(long, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	for name, stream := range map[string][]byte{
		"nothing":        {},
		"empty frame":    {0, 0},
		"reject":         {3, 0, 3, '[', ']'},
		"half a prefix":  {3},
		"half a frame":   {3, 0, 3, '['},
		"prefix alone":   {0xff, 0xff},
		"many and large": long,
		"cut":            long[:len(long)-1],
	} {
		t.Run(name, func(t *testing.T) {
			checkDeframer(t, bytes.NewReader(stream), stream)
			checkDeframer(t, iotest.HalfReader(bytes.NewReader(stream)), stream)
			checkDeframer(t, iotest.DataErrReader(bytes.NewReader(stream)), stream)
			if len(stream) > 100000 {
				stream = stream[:100000]
			}
			checkDeframer(t, iotest.OneByteReader(bytes.NewReader(stream)), stream)
		})
	}
}

// segments returns at most the given number of bytes per read, in turn.
type segments struct {
	b, sizes []byte
	i        int
}

func (s *segments) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if len(s.sizes) > 0 {
		n = min(n, 1+int(s.sizes[s.i%len(s.sizes)])*17)
		s.i++
	}
	n = copy(p[:n], s.b)
	s.b = s.b[n:]
	return n, nil
}

// FuzzDeframer: any bytes in any segmentation are split as the oracle splits them.
func FuzzDeframer(f *testing.F) {
	f.Add([]byte{3, 0, 3, '[', ']'}, []byte{0})
	f.Add([]byte{0, 0, 0, 0, 1, 0, 9}, []byte{1, 0})
	f.Add([]byte{0xff, 0xff, 1}, []byte{255})
	f.Add(append([]byte{0, 0x20}, make([]byte, 9000)...), []byte{200, 3})
	f.Add(bytes.Repeat([]byte{5, 0, 1, 2, 3, 4, 5}, 2000), []byte{255, 255, 255})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		checkDeframer(t, &segments{b: stream, sizes: sizes}, stream)
	})
}

// feeder gives what it is told to, and fails the test if asked for more.
type feeder struct {
	t    *testing.T
	next []byte
}

func (f *feeder) Read(p []byte) (int, error) {
	if len(f.next) == 0 {
		f.t.Fatal("read of nothing")
	}
	n := copy(p, f.next)
	f.next = f.next[n:]
	return n, nil
}

// TestReadBufferSize: an idle link has a small buffer, also after a busy time.
func TestReadBufferSize(t *testing.T) {
	in := &feeder{t: t}
	var d deframer
	d.src = in
	feed := func(frames, size int) {
		for range frames {
			in.next = binary.LittleEndian.AppendUint16(in.next, uint16(size))
			in.next = append(in.next, make([]byte, size)...)
		}
		for range frames {
			f, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			f.Release()
		}
	}
	for range 100 {
		feed(1, 200)
	}
	if len(d.buf) != smallRead || d.big != nil {
		t.Fatalf("the buffer has %d bytes after little traffic", len(d.buf))
	}
	for range 4 {
		feed(200, 1500)
	}
	if len(d.buf) != bigBuffer {
		t.Fatalf("the buffer has %d bytes after much traffic", len(d.buf))
	}
	for range 2 * quietReads {
		feed(1, 200)
	}
	if len(d.buf) != smallRead || d.big != nil {
		t.Fatalf("the buffer has %d bytes when it is quiet again", len(d.buf))
	}
	feed(1, 65535)
	feed(1, 1)
}

// TestReadBufferWithoutBig: while others hold all big buffers, frames are read into one
// that grows with what has come, not with what the peer says will come.
func TestReadBufferWithoutBig(t *testing.T) {
	for p := bigBuffers.Large(); p != nil; p = bigBuffers.Large() {
		defer bigBuffers.Put(p)
	}
	in := &feeder{t: t}
	var d deframer
	d.src = in
	feed := func(sizes ...int) {
		for i, size := range sizes {
			in.next = binary.LittleEndian.AppendUint16(in.next, uint16(size))
			in.next = append(in.next, bytes.Repeat([]byte{byte(i)}, size)...)
		}
		for i, size := range sizes {
			f, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.Bytes(), bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("frame %d is not what was sent", i)
			}
			f.Release()
		}
	}
	feed(65535, 1, 20000, 65535, 65535, 4096, 0, 65535)
	if len(d.buf) != mediumRead || d.big != nil {
		t.Errorf("the buffer has %d bytes", len(d.buf))
	}
	for range 2 * quietReads {
		feed(200)
	}
	if len(d.buf) != smallRead {
		t.Errorf("the buffer has %d bytes when it is quiet again", len(d.buf))
	}
	const came = 6000
	half := io.MultiReader(bytes.NewReader([]byte{0xff, 0xff}), io.LimitReader(zeros{}, came))
	d = deframer{readBuffer{src: io.MultiReader(half, checkSize(func() {
		if len(d.buf) > 2*came {
			t.Errorf("the buffer has %d bytes when %d have come", len(d.buf), came)
		}
	}))}}
	if _, err := d.next(); err != io.ErrUnexpectedEOF {
		t.Errorf("half a frame: %v", err)
	}
}

// checkSize is called when everything before it has been read.
type checkSize func()

func (c checkSize) Read([]byte) (int, error) { c(); return 0, io.EOF }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestReadBufferBrokenReader(t *testing.T) {
	var d deframer
	d.src = readerFunc(func([]byte) (int, error) { return 0, nil })
	if _, err := d.next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
