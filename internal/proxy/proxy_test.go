package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dial(t testing.TB, to net.Addr) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// target is a server that handles each connection with f, closes it, and ends
// with the test.
func target(t testing.TB, f func(c *net.TCPConn)) net.Addr {
	t.Helper()
	ln := listenTCP(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				f(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr()
}

// running starts a Serve function; the result cancels it, waits, and gives its error.
func running(t testing.TB, f func(ctx context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	once := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("it did not end")
		}
	})
	t.Cleanup(func() {
		if err := once(); err != nil {
			t.Error(err)
		}
	})
	return once
}

// through starts a way out on a TCP listener, which stands for the mesh.
func through(t testing.TB, to net.Addr) net.Addr {
	t.Helper()
	ln := listenTCP(t)
	running(t, func(ctx context.Context) error { return serve(ctx, ln, toTCP(to.String(), nil), named(nil)) })
	return ln.Addr()
}

func echo(c *net.TCPConn) {
	io.Copy(c, c)
}

// afterwards answers when the request has ended: it needs the half close.
func afterwards(c *net.TCPConn) {
	b, err := io.ReadAll(c)
	if err == nil {
		c.Write(append([]byte("got "), b...))
	}
}

// TestHalfClose: the end of a request passes, and the answer comes back
// (weakness: half close is not passed on to TCP).
func TestHalfClose(t *testing.T) {
	c := dial(t, through(t, target(t, afterwards)))
	io.WriteString(c, "request")
	c.CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil || string(b) != "got request" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestHalfCloseOfAnswer: the server ends its direction first and goes on reading.
func TestHalfCloseOfAnswer(t *testing.T) {
	heard := make(chan string, 1)
	c := dial(t, through(t, target(t, func(c *net.TCPConn) {
		io.WriteString(c, "welcome")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})))
	b, err := io.ReadAll(c)
	if err != nil || string(b) != "welcome" {
		t.Errorf("got %q, %v", b, err)
	}
	io.WriteString(c, "thanks")
	c.Close()
	if s := <-heard; s != "thanks" {
		t.Errorf("the server heard %q", s)
	}
}

// TestReset: a connection that breaks is not passed on as one that ended.
func TestReset(t *testing.T) {
	result := make(chan error, 1)
	c := dial(t, through(t, target(t, func(c *net.TCPConn) {
		_, err := io.ReadAll(c)
		result <- err
	})))
	io.WriteString(c, "half of")
	c.SetLinger(0)
	c.Close()
	if err := <-result; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw %v", err)
	}
}

// TestAnswerToUnreadRequest: a server may answer and close without reading it all.
func TestAnswerToUnreadRequest(t *testing.T) {
	c := dial(t, through(t, target(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 4))
		io.WriteString(c, "no")
		c.CloseWrite()
		io.Copy(io.Discard, c)
	})))
	go io.Copy(c, io.LimitReader(zeros{}, 4<<20))
	b := make([]byte, 2)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "no" {
		t.Errorf("got %q, %v", b, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestDialFails: the client is not left hanging (weakness of tcp_proxy.go).
func TestDialFails(t *testing.T) {
	gone := listenTCP(t)
	gone.Close()
	wantNothing(t, through(t, gone.Addr()))
}

// wantNothing connects to where the other side cannot be dialled: that may be
// known before the connection is complete.
func wantNothing(t *testing.T, at net.Addr) {
	t.Helper()
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

// TestSlowDial: a dial that takes its time delays no other client (weakness of
// tcp_proxy.go), and ends with the context.
func TestSlowDial(t *testing.T) {
	to := target(t, echo)
	started := make(chan struct{}, 10)
	first := true
	var mu sync.Mutex
	ln := listenTCP(t)
	stop := running(t, func(ctx context.Context) error {
		return serve(ctx, ln, func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			slow := first
			first = false
			mu.Unlock()
			if slow {
				started <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return toTCP(to.String(), nil)(ctx)
		}, slog.New(slog.DiscardHandler))
	})
	stuck := dial(t, ln.Addr())
	<-started
	c := dial(t, ln.Addr())
	io.WriteString(c, "ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "ping" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]net.Conn{"dialling": stuck, "joined": c} {
		if _, err := c.Read(b); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s connection after the end: %v", name, err)
		}
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still there: %v", err)
	}
}

// TestListenerClosed: a listener that somebody else closes is an error, but
// what was joined lives to its end.
func TestListenerClosed(t *testing.T) {
	to := target(t, echo)
	ln := listenTCP(t)
	done := make(chan error, 1)
	go func() { done <- serve(t.Context(), ln, toTCP(to.String(), nil), named(nil)) }()
	c := dial(t, ln.Addr())
	b := make([]byte, 2)
	for range 2 {
		io.WriteString(c, "hi")
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		ln.Close()
	}
	c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// eventually waits until a condition gives no error.
func eventually(t *testing.T, ok func() error) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(patience); ; <-poll.C {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// unless is an error, unless ok.
func unless(ok bool, text string) error {
	if ok {
		return nil
	}
	return errors.New(text)
}
