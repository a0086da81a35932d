package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/receptor-go/receptor/internal/lend"
)

// Sizes of the buffers of one direction: a small one of its own, and a big one
// that is borrowed while reads fill what they are given.
const (
	smallCopy  = 4 << 10
	bigCopy    = 128 << 10
	bigLent    = 256 // at a time, to all connections
	quietReads = 32  // reads in a row that would have fitted the small one, before the big one is given back
)

// bigBuffers are lent to whoever copies; nothing but memory is kept in them.
var bigBuffers = lend.New(bigCopy, smallCopy, bigLent)

// join copies between a and b in both directions and closes both. It returns
// when both directions have ended, at a failure, or when ctx has ended, with
// the bytes that went from a to b and back. The end of one direction is passed
// on while the other goes on. When a source fails both connections are aborted,
// so that nobody takes a part for the whole; when a destination takes no more,
// only that direction ends, since an answer may still be on its way.
func join(ctx context.Context, a, b net.Conn) (sent, received int64, err error) {
	var broken atomic.Bool
	fail := func() {
		if broken.CompareAndSwap(false, true) {
			abort(a)
			abort(b)
		}
	}
	stop := context.AfterFunc(ctx, fail)
	defer stop()

	var errs [2]error
	var both sync.WaitGroup
	first, one := context.WithCancel(context.Background()) // ends with the first direction
	defer one()
	direction := func(n *int64, result *error, dst, src net.Conn) {
		defer one()
		defer context.AfterFunc(first, func() { dst.SetWriteDeadline(time.Now().Add(stallTime)) })()
		var source bool
		*n, source, *result = pump(patient{dst, first}, src)
		switch {
		case *result == nil:
			closeWrite(dst)
		case source || errors.Is(*result, os.ErrDeadlineExceeded):
			fail()
		default:
			// A socket that is closed with something unread is reset, and what
			// went the other way is lost.
			defer context.AfterFunc(first, func() { src.SetReadDeadline(time.Now().Add(drainTime)) })()
			io.Copy(io.Discard, src)
		}
	}
	both.Go(func() { direction(&sent, &errs[0], b, a) })
	both.Go(func() { direction(&received, &errs[1], a, b) })
	both.Wait()
	a.Close()
	b.Close()
	return sent, received, cmp.Or(errs[0], errs[1])
}

// Once one direction has ended.
const (
	stallTime = 2 * time.Minute // how long a write of the other may take
	drainTime = 5 * time.Second // how long what nobody takes is read
)

// patient is the destination of one direction. When the other one has ended it
// does not wait for ever: proxies of ansible/receptor whose socket has closed
// end one direction and read no more.
type patient struct {
	net.Conn
	half context.Context
}

func (p patient) Write(b []byte) (int, error) {
	if p.half.Err() != nil {
		p.SetWriteDeadline(time.Now().Add(stallTime))
	}
	return p.Conn.Write(b)
}

// pump copies until src ends, which is no error. If there is one, source tells
// whose it is.
func pump(dst io.Writer, src io.Reader) (n int64, source bool, err error) {
	small := make([]byte, smallCopy)
	buf := small
	var big *lend.Buffer
	defer func() {
		if big != nil {
			bigBuffers.Put(big)
		}
	}()
	quiet := 0
	for {
		m, readErr := src.Read(buf)
		if m > 0 {
			w, err := dst.Write(buf[:m])
			n += int64(w)
			if err != nil {
				return n, false, err
			}
		}
		if readErr == io.EOF || errors.Is(readErr, io.ErrUnexpectedEOF) {
			// The latter is a TLS peer that closed without goodbye, as many do.
			return n, false, nil
		}
		if readErr != nil {
			return n, true, readErr
		}
		if m <= smallCopy/2 {
			quiet++
		} else {
			quiet = 0
		}
		switch {
		case big == nil && m == len(buf):
			if big = bigBuffers.Large(); big != nil {
				buf, quiet = big.Bytes, 0
			}
		case big != nil && quiet >= quietReads:
			bigBuffers.Put(big)
			big, buf = nil, small
		}
	}
}

// closeWrite passes on the end of a direction. A connection that has no
// directions of its own ends altogether.
func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
		return
	}
	c.Close()
}

// abort closes a connection in a way that its other end takes for a failure,
// not for the end of the data, where it can tell.
func abort(c net.Conn) {
	switch c := c.(type) {
	case interface{ Reset() }:
		c.Reset()
	case *tls.Conn:
		abort(c.NetConn()) // without the goodbye of TLS
	case interface{ SetLinger(int) error }:
		c.SetLinger(0)
	}
	c.Close()
}
