//go:build !linux

package supervise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// streamLook is the time between two looks for more input.
const streamLook = 50 * time.Millisecond

// stream feeds one streamed command; nil is none.
type stream struct {
	in  *os.File // "stdin"
	out *os.File // write end of the command's pipe
}

// close ends the feed. It may be called while run is under way, and more than once.
func (s *stream) close() {
	if s != nil {
		s.in.Close()
		s.out.Close()
	}
}

// run feeds until all has been fed, the command closes its end, or gone is closed, and tells how that ended.
func (s *stream) run(dir string, gone <-chan struct{}) fed {
	defer s.close()
	var pos int64
	broken := func(err error) fed {
		select {
		case <-gone: // and the files were closed
			return fed{Bytes: pos, How: fedClosed}
		default:
			return fed{Bytes: pos, How: fedBroken, Cause: clip(err.Error())}
		}
	}
	buf := make([]byte, 64<<10)
	for {
		size, err := readEnd(dir) // before the file, which is complete when this is there
		known := err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return broken(err)
		}
		want := int64(len(buf))
		if known {
			if want = min(want, size-pos); want < 0 {
				return broken(fmt.Errorf("%s says %d bytes, and %d were there before", stdinEndName, size, pos))
			}
			if want == 0 {
				return fed{Bytes: pos, How: fedAll}
			}
		}
		n, err := s.in.ReadAt(buf[:want], pos)
		if n > 0 {
			m, err := s.out.Write(buf[:n])
			pos += int64(m)
			if err != nil {
				return fed{Bytes: pos, How: fedClosed} // nobody reads
			}
			continue
		}
		switch {
		case err != nil && err != io.EOF:
			return broken(err)
		case known:
			return broken(fmt.Errorf("%s has %d bytes, %s says %d", stdinName, pos, stdinEndName, size))
		}
		t := time.NewTimer(streamLook)
		select {
		case <-t.C:
		case <-gone:
			t.Stop()
			return fed{Bytes: pos, How: fedClosed}
		}
	}
}
