package work

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

const (
	// syncQueue is how many submissions may wait for a sync before the next
	// ones wait to be let in.
	syncQueue = 1024
	// syncAll is from how many units on one sync of the whole file system is
	// cheaper than syncing the files of each: on a disk that takes 0.3 ms for a
	// file, 16 units took 11 ms together and 24 to 40 ms one by one.
	syncAll = 8
)

// syncer makes files survive a power cut. Submissions that come while a sync is
// under way share the next one.
type syncer struct {
	store *store
	queue chan syncRequest
	ended chan struct{} // closed when run has returned
}

type syncRequest struct {
	id    string   // unit
	files []string // of the unit; its directory and the one above are always synced
	done  chan<- error
}

func newSyncer(s *store) *syncer {
	return &syncer{store: s, queue: make(chan syncRequest, syncQueue), ended: make(chan struct{})}
}

// unit syncs files of a unit and the entries that lead to them. It waits until
// that is done, or ctx ends.
func (y *syncer) unit(ctx context.Context, id string, files ...string) error {
	done := make(chan error, 1)
	select {
	case y.queue <- syncRequest{id, files, done}:
	case <-y.ended:
		return errOver
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-y.ended:
		return errOver
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run serves the queue until ctx ends.
func (y *syncer) run(ctx context.Context) {
	defer close(y.ended)
	var batch []syncRequest
	for {
		select {
		case r := <-y.queue:
			batch = append(batch[:0], r)
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case r := <-y.queue:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		y.commit(batch)
	}
}

// commit syncs a batch and answers each of its requests.
func (y *syncer) commit(batch []syncRequest) {
	answer := func(r syncRequest, err error) {
		if r.done != nil {
			r.done <- err
		}
	}
	if len(batch) >= syncAll {
		err := syncFileSystem(y.store.dir)
		if err == nil {
			for _, r := range batch {
				answer(r, y.synced(r))
			}
			return
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			for _, r := range batch {
				answer(r, err)
			}
			return
		}
	}
	errs := make([]error, len(batch))
	for i, r := range batch {
		for _, f := range r.files {
			errs[i] = errors.Join(errs[i], y.file(y.store.path(r.id, f)))
		}
		errs[i] = errors.Join(errs[i], y.file(y.store.path(r.id)))
	}
	above := y.file(y.store.dir)
	for i, r := range batch {
		answer(r, errors.Join(errs[i], above))
	}
}

// file syncs one file or directory. One that is gone was released meanwhile.
func (y *syncer) file(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syncFile(f); err != nil {
		return err
	}
	return y.store.step("sync", path)
}

// synced tells tests what a sync of the whole file system has covered.
func (y *syncer) synced(r syncRequest) error {
	if y.store.did == nil {
		return nil
	}
	for _, f := range append(r.files, "") {
		if err := y.store.step("sync", y.store.path(r.id, f)); err != nil {
			return err
		}
	}
	return y.store.step("sync", y.store.dir)
}
