package pki

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	pollInterval = 30 * time.Second       // between looks at all files, where nothing tells of changes
	settleTime   = 300 * time.Millisecond // from a change until files are read: several belong together
	againTime    = time.Second            // until files are read again that could not be used
)

// Watcher keeps sections up to date with their files, and says when certificates end. Directories are watched, as files
// are replaced, and symbolic links on the way to them, too; a slow poll finds what is not told.
type Watcher struct {
	log  *slog.Logger
	poll time.Duration

	mu      sync.Mutex // guards entries
	entries []*entry
	changed chan struct{} // has a token when entries were replaced
}

// NewWatcher makes a watcher of no sections. A nil log discards.
func NewWatcher(log *slog.Logger) *Watcher {
	return &Watcher{log: logger(log), poll: pollInterval, changed: make(chan struct{}, 1)}
}

// Watch replaces what is watched. It does not wait.
func (w *Watcher) Watch(servers []*Server, clients []*Client) {
	var all []*entry
	for _, s := range servers {
		all = append(all, s.entry)
	}
	for _, c := range clients {
		all = append(all, c.entry)
	}
	w.mu.Lock()
	w.entries = all
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *Watcher) watched() []*entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries
}

// Certificates are those of all sections that end, in the order of the sections.
func (w *Watcher) Certificates() []Certificate {
	var all []Certificate
	for _, e := range w.watched() {
		all = append(all, e.certificates()...)
	}
	return all
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	var events chan fsnotify.Event
	var failures chan error
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("changes of certificates are noticed late: files cannot be watched", "err", err, "delay", w.poll)
		fs = nil
	} else {
		defer fs.Close()
		events, failures = fs.Events, fs.Errors
	}
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	settling := true
	look := func() {
		if w.look(fs) {
			settling = true
			settle.Reset(againTime)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-events:
			if !ok {
				events = nil
			} else if !settling {
				settling = true
				settle.Reset(settleTime)
			}
		case _, ok := <-failures: // events were lost: the next look finds all
			if !ok {
				failures = nil
			} else if !settling {
				settling = true
				settle.Reset(settleTime)
			}
		case <-settle.C:
			settling = false
			look()
		case <-w.changed:
			look()
		case <-poll.C:
			look()
		}
	}
}

// look reads all files and watches their directories; fs may be nil. It tells whether something is to be read again soon.
func (w *Watcher) look(fs *fsnotify.Watcher) (again bool) {
	entries := w.watched()
	if fs != nil {
		w.follow(fs, entries)
	}
	for _, e := range entries {
		again = e.refresh() || again
		e.warn(time.Now())
	}
	return again
}

// follow has the directories of all files watched, and no others. A directory that was removed and made again is
// watched again.
func (w *Watcher) follow(fs *fsnotify.Watcher, entries []*entry) {
	var want []string
	for _, e := range entries {
		for _, file := range []string{e.cert, e.key, e.ca} {
			if file == "" {
				continue
			}
			want = append(want, filepath.Dir(file))
			if real, err := filepath.EvalSymlinks(file); err == nil {
				want = append(want, filepath.Dir(real))
			}
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for _, dir := range fs.WatchList() {
		if !slices.Contains(want, dir) {
			_ = fs.Remove(dir) // it may be gone
		}
	}
	for _, dir := range want {
		_ = fs.Add(dir) // what cannot be watched is polled
	}
}
