package work

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/work/supervise"
)

// The names of a unit's files; what each holds is in the package comment.
const (
	fileStatus  = "status"
	fileLock    = "status.lock"
	fileStdin   = "stdin"
	fileStdout  = "stdout"
	fileReceipt = "receipt"
	fileCancel  = "cancel"
	fileRelease = "release"
	fileProcess = "process" // package supervise writes it
	fileStderr  = "stderr"
	fileEnd     = "stdin.end"
	filePython  = "python"
	fileOutcome = "outcome" // runner.py writes it
)

// releasedPrefix begins the name of a directory that is being deleted.
const releasedPrefix = ".released."

// lockPatience is how long a foreign holder of status.lock is waited for; after
// that the status is replaced all the same, as renaming tears no reader.
const lockPatience = 2 * time.Second

// store is the directory of a node's units. Its methods may be called side by
// side for different units; for one unit, unit.saveMu orders them.
type store struct {
	dir  string
	log  *slog.Logger
	lock io.Closer
	sync *syncer

	// did, if set, is told of every step that changes the disk, and may stop
	// the store there with an error. Tests only.
	did func(op, path string) error
}

// openStore makes the directory if needed and takes it for this process.
func openStore(dir string, log *slog.Logger) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of units: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("another daemon uses %s; give each node its own datadir or id: %w", dir, err)
	}
	s := &store{dir: dir, log: log, lock: lock}
	s.sync = newSyncer(s)
	return s, nil
}

func (s *store) close() error { return s.lock.Close() }

func (s *store) path(id string, file ...string) string {
	return filepath.Join(append([]string{s.dir, id}, file...)...)
}

func (s *store) step(op, path string) error {
	if s.did == nil {
		return nil
	}
	return s.did(op, path)
}

// create makes the directory of a new unit, with its receipt if it needs one
// already. fs.ErrExist tells that the id is taken. A unit that cannot be made
// whole leaves nothing behind.
func (s *store) create(id string, early *receipt) error {
	dir := s.path(id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	err := s.step("mkdir", dir)
	if err == nil && early != nil {
		err = s.saveReceipt(id, *early)
	}
	if err != nil && !errors.Is(err, errStopped) {
		os.RemoveAll(dir)
	}
	return err
}

// errStopped is what tests stop the store with.
var errStopped = errors.New("stopped")

// save replaces the status file, under the lock that the original takes. It is
// not synced: see the crash rules.
func (s *store) save(id string, r record) error {
	line, err := r.appendStatus(nil)
	if err != nil {
		return err
	}
	unlock := lockFile(s.path(id, fileLock), lockPatience)
	defer unlock()
	return s.replace(s.path(id, fileStatus), line)
}

// replace writes a file beside path and puts it in the place of path. What was
// there becomes the file beside it, for the next time: a file system without
// a journal takes ever longer to make files where many were just deleted.
func (s *store) replace(path string, b []byte) error {
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := s.write(beside, b); err != nil {
		return err
	}
	if err := exchange(beside, path); err != nil {
		return err
	}
	return s.step("rename", path)
}

// write makes a file of b.
func (s *store) write(path string, b []byte) error {
	if err := plain(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(path); err != nil { // damage, which might be waited for
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := s.step("create", path); err != nil {
		f.Close()
		return err
	}
	if len(b) > 0 {
		if _, err = f.Write(b); err == nil {
			err = s.step("write", path)
		}
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// read returns a file of a unit, refusing more than max bytes.
func (s *store) read(id, file string, max int64) ([]byte, error) {
	f, err := s.open(id, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s is longer than %d bytes", f.Name(), max)
	}
	return b, err
}

// open opens a file of a unit for reading. What is not a plain file is damage:
// reading it might wait for ever, or show what is elsewhere.
func (s *store) open(id, file string) (*os.File, error) {
	path := s.path(id, file)
	if err := plain(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// plain tells why path is not a plain file, if so.
func plain(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a plain file", path)
	}
	return err
}

// size is the size of a unit's file, 0 if there is none.
func (s *store) size(id, file string) int64 {
	info, err := os.Lstat(s.path(id, file))
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// payloadEnd reads the final size of a streamed payload. fs.ErrNotExist: it has
// not ended; another error: what is on disk cannot be all of it.
func (s *store) payloadEnd(id string) (int64, error) {
	b, err := s.read(id, fileEnd, 32)
	if err != nil {
		return 0, err
	}
	size, err := supervise.ParseEnd(b)
	if have := s.size(id, fileStdin); err == nil && have < size {
		err = fmt.Errorf("%d of its %d bytes are there", have, size)
	}
	return size, err
}

// mark makes an empty file that tells something by being there.
func (s *store) mark(id, file string) error { return s.write(s.path(id, file), nil) }

func (s *store) marked(id, file string) bool {
	_, err := os.Stat(s.path(id, file))
	return err == nil
}

// remove deletes a unit. From the first step on, a later load finds no unit of
// that id; sweep finishes what a crash left over.
func (s *store) remove(id string) error {
	grave := filepath.Join(s.dir, releasedPrefix+id)
	os.RemoveAll(grave) // of an earlier unit with this id
	if err := os.Rename(s.path(id), grave); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := s.step("rename", grave); err != nil {
		return err
	}
	if err := os.RemoveAll(grave); err != nil {
		// The unit is gone all the same; the next start tries again.
		s.log.Warn("a released unit could not be deleted whole", "unit", id, "err", err)
	}
	return s.step("remove", grave)
}

// ids lists the directories that are units, and finishes interrupted releases.
func (s *store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of units: %w", err)
	}
	var ids []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, releasedPrefix):
			if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
				s.log.Warn("a released unit could not be deleted", "unit", name, "err", err)
			}
		case strings.HasPrefix(name, "."):
		case !e.IsDir() || !validID(name):
			s.log.Warn("not a unit, left alone", "unit", filepath.Join(s.dir, name))
		default:
			ids = append(ids, name)
		}
	}
	return ids, nil
}
