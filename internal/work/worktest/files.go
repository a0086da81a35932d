package worktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/work/supervise"
)

// streamLook is the time between two looks for more of a streamed input.
const streamLook = 2 * time.Millisecond

// files are the standard files of a program. As an io.Writer they are its
// standard output.
type files struct {
	ctx                context.Context
	job                supervise.Job
	stdin, out, errOut *os.File
	cancel             context.CancelFunc

	mu      sync.Mutex
	written int64
	trouble string
}

// Stderr gives the error output of a Program that got stdout: the same, unless
// the job asks for a file of its own.
func Stderr(stdout io.Writer) io.Writer {
	if f, ok := stdout.(*files); ok {
		return errOutput{f}
	}
	return stdout
}

func openFiles(ctx context.Context, j supervise.Job) (*files, error) {
	f := &files{ctx: ctx, job: j}
	var err error
	if f.stdin, err = os.Open(filepath.Join(j.UnitDir, "stdin")); err != nil {
		return nil, err
	}
	const flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if f.out, err = os.OpenFile(filepath.Join(j.UnitDir, "stdout"), flags, 0o600); err != nil {
		f.close()
		return nil, err
	}
	f.errOut = f.out
	if j.Stderr {
		if f.errOut, err = os.OpenFile(filepath.Join(j.UnitDir, "stderr"), flags, 0o600); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

func (f *files) close() {
	for _, g := range []*os.File{f.stdin, f.out, f.errOut} {
		g.Close() // nil and twice are allowed
	}
}

// Write is the standard output.
func (f *files) Write(p []byte) (int, error) { return f.write(f.out, p) }

type errOutput struct{ f *files }

func (e errOutput) Write(p []byte) (int, error) { return e.f.write(e.f.errOut, p) }

func (f *files) write(to io.Writer, p []byte) (int, error) {
	n, err := to.Write(p)
	f.mu.Lock()
	f.written += int64(n)
	over := f.job.MaxOutput > 0 && f.written > f.job.MaxOutput
	f.mu.Unlock()
	if over {
		f.stop(fmt.Sprintf("stopped: its output became larger than %d bytes (maxoutput)", f.job.MaxOutput))
	}
	return n, err
}

// stop ends the program; the first trouble counts.
func (f *files) stop(trouble string) {
	f.broken(trouble)
	f.cancel()
}

func (f *files) broken(trouble string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trouble == "" {
		f.trouble = trouble
	}
}

func (f *files) troubled() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// input is the standard input; a streamed one ends with stdin.end, or with the program.
func (f *files) input() io.Reader {
	if !f.job.Stream {
		return f.stdin
	}
	return &streamed{f: f}
}

type streamed struct {
	f   *files
	pos int64
}

func (s *streamed) Read(p []byte) (int, error) {
	for {
		size, known := int64(0), false
		b, err := os.ReadFile(filepath.Join(s.f.job.UnitDir, "stdin.end")) // before the file, which is complete when this is there
		if err == nil {
			size, err = strconv.ParseInt(strings.TrimSuffix(string(b), "\n"), 10, 64)
			known = err == nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.f.broken("its input broke off: " + err.Error())
			return 0, io.EOF
		}
		if known {
			p = p[:max(min(int64(len(p)), size-s.pos), 0)]
		}
		n, err := s.f.stdin.Read(p)
		s.pos += int64(n)
		switch {
		case n > 0:
			return n, nil
		case err != nil && err != io.EOF:
			return 0, err
		case known:
			if s.pos != size {
				s.f.broken(fmt.Sprintf("its input broke off: it got %d of %d bytes", s.pos, size))
			}
			return 0, io.EOF
		}
		select {
		case <-time.After(streamLook):
		case <-s.f.ctx.Done():
			return 0, io.EOF
		}
	}
}
