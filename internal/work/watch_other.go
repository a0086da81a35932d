//go:build !linux

package work

// watcher tells when files grow; here nobody does, and followers poll.
type watcher struct{}

func newWatcher(*Manager) *watcher { return &watcher{} }

func (*watcher) add(string) (grown <-chan struct{}, remove func()) { return nil, func() {} }

func (*watcher) close() {}
