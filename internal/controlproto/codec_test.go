package controlproto

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestReadLine(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"a\nb\n", []string{"a", "b"}},
		{"a\r\nb", []string{"a", "b"}},
		{"\n\r\n\r\r\n", []string{"", "", ""}},
		{"Pi\rng x\n", []string{"Ping x"}},
		{"\r", []string{""}},
		{"{\"a\":\"µ\"}\n\xff\x00\n", []string{"{\"a\":\"µ\"}", "\xff\x00"}},
		{strings.Repeat("a", 5000) + "\n" + strings.Repeat("b", 100_000) + "\r\n", []string{strings.Repeat("a", 5000), strings.Repeat("b", 100_000)}},
	}
	for _, tt := range tests {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "end with data": iotest.DataErrReader,
		} {
			r := NewReader(wrap(strings.NewReader(tt.in)))
			for i := 0; ; i++ {
				line, err := r.ReadLine()
				if err == io.EOF && i == len(tt.want) {
					break
				}
				if err != nil || i >= len(tt.want) || string(line) != tt.want[i] {
					t.Errorf("%s, %.40q: line %d: %.40q, %v", name, tt.in, i, line, err)
					break
				}
			}
		}
	}
}

// letters is an endless row of one letter that knows how much of it was read.
type letters struct{ n int }

func (l *letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	l.n += len(p)
	return len(p), nil
}

func TestLineLimit(t *testing.T) {
	full := strings.Repeat("x", MaxLine)
	for name, tt := range map[string]struct {
		in   string
		want error
	}{
		"just fits":                   {full + "\nnext\n", nil},
		"just fits, no LF":            {full, nil},
		"one byte over":               {full + "x\n", ErrLineTooLong},
		"one byte over, no LF":        {full + "x", ErrLineTooLong},
		"CRs count until they are in": {full + "\r\n", ErrLineTooLong},
	} {
		line, err := NewReader(strings.NewReader(tt.in)).ReadLine()
		if err != tt.want || err == nil && len(line) != MaxLine {
			t.Errorf("%s: %d bytes, %v", name, len(line), err)
		}
	}
	endless := &letters{}
	if _, err := NewReader(endless).ReadLine(); err != ErrLineTooLong || endless.n > MaxLine+1<<16 {
		t.Errorf("an endless line: %v after %d bytes", err, endless.n)
	}
}

func TestReadLineError(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)))
	if line, err := r.ReadLine(); err != nil || string(line) != "a" {
		t.Errorf("%q, %v", line, err)
	}
	if line, err := r.ReadLine(); err != broken {
		t.Errorf("%q, %v, want %v: half a line is none if the connection broke", line, err, broken)
	}
}

// What is behind a line is not lost to the buffer.
func TestReaderHandsOn(t *testing.T) {
	for _, read := range []func(*Reader) ([]byte, error){
		func(r *Reader) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{r}) },
		func(r *Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := r.WriteTo(&b)
			return b.Bytes(), err
		},
	} {
		rest := "raw\r\n\x00" + strings.Repeat("y", 10_000)
		r := NewReader(strings.NewReader("line\n" + rest))
		if _, err := r.ReadLine(); err != nil || r.Buffered() == 0 {
			t.Errorf("%v, %d bytes buffered", err, r.Buffered())
		}
		if got, err := read(r); err != nil || string(got) != rest {
			t.Errorf("%.40q, %v", got, err)
		}
	}
}

// counted counts the calls of Write.
type counted struct {
	bytes.Buffer
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(p)
}

func TestWriter(t *testing.T) {
	var out counted
	w := NewWriter(&out)
	check := func(err error, writes int, want string) {
		t.Helper()
		if err != nil || out.writes != writes || out.String() != want {
			t.Errorf("%v, %d writes, %.60q, want %d and %.60q", err, out.writes, out.String(), writes, want)
		}
		out.Reset()
		out.writes = 0
	}
	check(w.Line("Connecting"), 1, "Connecting\n")
	check(w.JSON(map[string]any{"b": 1, "a": "<µ>"}), 1, `{"a":"\u003cµ\u003e","b":1}`+"\n")
	check(w.Bytes(7, []byte("raw\n")), 1, `{"id":7,"bytes":4}`+"\nraw\n")
	check(w.Bytes(7, nil), 0, "")
	big := strings.Repeat("z", MaxChunk+3)
	check(w.Bytes(1, []byte(big)), 3, `{"id":1,"bytes":1048576}`+"\n"+big[:MaxChunk]+`{"id":1,"bytes":3}`+"\nzzz")
	if err := w.JSON(make(chan int)); err == nil || out.Len() > 0 {
		t.Errorf("what cannot be encoded: %v, %q", err, out.String())
	}
}

// Several requests of a session write at the same time: no line or chunk is
// broken by another.
func TestWriterConcurrent(t *testing.T) {
	out := &lockedBuffer{}
	w := NewWriter(out)
	var wg sync.WaitGroup
	for id := range uint64(8) {
		wg.Go(func() {
			chunk := bytes.Repeat([]byte{'a' + byte(id)}, 3000)
			for range 20 {
				w.Bytes(id+1, chunk)
				w.JSON(Frame{ID: id + 1, EOF: true})
			}
		})
	}
	wg.Wait()
	r := NewReader(&out.Buffer)
	for frames := 0; ; frames++ {
		line, err := r.ReadLine()
		if err == io.EOF && frames == 8*20*2 {
			return
		}
		if err != nil {
			t.Fatalf("frame %d: %v", frames, err)
		}
		f, err := parseFrame(line)
		if err != nil {
			t.Fatalf("frame %d: %q: %v", frames, line, err)
		}
		chunk := make([]byte, f.Bytes)
		if _, err := io.ReadFull(r, chunk); err != nil || bytes.Count(chunk, []byte{'a' + byte(f.ID-1)}) != len(chunk) {
			t.Fatalf("frame %d: bytes of another request", frames)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "\r\n\r", "Pi\rng\n\n", "{\"id\":1,\"bytes\":3}\nabc\n"} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, lines int) {
		// As many lines as asked for, then the rest raw: nothing lost, nothing made up.
		r := NewReader(iotest.HalfReader(bytes.NewReader(in)))
		rest := in
		for range min(max(lines, 0), 100) {
			line, err := r.ReadLine()
			if len(rest) == 0 {
				if err != io.EOF {
					t.Fatalf("%q, %v at the end", line, err)
				}
				return
			}
			want, after, _ := bytes.Cut(rest, []byte("\n"))
			rest = after
			if want = bytes.ReplaceAll(want, []byte("\r"), nil); err != nil || !bytes.Equal(line, want) {
				t.Fatalf("line %q, %v, want %q", line, err, want)
			}
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, rest) {
			t.Fatalf("rest %q, %v, want %q", got, err, rest)
		}
	})
}

func BenchmarkReadLine(b *testing.B) {
	line := []byte(`{"id":1,"command":"work","subcommand":"status","unitid":"abcdefgh"}` + "\n")
	r := NewReader(&repeated{text: line})
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := r.ReadLine(); err != nil {
			b.Fatal(err)
		}
	}
}

// repeated is a text without end.
type repeated struct {
	text []byte
	at   int
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], r.text[r.at:])
		n, r.at = n+m, (r.at+m)%len(r.text)
	}
	return n, nil
}

func BenchmarkParseRequestText(b *testing.B) {
	b.ReportAllocs()
	line := []byte("work status abcdefgh")
	for b.Loop() {
		ParseRequest(line)
	}
}

func BenchmarkParseRequestJSON(b *testing.B) {
	b.ReportAllocs()
	line := []byte(`{"command":"work","subcommand":"status","unitid":"abcdefgh"}`)
	for b.Loop() {
		ParseRequest(line)
	}
}

func BenchmarkParseLine2Bytes(b *testing.B) {
	b.ReportAllocs()
	line := []byte(`{"id":1,"bytes":131072}`)
	for b.Loop() {
		ParseLine2(line)
	}
}

func BenchmarkWriterBytes(b *testing.B) {
	w := NewWriter(io.Discard)
	chunk := make([]byte, ChunkSize)
	b.ReportAllocs()
	b.SetBytes(ChunkSize)
	for b.Loop() {
		w.Bytes(1, chunk)
	}
}

func BenchmarkWriterJSON(b *testing.B) {
	w := NewWriter(io.Discard)
	reply := UnitStatus{Detail: "exit status 0", State: Succeeded, StateName: "Succeeded", StdoutSize: 12, WorkType: "cat"}
	b.ReportAllocs()
	for b.Loop() {
		w.JSON(reply)
	}
}
