package work

import (
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher tells when files grow. It takes one inotify instance for the whole
// Manager, from the first follower of a running unit on, and one watch for each
// file that is followed.
type watcher struct {
	m *Manager

	mu     sync.Mutex
	fs     *fsnotify.Watcher                 // nil: not started, or not to be had
	feeds  map[string]map[chan struct{}]bool // by path; guarded by mu
	closed bool                              // guarded by mu
}

func newWatcher(m *Manager) *watcher {
	return &watcher{m: m, feeds: make(map[string]map[chan struct{}]bool)}
}

// add returns a channel that gets a value when the file has changed since the
// last one; nil if that cannot be had. remove ends it.
func (w *watcher) add(path string) (grown <-chan struct{}, remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.startLocked() {
		return nil, func() {}
	}
	if len(w.feeds[path]) == 0 {
		if err := w.fs.Add(path); err != nil {
			w.m.c.Logger.Debug("no inotify watch for a unit's output", "err", err)
			return nil, func() {}
		}
		w.feeds[path] = make(map[chan struct{}]bool)
	}
	feed := make(chan struct{}, 1)
	w.feeds[path][feed] = true
	return feed, func() { w.remove(path, feed) }
}

func (w *watcher) startLocked() bool {
	if w.fs != nil || w.closed {
		return !w.closed
	}
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		w.m.c.Logger.Warn("no inotify instance, output is polled", "err", err)
		return false
	}
	if !w.m.goes(func() { w.run(fs) }) { // ends when fs is closed
		fs.Close()
		return false
	}
	w.fs = fs
	return true
}

func (w *watcher) run(fs *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-fs.Events:
			if !ok {
				return
			}
			w.tell(e.Name)
		case _, ok := <-fs.Errors: // events were lost: everyone looks
			if !ok {
				return
			}
			w.tell("")
		}
	}
}

// tell wakes the followers of a file, or with "" all.
func (w *watcher) tell(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if path == "" {
		for _, feeds := range w.feeds {
			wake(feeds)
		}
		return
	}
	wake(w.feeds[path])
}

func wake(feeds map[chan struct{}]bool) {
	for feed := range feeds {
		poke(feed)
	}
}

func (w *watcher) remove(path string, feed chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.feeds[path], feed)
	if len(w.feeds[path]) == 0 {
		delete(w.feeds, path)
		if w.fs != nil {
			w.fs.Remove(path) // fails if the file is gone, and the watch with it
		}
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.fs != nil {
		w.fs.Close()
		w.fs = nil
	}
}
