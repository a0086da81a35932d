package work

import (
	"os"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// mirror is the local copy of a remote unit's output, or error output. It is
// only appended to, so its size is where to go on after a cut.
type mirror struct {
	path string
	grew func(size int64)
	file *os.File // nil until the first Write, of error output
	size int64
	from int64 // size when the mirror was opened
}

// openMirror opens the mirror of a unit's output, made if needed.
func (m *Manager) openMirror(u *unit) (*mirror, error) {
	w := &mirror{path: m.store.path(u.id, fileStdout), grew: u.grew}
	if err := w.open(); err != nil {
		return nil, err
	}
	w.grew(w.size)
	return w, nil
}

// errMirror is the mirror of a unit's error output. Its file is made when it is
// known that there is one.
func (m *Manager) errMirror(u *unit) *mirror {
	size := m.store.size(u.id, fileStderr)
	return &mirror{path: m.store.path(u.id, fileStderr), grew: u.grewErr, size: size, from: size}
}

// open opens the file unless it is.
func (w *mirror) open() error {
	if w.file != nil {
		return nil
	}
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return &storeError{what: "output", opening: true, err: err}
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return &storeError{what: "output", opening: true, err: err}
	}
	w.file, w.size, w.from = f, info.Size(), info.Size()
	return nil
}

// Write appends output and wakes the unit's followers. Its errors are
// *storeError.
func (w *mirror) Write(p []byte) (int, error) {
	if err := w.open(); err != nil {
		return 0, err
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	if n > 0 {
		w.grew(w.size)
	}
	if err != nil {
		return n, &storeError{what: "output", err: err}
	}
	return n, nil
}

func (w *mirror) close() {
	if w.file != nil {
		w.file.Close()
	}
}

// grewErr tells how much error output of a remote unit is here.
func (u *unit) grewErr(size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l := u.live; l != nil && size > u.errSize {
		l.stuck.output = nil
	}
	u.errSize = size
	if !u.rec.State.Ended() && (u.rec.StderrSize == nil || *u.rec.StderrSize < size) {
		u.rec.StderrSize = &size
	}
	u.wakeLocked()
}

// mirroredLocked tells that all output of a remote unit that is known of is here.
func (u *unit) mirroredLocked() bool {
	return u.size >= u.rec.StdoutSize && (u.rec.StderrSize == nil || u.errSize >= *u.rec.StderrSize)
}

// apartLocked notes that the other node keeps the error output apart.
func (u *unit) apartLocked(st controlproto.UnitStatus) {
	if st.StderrSize != nil && u.rec.StderrSize == nil && !u.rec.State.Ended() {
		size := u.errSize
		u.rec.StderrSize = &size
		u.touchLocked()
	}
}
