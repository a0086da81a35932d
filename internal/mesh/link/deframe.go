package link

import (
	"encoding/binary"
	"io"

	"github.com/receptor-go/receptor/internal/lend"
)

// Sizes of the buffer that a byte stream is read into: a link starts with the
// small one, which is its own, and borrows a big one while reads fill what
// they are given. One that carried little for a while gives it back. While too many
// are lent it has to do with one of its own that grows up to what any frame needs.
const (
	smallRead  = 4 << 10
	mediumRead = 65 << 10
	bigBuffer  = 256 << 10
	bigLent    = 64       // at a time, to all links
	slowWrite  = 16 << 10 // what is collected for a write meanwhile
	quietReads = 32       // reads in a row that would have fitted the small buffer
	emptyReads = 100      // reads in a row of a broken reader that return nothing
)

// bigBuffers are lent to readers and writers; see framePools.
var bigBuffers = lend.New(bigBuffer, slowWrite, bigLent)

// readBuffer reads from src in large pieces. Owned by the goroutine that reads.
type readBuffer struct {
	src   io.Reader
	buf   []byte // small, that of big, or one between them
	r, w  int    // buf[r:w] is unread
	small []byte // made at the first read
	big   *lend.Buffer
	full  bool  // the last read filled the buffer
	quiet int   // reads in a row that were small
	err   error // of the last read, kept until what it brought is used up
}

// unread is what has been read from src and not been taken yet.
func (b *readBuffer) unread() []byte { return b.buf[b.r:b.w] }

// fill makes one read that adds to unread, which is less than need; need is at most
// mediumRead.
func (b *readBuffer) fill(need int) error {
	if b.err != nil {
		return b.err
	}
	b.resize(need)
	for range emptyReads {
		n, err := b.src.Read(b.buf[b.w:])
		b.w += n
		b.full = b.w == len(b.buf)
		if b.err = err; n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// resize chooses the buffer for the next read and moves the unread bytes to
// its beginning: never more than a part of one frame.
func (b *readBuffer) resize(need int) {
	if b.w <= smallRead {
		b.quiet++
	} else {
		b.quiet = 0
	}
	rest := b.buf[b.r:b.w]
	switch {
	case b.buf == nil:
		b.small = make([]byte, smallRead)
		b.buf = b.small
	case b.big == nil && b.full:
		b.quiet = 0
		if b.big = bigBuffers.Large(); b.big != nil {
			b.buf = b.big.Bytes
		} else if len(b.buf) < mediumRead { // not to what the peer says that it needs: it may never send that
			b.buf = make([]byte, min(2*len(b.buf), mediumRead))
		}
	case len(b.buf) > smallRead && b.quiet >= quietReads && need <= smallRead:
		b.buf = b.small
		b.r, b.w = 0, copy(b.buf, rest)
		b.free()
		return
	}
	b.r, b.w = 0, copy(b.buf, rest)
}

// end drops what is unread; err is the result of all reads from now on.
func (b *readBuffer) end(err error) {
	b.err = err
	b.buf, b.small, b.r, b.w = nil, nil, 0, 0
	b.free()
}

// free gives the big buffer back.
func (b *readBuffer) free() {
	if b.big != nil {
		bigBuffers.Put(b.big)
		b.big = nil
	}
}

// deframer takes frames out of a byte stream (spec mesh-protocol 3.1).
type deframer struct{ readBuffer }

// next returns the next frame, reading from the stream as needed. The end of
// the stream is io.EOF between frames and io.ErrUnexpectedEOF inside one.
func (d *deframer) next() (*Frame, error) {
	for {
		have := d.unread()
		need := prefixLen
		if len(have) >= prefixLen {
			need += int(binary.LittleEndian.Uint16(have))
			if len(have) >= need {
				f := FrameOf(have[prefixLen:need])
				d.r += need
				return f, nil
			}
		}
		if err := d.fill(need); err != nil {
			if err == io.EOF && len(have) > 0 {
				err = io.ErrUnexpectedEOF
			}
			d.end(err)
			return nil, err
		}
	}
}
