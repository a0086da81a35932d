package controlproto

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// endlessLine is a line without an end.
type endlessLine struct{}

func (endlessLine) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// sharing returns a Reader of a line of n bytes.
func sharing(m *Memory, preferred bool, n int) *Reader {
	r := NewReader(strings.NewReader(strings.Repeat("x", n) + "\nnext\n"))
	r.Share(m, preferred, func() {}, func() {})
	return r
}

// TestMemoryOfLongLines: what a hundred clients send in long lines takes no more
// than one line of the greatest length does. Once each of them could have one.
func TestMemoryOfLongLines(t *testing.T) {
	m := NewMemory()
	var held []*Reader
	for range 100 {
		r := sharing(m, false, 1<<20)
		if _, err := r.ReadLine(); err == nil {
			held = append(held, r)
		} else if !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
	if len(held) < 8 || len(held) > 17 {
		t.Errorf("%d lines of 1 MiB are held at a time", len(held))
	}
	if line, err := sharing(m, false, freeLine-10).ReadLine(); err != nil || len(line) != freeLine-10 {
		t.Errorf("a short line beside them: %d bytes, %v", len(line), err)
	}
	preferred := sharing(m, true, 1<<20)
	if _, err := preferred.ReadLine(); err != nil {
		t.Errorf("a long line of a client that is preferred: %v", err)
	}
	for _, r := range held {
		if line, err := r.ReadLine(); string(line) != "next" || err != nil {
			t.Fatalf("the next line: %q, %v", line, err)
		}
	}
	preferred.Free()
	if left := m.left.Load(); left != MaxLine+memoryReserve {
		t.Errorf("%d bytes are left", left)
	}
	greatest := sharing(m, false, MaxLine)
	if line, err := greatest.ReadLine(); err != nil || len(line) != MaxLine {
		t.Errorf("a line of the greatest length: %d bytes, %v", len(line), err)
	}
	greatest.Free()
}

// TestLongLineIsTimed: begun and ended are called around a long line, and only then.
func TestLongLineIsTimed(t *testing.T) {
	text := ""
	r := NewReader(strings.NewReader("a\n" + strings.Repeat("x", 200<<10) + "\nb\n"))
	r.Share(NewMemory(), false, func() { text += "(" }, func() { text += ")" })
	for {
		line, err := r.ReadLine()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text += string(line[:1])
	}
	if text != "a()xb" {
		t.Errorf("order %q", text)
	}
	r = NewReader(endlessLine{})
	r.Share(NewMemory(), false, func() {}, func() { t.Error("a line without an end has ended") })
	if _, err := r.ReadLine(); !errors.Is(err, ErrLineTooLong) && !errors.Is(err, ErrBusy) {
		t.Errorf("a line without an end: %v", err)
	}
	r.Free()
}

// TestTooManyValues: a request of a few megabytes does not become hundreds.
func TestTooManyValues(t *testing.T) {
	for _, line := range []string{
		`{"command":"status","requested_fields":[0` + strings.Repeat(",0", MaxValues) + `]}`,
		`{"command":"status","x":` + strings.Repeat(`[`, MaxValues) + strings.Repeat(`]`, MaxValues) + `}`,
		`{"command":"status"` + strings.Repeat(`,"a":{}`, MaxValues/2) + `}`,
	} {
		if _, err := ParseRequest([]byte(line)); err == nil || !strings.Contains(err.Error(), "too many values") {
			t.Errorf("%.60s...: %v", line, err)
		}
	}
	line := `{"command":"work","params":"` + strings.Repeat(`,:[{\"`, MaxValues) + `"}`
	if _, err := ParseRequest([]byte(line)); err != nil {
		t.Errorf("a long string with punctuation in it: %v", err)
	}
}

// TestExactLimits: as many values, and announced bytes, as the limits say, and one more.
func TestExactLimits(t *testing.T) {
	line := func(n int) []byte { // that counts as n values
		return []byte(`{"command":"x","y":[` + strings.Repeat("0,", n-5) + `0]}`)
	}
	if n := countValues(line(MaxValues)); n != MaxValues {
		t.Fatalf("%d values", n)
	}
	if _, err := ParseRequest(line(MaxValues)); err != nil {
		t.Errorf("%d values: %v", MaxValues, err)
	}
	if _, err := ParseRequest(line(MaxValues + 1)); CodeOf(err) != Invalid || err == nil || err.Error() != "request has too many values" {
		t.Errorf("one value more: %v", err)
	}
	for bytes, ok := range map[int64]bool{0: true, 1: true, MaxChunk: true, MaxChunk + 1: false, -1: false} {
		f, err := parseFrame(fmt.Appendf(nil, `{"id":1,"bytes":%d}`, bytes))
		if ok != (err == nil) || ok && f.Bytes != bytes || !ok && (CodeOf(err) != Invalid || err.Error() != "bytes announced are out of range") {
			t.Errorf("%d bytes announced: %v", bytes, err)
		}
	}
}
