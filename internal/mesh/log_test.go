package mesh_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// logCounter counts the lines with one message.
type logCounter struct {
	message string
	count   *atomic.Int64
}

func countLog(message string, count *atomic.Int64) *slog.Logger {
	return slog.New(logCounter{message, count})
}

func (c logCounter) Enabled(context.Context, slog.Level) bool { return true }
func (c logCounter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c logCounter) WithGroup(string) slog.Handler            { return c }
func (c logCounter) Handle(_ context.Context, r slog.Record) error {
	if r.Message == c.message {
		c.count.Add(1)
	}
	return nil
}

// logLines keeps all lines.
type logLines struct {
	mu    sync.Mutex
	lines []slog.Record
}

func (l *logLines) Enabled(context.Context, slog.Level) bool { return true }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logLines) WithGroup(string) slog.Handler            { return l }
func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r)
	return nil
}

// with returns the lines with one message, each with its attributes.
func (l *logLines) with(message string) []map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]string
	for _, r := range l.lines {
		if r.Message != message {
			continue
		}
		attrs := map[string]string{"level": r.Level.String()}
		r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
		found = append(found, attrs)
	}
	return found
}
