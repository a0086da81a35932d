package work

import (
	"fmt"
	"os"
)

// mirror is the local copy of a remote unit's output. It is only appended to, so
// its size is where to go on after a cut.
type mirror struct {
	u    *unit
	file *os.File
	size int64
}

// openMirror opens the mirror of a unit, made if needed.
func (m *Manager) openMirror(u *unit) (*mirror, error) {
	f, err := os.OpenFile(m.store.path(u.id, fileStdout), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the mirror of the output: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open the mirror of the output: %w", err)
	}
	w := &mirror{u: u, file: f, size: info.Size()}
	u.grew(w.size)
	return w, nil
}

// Write appends output and wakes the unit's followers.
func (w *mirror) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	if n > 0 {
		w.u.grew(w.size)
	}
	if err != nil {
		return n, fmt.Errorf("write the mirror of the output: %w", err)
	}
	return n, nil
}

func (w *mirror) close() { w.file.Close() }
