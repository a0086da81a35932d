package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a listener that does what it is told to.
type script struct {
	results chan any // net.Conn or error
	closed  chan struct{}
	once    sync.Once
}

func newScript() *script {
	return &script{results: make(chan any, 100), closed: make(chan struct{})}
}

func (s *script) Accept() (net.Conn, error) {
	select {
	case r := <-s.results:
		if err, ok := r.(error); ok {
			return nil, err
		}
		return r.(net.Conn), nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *script) Close() error   { s.once.Do(func() { close(s.closed) }); return nil }
func (s *script) Addr() net.Addr { return &net.TCPAddr{} }

// TestAcceptErrors: errors of accept do not end a proxy, and are not retried
// in a tight loop.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newScript()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		far, there := net.Pipe()
		go func() {
			done <- serve(ctx, ln, func(context.Context) (net.Conn, error) { return there, nil },
				slog.New(slog.DiscardHandler))
		}()
		for range 5 {
			ln.results <- errors.New("too many open files")
		}
		near, here := net.Pipe()
		ln.results <- here
		start := time.Now()
		go io.WriteString(near, "hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(far, b); err != nil || string(b) != "hello" {
			t.Errorf("got %q, %v", b, err)
		}
		if d, want := time.Since(start), (5+10+20+40+80)*time.Millisecond; d != want {
			t.Errorf("it took %v, want %v", d, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(b); err == nil {
				t.Error("a connection was left open")
			}
		}
	})
}

// TestDialLog: a failure that repeats is logged when it begins, changes and ends.
func TestDialLog(t *testing.T) {
	var got []string
	r := dials(slog.New(&recorder{&got}))
	first, second := errors.New("refused"), errors.New("no route")
	for _, err := range []error{nil, nil, first, first, first, second, second, nil, nil, first} {
		r.report(err)
	}
	want := []string{"WARN refused", "WARN no route", "INFO ", "WARN refused"}
	if len(got) != len(want) {
		t.Fatalf("log %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("log %q, want %q", got, want)
		}
	}
}

// TestPacketLog: whoever sends packets cannot fill the log.
func TestPacketLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		tooLong := errors.New("too long")
		r := sending(slog.New(&recorder{&got}))
		for i := range 1000 {
			r.report(nil)
			r.report(tooLong)
			if i%100 == 0 {
				time.Sleep(packetReports / 4)
			}
		}
		want := []string{"WARN too long", "INFO ", "WARN too long"}
		if !slices.Equal(got, want) {
			t.Errorf("log %q, want %q", got, want)
		}
	})
}

type recorder struct{ lines *[]string }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }
func (r *recorder) Handle(_ context.Context, rec slog.Record) error {
	text := ""
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			text = a.Value.String()
		}
		return true
	})
	*r.lines = append(*r.lines, rec.Level.String()+" "+text)
	return nil
}
