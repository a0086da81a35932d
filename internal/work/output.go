package work

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

const (
	// outputBlock is how much output is read at a time, in bytes.
	outputBlock = 256 << 10
	// followCheck is how often a follower looks by itself, where changes are pushed.
	followCheck = time.Second
	// followPoll is how often it looks where they are not.
	followPoll = 50 * time.Millisecond
)

// Sink takes what Follow delivers; its methods are called by one goroutine. What
// Output is given is valid until it returns. An error ends Follow.
type Sink interface {
	Status(controlproto.UnitStatus) error
	Output(p []byte) error
}

// Follow streams a unit: its status now and at each change of state or detail,
// its output from byte from on, live. It returns the last status when the unit
// has ended and all output there is was delivered, when its output was deleted,
// or if from is negative; an error when ctx ends or sink fails.
func (m *Manager) Follow(ctx context.Context, id string, from int64, sink Sink) (controlproto.UnitStatus, error) {
	u, err := m.unit(id)
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	f := &follower{m: m, u: u, sink: sink, pos: from}
	defer f.close()
	if err := f.run(ctx); err != nil {
		return controlproto.UnitStatus{}, err
	}
	return m.status(u), nil
}

// follower is one Follow.
type follower struct {
	m      *Manager
	u      *unit
	sink   Sink
	pos    int64 // of the next byte to deliver
	file   *os.File
	grown  <-chan struct{} // the file has grown; nil if nobody tells
	unhook func()
}

func (f *follower) close() {
	if f.unhook != nil {
		f.unhook()
	}
	if f.file != nil {
		f.file.Close()
	}
}

func (f *follower) run(ctx context.Context) error {
	var told uint64
	for first := true; ; first = false {
		// What is noted here is at most older than what is delivered below, so
		// nothing is missed: a later change closes news.
		f.u.mu.Lock()
		moves, news := f.u.moves, f.u.newsLocked()
		whole := f.u.wholeLocked()
		f.u.mu.Unlock()
		if first || moves != told {
			told = moves
			if err := f.sink.Status(f.m.status(f.u)); err != nil {
				return err
			}
		}
		if f.pos < 0 {
			return nil
		}
		if err := f.deliver(ctx); err != nil || whole {
			return err
		}
		if gone, err := f.wait(ctx, news); gone || err != nil {
			return err
		}
	}
}

// wholeLocked tells that the unit has ended and its output grows no more.
func (u *unit) wholeLocked() bool {
	if u.removed {
		return true
	}
	return u.rec.State.Ended() && (u.far == nil || u.live == nil || u.size >= u.rec.StdoutSize)
}

// wait returns when there may be something to deliver; gone tells that the
// output was deleted.
func (f *follower) wait(ctx context.Context, news <-chan struct{}) (gone bool, err error) {
	pause := followCheck
	if f.file != nil && f.grown == nil && f.u.kind != remote {
		pause = followPoll
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-news:
	case <-f.grown:
	case <-timer.C:
		if f.file != nil && pause == followCheck {
			_, err := os.Stat(f.file.Name())
			return errors.Is(err, fs.ErrNotExist), nil
		}
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-f.m.over:
		return false, errOver
	}
	return false, nil
}

// deliver sends all output that is there.
func (f *follower) deliver(ctx context.Context) error {
	if ready, err := f.open(); !ready || err != nil {
		return err
	}
	buf := f.m.buffer()
	defer f.m.buffers.Put(buf)
	for {
		n, err := f.file.ReadAt(*buf, f.pos)
		if n > 0 {
			if e := f.sink.Output((*buf)[:n]); e != nil {
				return e
			}
			f.pos += int64(n)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return controlproto.New(controlproto.Internal, "read the unit's output: "+err.Error())
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// open opens the output once it exists, and has its growth told.
func (f *follower) open() (ready bool, err error) {
	if f.file == nil {
		f.file, err = os.Open(f.m.store.path(f.u.id, fileStdout))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, controlproto.New(controlproto.Internal, "open the unit's output: "+err.Error())
		}
	}
	if f.unhook == nil && f.u.kind != remote && !f.u.ended() {
		f.grown, f.unhook = f.m.watch.add(f.file.Name())
	}
	return true, nil
}

// buffer borrows a block; give it back to m.buffers.
func (m *Manager) buffer() *[]byte {
	if b, ok := m.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, outputBlock)
	return &b
}
