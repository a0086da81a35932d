package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
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

// TestAcceptLimit: as many connections as the limit are served; that the next one has to wait
// is said, and it is served when one of them has ended.
func TestAcceptLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newScript()
		ctx, cancel := context.WithCancel(t.Context())
		var log bytes.Buffer // read when nobody writes
		served := 0          // likewise
		done := make(chan error, 1)
		go func() {
			done <- accept(ctx, ln, func(_ context.Context, c net.Conn) {
				served++
				io.Copy(io.Discard, c) // until the other end is closed
				c.Close()
			}, 2, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		var ends []net.Conn
		for i, want := range []int{1, 2, 2} {
			there, here := net.Pipe()
			ends = append(ends, there)
			ln.results <- here
			synctest.Wait()
			if served != want || (log.Len() > 0) != (i > 0) { // from the second on there is no room for another
				t.Errorf("%d of %d connections are served; log %q", served, i+1, &log)
			}
		}
		if !strings.Contains(log.String(), `msg="too many connections, new ones wait" limit=2`) {
			t.Errorf("log %q", &log)
		}
		ends[0].Close()
		synctest.Wait()
		if served != 3 {
			t.Errorf("%d connections are served when one of the first has ended", served)
		}
		for _, c := range ends[1:] {
			c.Close()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
