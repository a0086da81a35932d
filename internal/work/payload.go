package work

import (
	"context"
	"fmt"
	"io"
	"os"
)

// growing reads a streamed payload from stdin while it grows; io.EOF comes when
// it is complete. Read waits for more until ctx ends. It is for one goroutine.
type growing struct {
	ctx  context.Context
	u    *unit
	file *os.File
	pos  int64
}

func (g *growing) Read(p []byte) (int, error) {
	for {
		g.u.mu.Lock()
		have, ended, removed, news := g.u.payloadSize, g.u.payloadEnded, g.u.removed, g.u.newsLocked()
		g.u.mu.Unlock()
		switch {
		case removed:
			return 0, errInterrupted
		case g.ctx.Err() != nil:
			return 0, context.Cause(g.ctx)
		case g.pos < have:
			n, err := g.file.ReadAt(p[:min(int64(len(p)), have-g.pos)], g.pos)
			g.pos += int64(n)
			if n > 0 {
				err = nil
			} else if err == io.EOF {
				err = fmt.Errorf("%s is shorter than what was stored: %w", g.file.Name(), io.ErrUnexpectedEOF)
			}
			return n, err
		case ended:
			return 0, io.EOF
		}
		select {
		case <-news:
		case <-g.ctx.Done():
		}
	}
}

// Seek goes to a position from the start; it may be beyond what is here yet.
func (g *growing) Seek(offset int64, _ int) (int64, error) {
	g.pos = offset
	return offset, nil
}
