package work

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

const (
	// outputBlock is how much output is read at a time, in bytes.
	outputBlock = 256 << 10
	// outputBlocks is how many blocks of that size there are at a time: readers that
	// take nothing hold one each, and the others read less at a time then.
	outputBlocks = 32
	// smallBlock is the size of further ones.
	smallBlock = 8 << 10
	// followCheck is how often a follower looks by itself, where changes are pushed.
	followCheck = time.Second
	// followPoll is how often it looks where they are not.
	followPoll = 50 * time.Millisecond
	// queueNews is how long a follower hears nothing about the place of a unit in its queue.
	queueNews = 5 * time.Second
)

// Sink takes what Follow delivers; its methods are called by one goroutine. What
// Output is given is valid until it returns. An error ends Follow.
type Sink interface {
	Status(controlproto.UnitStatus) error
	Output(p []byte) error
	// Stderr takes error output of a unit that keeps it apart, if it was asked for.
	Stderr(p []byte) error
}

// FollowOptions say what of a unit to follow.
type FollowOptions struct {
	From       int64 // first byte of output wanted
	Stderr     bool  // deliver the error output, too, where it is kept apart
	StderrFrom int64 // first byte of it wanted
}

// Follow streams a unit: its status now and at each change of state or detail,
// its output from byte o.From on, live. It returns the last status when the unit
// has ended and all output there is was delivered, when its output was deleted,
// or if o.From is negative; an error when ctx ends, sink fails, or the unit was
// released before all of its output was delivered.
func (m *Manager) Follow(ctx context.Context, id string, o FollowOptions, sink Sink) (controlproto.UnitStatus, error) {
	u, err := m.unit(id)
	if err != nil {
		return controlproto.UnitStatus{}, err
	}
	f := &follower{m: m, u: u, sink: sink, nothing: o.From < 0}
	f.tails = []*tail{{f: f, name: fileStdout, pos: o.From, sink: sink.Output}}
	if o.Stderr && o.StderrFrom >= 0 {
		f.tails = append(f.tails, &tail{f: f, name: fileStderr, pos: o.StderrFrom, sink: sink.Stderr})
	}
	defer f.close()
	u.mu.Lock()
	u.readers++
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.readers--
		u.mu.Unlock()
	}()
	if err := f.run(ctx); err != nil {
		return controlproto.UnitStatus{}, err
	}
	if f.missed() {
		return controlproto.UnitStatus{}, controlproto.New(controlproto.NotFound,
			"work unit "+id+" was released before all of its output was read")
	}
	return m.status(u), nil
}

// missed tells that the unit was released, and with it output that was not
// delivered.
func (f *follower) missed() bool {
	f.u.mu.Lock()
	defer f.u.mu.Unlock()
	if !f.u.removed || f.nothing {
		return false
	}
	size := map[string]int64{fileStdout: f.u.rec.StdoutSize}
	if n := f.u.rec.StderrSize; n != nil {
		size[fileStderr] = *n
	}
	return slices.ContainsFunc(f.tails, func(t *tail) bool { return t.pos < size[t.name] })
}

// follower is one Follow.
type follower struct {
	m       *Manager
	u       *unit
	sink    Sink
	nothing bool    // no output is wanted
	tails   []*tail // the output, and perhaps the error output
	queued  string  // the Detail of a unit that waits for its turn, as it was told last
	told    time.Time
}

// tail is one of the files that a follower reads.
type tail struct {
	f      *follower
	name   string
	pos    int64 // of the next byte to deliver
	sink   func([]byte) error
	file   *os.File
	grown  <-chan struct{} // the file has grown; nil if nobody tells
	unhook func()
}

func (f *follower) close() {
	for _, t := range f.tails {
		if t.unhook != nil {
			t.unhook()
		}
		if t.file != nil {
			t.file.Close()
		}
	}
}

func (f *follower) run(ctx context.Context) error {
	var told uint64
	for first := true; ; first = false {
		// What is noted here is at most older than what is delivered below, so
		// nothing is missed: a later change closes news.
		f.u.mu.Lock()
		moves, news := f.u.moves, f.u.newsLocked()
		whole, queued := f.u.wholeLocked(), f.u.queuedLocked()
		f.u.mu.Unlock()
		if first || moves != told || queued && f.movedUp() {
			told = moves
			st := f.m.status(f.u)
			f.queued, f.told = st.Detail, time.Now()
			if err := f.sink.Status(st); err != nil {
				return err
			}
		}
		if f.nothing {
			return nil
		}
		for _, t := range f.tails {
			if err := t.deliver(ctx); err != nil {
				return err
			}
		}
		if whole {
			return nil
		}
		if gone, err := f.wait(ctx, news); gone || err != nil {
			return err
		}
	}
}

// movedUp tells that it is time to say that the unit's place in its queue has
// changed. Many may wait, so that is not said at every change.
func (f *follower) movedUp() bool {
	return time.Since(f.told) >= queueNews && f.m.queue.text(f.u, f.m.types.Load()) != f.queued
}

// wholeLocked tells that the unit has ended and its output grows no more.
func (u *unit) wholeLocked() bool {
	if u.removed {
		return true
	}
	return u.rec.State.Ended() && (u.far == nil || u.live == nil || u.mirroredLocked())
}

// wait returns when there may be something to deliver; gone tells that the
// output was deleted.
func (f *follower) wait(ctx context.Context, news <-chan struct{}) (gone bool, err error) {
	pause := followCheck
	var grown [2]<-chan struct{}
	for i, t := range f.tails {
		grown[i] = t.grown
		if t.file != nil && t.grown == nil && f.u.kind != remote {
			pause = followPoll
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-news:
	case <-grown[0]:
	case <-grown[1]:
	case <-timer.C:
		if out := f.tails[0].file; out != nil && pause == followCheck {
			_, err := os.Stat(out.Name())
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
func (t *tail) deliver(ctx context.Context) error {
	if ready, err := t.open(); !ready || err != nil {
		return err
	}
	buf := t.f.m.buffers.Get()
	defer t.f.m.buffers.Put(buf)
	for {
		n, err := t.file.ReadAt(buf.Bytes, t.pos)
		if n > 0 {
			if e := t.sink(buf.Bytes[:n]); e != nil {
				return e
			}
			t.pos += int64(n)
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
func (t *tail) open() (ready bool, err error) {
	m, u := t.f.m, t.f.u
	if t.file == nil {
		t.file, err = m.store.open(u.id, t.name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, controlproto.New(controlproto.Internal, "open the unit's output: "+err.Error())
		}
	}
	if t.unhook == nil && u.kind != remote && !u.ended() {
		t.grown, t.unhook = m.watch.add(t.file.Name())
	}
	return true, nil
}
