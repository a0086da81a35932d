// Package audit keeps a record of who asked a node for what, and what came of
// it: a file of JSON objects, one per line (Entry).
//
// Recording never waits. Entries are queued, and a goroutine of the Log writes
// them. What cannot be written (a full disk, a directory that is gone) stays in
// the queue and is tried again; when the queue is full, further entries are
// lost, and how many is logged, counted, and written where they are missing.
//
// The file is only appended to. When it was moved or deleted, as logrotate does,
// the next entry begins a new one. After a failed write no part of a line stays.
package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"
)

const (
	maxQueue   = 4096 // entries that wait
	maxBatch   = 256  // entries that are written at once
	maxUsers   = 1024 // names of users that are remembered
	retryPause = 2 * time.Second
)

// Config says where the record is.
type Config struct {
	Filename string
	Mode     os.FileMode // of a file that is made, whatever the umask
	Reads    bool        // requests that change nothing are recorded, too
}

// File is an open record.
type File struct {
	Config
	f    handle
	torn bool // it ends with a part of a line
}

// handle is what is used of an *os.File.
type handle interface {
	Write(p []byte) (int, error)
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Close() error
}

// Open opens the file for appending, and makes it if it is not there. It must be
// a regular one.
func Open(c Config) (*File, error) {
	info, err := os.Stat(c.Filename)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("audit log %s is no regular file", c.Filename)
	}
	var f *os.File
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(c.Filename, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, c.Mode)
		if err == nil {
			if err = f.Chmod(c.Mode); err != nil {
				f.Close()
			}
		}
	}
	if err == nil && f == nil || errors.Is(err, fs.ErrExist) { // it is there, or somebody made it meanwhile
		f, err = os.OpenFile(c.Filename, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return &File{Config: c, f: f}, nil
}

// Close closes a file that was not given to a Log.
func (f *File) Close() error { return f.f.Close() }

// moved tells whether the name stands for another file now, or for none.
func (f *File) moved() bool {
	there, err := os.Stat(f.Filename)
	if err != nil {
		return true
	}
	ours, err := f.f.Stat()
	return err != nil || !os.SameFile(there, ours)
}

// Log records entries. The nil Log records nothing.
type Log struct {
	node string
	log  *slog.Logger
	wake chan struct{} // 1

	mu      sync.Mutex // guards what follows
	on      bool       // there is a file, or will be
	reads   bool
	next    *File // takes the place of the present one; if swap
	swap    bool
	reopen  bool
	closed  bool
	queue   []Entry
	gap     uint64 // entries lost behind the queue
	written uint64
	lost    uint64

	// Of the goroutine of Run.
	file    *File
	failing bool
	users   map[uint32]string
}

// New makes a Log that records nothing until Use. node is the node ID.
func New(node string, log *slog.Logger) *Log {
	return &Log{node: node, log: log, wake: make(chan struct{}, 1), users: make(map[uint32]string)}
}

// Use, not of the nil Log, has entries written to f from now on, those that wait included; nil ends
// the record when they are written. The file before is closed.
func (l *Log) Use(f *File) {
	l.mu.Lock()
	if l.next != nil {
		l.next.Close()
	}
	l.next, l.swap, l.on, l.reads = f, true, f != nil, f != nil && f.Reads
	l.mu.Unlock()
	l.poke()
}

// Reopen has the file opened again before the next entry.
func (l *Log) Reopen() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.reopen = true
	l.mu.Unlock()
	l.poke()
}

// Counts is how many entries were written, and how many were lost.
func (l *Log) Counts() (written, lost uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written, l.lost
}

// Record records e, with the time of now and the node that writes it. It does
// not wait.
func (l *Log) Record(e Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on || l.closed || e.Reads && !l.reads && e.Result != Denied {
		return
	}
	if len(l.queue) >= maxQueue {
		l.gap++
		l.lost++
		return
	}
	e = e.bounded()
	e.Time, e.Node = time.Now().UTC(), l.node
	l.queue = append(l.queue, e)
	l.poke()
}

func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, then writes what is left, if it can be written, and
// closes the file. Entries that come later are not recorded.
func (l *Log) Run(ctx context.Context) error {
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for ctx.Err() == nil {
		select {
		case <-l.wake:
			if l.failing {
				continue // the timer runs
			}
		case <-retry.C:
		case <-ctx.Done():
		}
		if ctx.Err() == nil && !l.flush() {
			retry.Reset(retryPause)
		}
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.flush()
	l.mu.Lock()
	left := uint64(len(l.queue)) + l.gap
	l.lost += uint64(len(l.queue))
	l.queue = nil
	next := l.next
	l.mu.Unlock()
	if left > 0 {
		l.log.Error("audit entries lost", "count", left)
	}
	for _, f := range []*File{l.file, next} {
		if f != nil {
			f.Close()
		}
	}
	return nil
}

// flush writes all that waits; false if it could not.
func (l *Log) flush() bool {
	for {
		l.mu.Lock()
		batch := append([]Entry(nil), l.queue[:min(len(l.queue), maxBatch)]...)
		gap, swap, end, reopen := l.gap, l.swap, l.next == nil, l.reopen
		if len(batch) < len(l.queue) {
			gap = 0 // it comes behind the others
		}
		l.mu.Unlock()
		idle := len(batch) == 0 && gap == 0
		switch {
		case swap && (!end || idle || l.file == nil):
			l.change()
			continue
		case idle && (!reopen || l.file == nil):
			return true
		}
		if gap > 0 {
			batch = append(batch, Entry{Time: time.Now().UTC(), Node: l.node, Command: CommandLost, Result: Failed, Lost: gap})
		}
		n, err := l.write(batch)
		l.done(n, n == len(batch), gap)
		if err == nil {
			l.recovered()
			continue
		}
		l.failed(err)
		if !swap {
			return false
		}
		l.change() // nobody wants it any more
	}
}

// done takes entries that were written from the queue; all tells that the gap
// behind them was written about, too.
func (l *Log) done(n int, all bool, gap uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all && gap > 0 {
		l.gap -= gap
		n--
	}
	l.queue = append([]Entry(nil), l.queue[n:]...)
	l.written += uint64(n)
}

// change puts the next file in the place of the present one.
func (l *Log) change() {
	l.mu.Lock()
	old := l.file
	l.file, l.next, l.swap = l.next, nil, false
	if l.file == nil { // nobody wants what is left
		l.lost += uint64(len(l.queue))
		l.queue, l.gap = nil, 0
	}
	l.mu.Unlock()
	l.failing = false
	if old != nil {
		old.Close()
	}
}

// failed says that entries cannot be written, once.
func (l *Log) failed(err error) {
	if !l.failing {
		l.log.Error("audit log cannot be written", "err", err)
	}
	l.failing = true
}

// recovered says that they can be written again.
func (l *Log) recovered() {
	if l.failing {
		_, lost := l.Counts()
		l.log.Warn("audit log is written again", "file", l.file.Filename, "lost", lost)
	}
	l.failing = false
}

// write appends entries and tells how many of them are in the file.
func (l *Log) write(batch []Entry) (n int, err error) {
	if l.file == nil {
		panic("BUG: there are audit entries without a file")
	}
	if err := l.renew(); err != nil || len(batch) == 0 {
		return 0, err
	}
	var b bytes.Buffer
	if l.file.torn {
		b.WriteByte('\n')
	}
	ends := make([]int, len(batch))
	for i, e := range batch {
		l.name(&e)
		e.appendLine(&b)
		ends[i] = b.Len()
	}
	size, err := l.file.f.Write(b.Bytes())
	if size > 0 {
		l.file.torn = false
	}
	whole := 0
	for n < len(ends) && ends[n] <= size {
		whole, n = ends[n], n+1
	}
	if size > whole {
		l.file.cutOff(int64(size - whole))
	}
	return n, err
}

// cutOff removes the part of a line at the end of the file.
func (f *File) cutOff(part int64) {
	info, err := f.f.Stat()
	if err != nil || f.f.Truncate(info.Size()-part) != nil {
		f.torn = true
	}
}

// renew opens the file again if that was asked for, or it was moved.
func (l *Log) renew() error {
	l.mu.Lock()
	asked := l.reopen
	l.reopen = false
	l.mu.Unlock()
	if !asked && !l.file.moved() {
		return nil
	}
	clear(l.users)
	f, err := Open(l.file.Config)
	if err != nil {
		return err
	}
	l.file.Close()
	l.file = f
	return nil
}

// name fills in the name of a user.
func (l *Log) name(e *Entry) {
	if e.From.UID == nil || e.From.User != "" {
		return
	}
	name, known := l.users[*e.From.UID]
	if !known {
		if u, err := user.LookupId(strconv.FormatUint(uint64(*e.From.UID), 10)); err == nil {
			name = u.Username
		}
		if len(l.users) >= maxUsers {
			clear(l.users)
		}
		l.users[*e.From.UID] = name
	}
	e.From.User = name
}
