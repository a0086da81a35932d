package mesh

import (
	"testing"

	"github.com/receptor-go/receptor/internal/mesh/link"
)

// TestOwnPacketsPassTransit: a link whose queue is full of what passes through
// takes packets of the node itself, and sends them in turn with the others.
// Once both stood in one queue, where transit left no room: a relay with a busy
// link could not use it for its own pings and streams.
func TestOwnPacketsPassTransit(t *testing.T) {
	const transit, own = 1, 2
	frame := func(b byte) *link.Frame { f := link.NewFrame(10); f.Bytes()[0] = b; return f }
	var o outbox
	o.init(1000, &share{total: maxQueued}, &share{total: maxTold})
	defer o.close()
	for i := range maxQueue {
		if err := o.send(frame(transit)); err != nil {
			t.Fatalf("frame %d that passes through: %v", i, err)
		}
	}
	expired := make(chan struct{})
	close(expired) // a sender that would have to wait fails
	const count = 10
	for i := range count {
		if err := o.sendLocal(frame(own), nil, expired); err != nil {
			t.Fatalf("own frame %d beside a full queue of transit: %v", i, err)
		}
	}
	batch, _, _ := o.next(nil)
	var kinds []byte
	for _, f := range batch {
		kinds = append(kinds, f.Bytes()[0])
		f.Release()
	}
	if len(kinds) < 2*count {
		t.Fatalf("a batch of %d frames", len(kinds))
	}
	for i := 0; i < 2*count; i += 2 {
		if kinds[i] == kinds[i+1] {
			t.Errorf("the batch is %v, want %d frames of each kind in turns first", kinds, count)
			break
		}
	}
}
