package controlproto

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// ErrLineTooLong is returned for a line over MaxLine; the stream cannot be
// used after it.
var ErrLineTooLong = errors.New("line is longer than 16 MiB") // or than AllowLongAnswers says

// Reader reads lines and the raw bytes between them. It buffers, and hands on
// what it has buffered: Read continues right behind the last line. One
// goroutine uses it at a time.
type Reader struct {
	r    *bufio.Reader
	line []byte
	max  int // bytes of a line, without its LF

	memory       *Memory // for long lines; nil if there is no bound
	preferred    bool    // by it
	paid         int     // what line holds of it, in bytes
	begun, ended func()
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 4<<10), max: MaxLine} }

// ReadLine returns the next line without its LF and without any CR. It is
// valid until the next call. A line that ends with the stream counts as one;
// io.EOF comes only between lines.
func (r *Reader) ReadLine() ([]byte, error) {
	r.Free()
	r.line = r.line[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		if !r.room(len(part)) {
			return nil, ErrBusy
		}
		r.line = append(r.line, part...)
		if len(r.line) > r.max+1 {
			return nil, ErrLineTooLong
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(r.line) > 0, err == nil:
			if r.paid > 0 {
				r.ended()
			}
			return r.trim()
		default:
			return nil, err
		}
	}
}

func (r *Reader) trim() ([]byte, error) {
	line := bytes.TrimSuffix(r.line, []byte("\n"))
	if len(line) > r.max { // one byte too many, and no LF but the end of the stream
		return nil, ErrLineTooLong
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		line = withoutCR(line)
	}
	if cap(r.line) > freeLine && r.paid == 0 { // one giant line does not pin its memory
		r.line = nil
	}
	return line, nil
}

// withoutCR removes every CR, in place: a line may be long.
func withoutCR(line []byte) []byte {
	kept := line[:0]
	for _, c := range line {
		if c != '\r' {
			kept = append(kept, c)
		}
	}
	return kept
}

// Read reads raw bytes behind the last line.
func (r *Reader) Read(p []byte) (int, error) { return r.r.Read(p) }

// WriteTo copies everything behind the last line to w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return r.r.WriteTo(w) }

// Buffered is the number of bytes that are here already.
func (r *Reader) Buffered() int { return r.r.Buffered() }

// Writer writes lines and announced bytes, each in one call of the underlying
// writer, or two if it is long. Any number of goroutines may use it.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte // guarded by mu
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Line writes a text and LF.
func (w *Writer) Line(text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(append(w.buf[:0], text...), '\n')
	return w.flushLocked()
}

// JSON writes v as one line.
func (w *Writer) JSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(append(w.buf[:0], line...), '\n')
	return w.flushLocked()
}

// Raw writes a line that is complete, LF included, and is not copied: many
// sessions may be sent the same one.
func (w *Writer) Raw(line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(line)
	return err
}

// Result writes the result of a version 2 request, which is JSON already and is
// not copied.
func (w *Writer) Result(id uint64, result []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = strconv.AppendUint(append(w.buf[:0], `{"id":`...), id, 10)
	w.buf = append(w.buf, `,"result":`...)
	if err := w.flushLocked(); err != nil {
		return err
	}
	if _, err := w.w.Write(result); err != nil {
		return err
	}
	_, err := io.WriteString(w.w, "}\n")
	return err
}

// Bytes announces and writes the bytes of a version 2 request.
func (w *Writer) Bytes(id uint64, p []byte) error { return w.StreamBytes(id, "", p) }

// StreamBytes is Bytes for those of a stream that has a name, which must be plain
// ASCII: StreamStderr.
func (w *Writer) StreamBytes(id uint64, stream string, p []byte) error {
	for len(p) > 0 {
		part := p[:min(len(p), MaxChunk)]
		p = p[len(part):]
		w.mu.Lock()
		w.buf = append(w.buf[:0], `{"id":`...)
		w.buf = strconv.AppendUint(w.buf, id, 10)
		w.buf = append(w.buf, `,"bytes":`...)
		w.buf = strconv.AppendInt(w.buf, int64(len(part)), 10)
		if stream != "" {
			w.buf = append(append(append(w.buf, `,"stream":"`...), stream...), '"')
		}
		w.buf = append(w.buf, "}\n"...)
		var err error
		if len(part) > copyPart {
			if err = w.flushLocked(); err == nil {
				_, err = w.w.Write(part)
			}
		} else {
			w.buf = append(w.buf, part...)
			err = w.flushLocked()
		}
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// copyPart is the most bytes that are copied to go out with their announcement,
// and keepBuffer what a Writer that rests keeps.
const (
	copyPart   = 8 << 10
	keepBuffer = 2 * copyPart
)

func (w *Writer) flushLocked() error {
	_, err := w.w.Write(w.buf)
	if cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	return err
}

// Clip leaves out the middle of a text of more than most bytes. Both ends matter:
// what was done at the front, and the reason at the back.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	half := most/2 - 2
	return strings.ToValidUTF8(text[:half]+"..."+text[len(text)-half:], "")
}

func quote(line string) string {
	if len(line) > 80 {
		line = line[:80] + "..."
	}
	return strconv.Quote(line)
}
