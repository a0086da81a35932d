package work

import (
	"context"
	"io"

	"github.com/receptor-go/receptor/internal/work/worktest"
)

// worktestLines is a program that writes what comes from lines until it is closed.
func worktestLines(lines <-chan string) worktest.Program {
	return func(ctx context.Context, _ []string, _ io.Reader, out io.Writer) int {
		for {
			select {
			case l, ok := <-lines:
				if !ok {
					return 0
				}
				io.WriteString(out, l)
			case <-ctx.Done():
				return 1
			}
		}
	}
}

// countingDial is l.dial, and calls count before.
func countingDial(l *link, count func()) Dialer {
	return func(ctx context.Context, node, tls string) (io.ReadWriteCloser, bool, error) {
		count()
		return l.dial(ctx, node, tls)
	}
}
