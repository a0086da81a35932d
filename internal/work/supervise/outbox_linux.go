package supervise

import (
	"io"
	"sync"
)

// outbox holds the lines that wait to be written to one daemon. Adding never blocks; what gathers while a write is under
// way goes out with the next. It is bounded by maxOutbox: when that is passed, the connection is closed.
type outbox struct {
	conn io.WriteCloser
	wake chan struct{} // capacity 1: there is something in buf, or it is closed

	mu     sync.Mutex
	buf    []byte
	closed bool
}

func newOutbox(conn io.WriteCloser) *outbox {
	return &outbox{conn: conn, wake: make(chan struct{}, 1)}
}

// add queues m.
func (o *outbox) add(m *message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	b, err := appendLine(o.buf, m)
	if err != nil || len(b) > maxOutbox {
		o.closed, o.buf = true, nil
		o.conn.Close() // also ends a write that nobody reads
	} else {
		o.buf = b
	}
	poke(o.wake)
}

// close makes run return when what is queued has been written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	poke(o.wake)
}

// run writes until the outbox is closed or the connection fails; then it closes the connection.
func (o *outbox) run() {
	defer o.conn.Close()
	const keep = 16 << 10 // larger buffers are given back
	var spare []byte
	for range o.wake {
		for {
			o.mu.Lock()
			out, closed := o.buf, o.closed
			o.buf = spare[:0]
			o.mu.Unlock()
			if len(out) > 0 {
				if _, err := o.conn.Write(out); err != nil {
					return
				}
			}
			if closed {
				return
			}
			if spare = out; cap(spare) > keep {
				spare = nil
			}
			if len(out) == 0 {
				break
			}
		}
	}
}
