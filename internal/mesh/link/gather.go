package link

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// writeTimeout is how long a peer may take nothing at all before its link ends.
const writeTimeout = 30 * time.Second

// copyBelow is the mean size of frames below which it is faster to copy them
// together than to give the system a pointer to each (measured on loopback).
const copyBelow = 1024

// patientConn writes for as long as the peer takes anything. Owned by the
// goroutine that writes.
type patientConn struct {
	net.Conn
	limit time.Duration // writeTimeout, less in tests
	set   time.Time     // the deadline that is set
}

// Write implements io.Writer.
func (p *patientConn) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if err := p.extend(); err != nil {
			return done, err
		}
		n, err := p.Conn.Write(b[done:])
		done += n
		if err != nil && !p.again(int64(n), err) {
			return done, err
		}
	}
	return done, nil
}

// writeAll writes the parts and takes them out of v.
func (p *patientConn) writeAll(v *net.Buffers) error {
	for len(*v) > 0 {
		if err := p.extend(); err != nil {
			return err
		}
		n, err := v.WriteTo(p.Conn)
		if err != nil && !p.again(n, err) {
			return err
		}
	}
	return nil
}

// extend sets the deadline unless the one that is set will do: setting a timer
// for every write would be noticeable.
func (p *patientConn) extend() error {
	now := time.Now()
	if p.set.Sub(now) > p.limit*5/6 {
		return nil
	}
	p.set = now.Add(p.limit)
	return p.SetWriteDeadline(p.set)
}

// again tells whether a write that failed with err after n bytes may go on:
// the peer is slow but alive.
func (p *patientConn) again(n int64, err error) bool {
	if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	p.set = time.Time{}
	return true
}

// gather writes many frames with one system call. Owned by the goroutine that
// writes.
type gather struct {
	to    patientConn
	parts net.Buffers // scratch, kept for its array
	left  net.Buffers // what is still to be written; a field so that it need not be allocated
}

// send writes prefixes and frames.
func (g *gather) send(frames []*Frame) error {
	if len(frames) == 1 {
		_, err := g.to.Write(frames[0].buf)
		return err
	}
	g.parts = g.parts[:0]
	total := 0
	for _, f := range frames {
		g.parts = append(g.parts, f.buf)
		total += len(f.buf)
	}
	if total < len(frames)*copyBelow {
		clear(g.parts)
		return writeCopied(&g.to, frames)
	}
	g.left = g.parts
	err := g.to.writeAll(&g.left)
	clear(g.parts)
	return err
}

// writeCopied writes prefixes and frames in pieces as large as a big buffer.
func writeCopied(w io.Writer, frames []*Frame) error {
	if len(frames) == 1 {
		_, err := w.Write(frames[0].buf)
		return err
	}
	lent := bigBuffers.Get()
	defer bigBuffers.Put(lent)
	out := lent.Bytes[:0]
	for _, f := range frames {
		if len(out) > 0 && len(out)+len(f.buf) > cap(out) {
			if _, err := w.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		if len(f.buf) > cap(out) {
			if _, err := w.Write(f.buf); err != nil {
				return err
			}
			continue
		}
		out = append(out, f.buf...)
	}
	if len(out) == 0 {
		return nil
	}
	_, err := w.Write(out)
	return err
}
