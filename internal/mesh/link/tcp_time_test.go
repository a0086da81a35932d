package link

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestWriteTimeout: a peer that takes nothing for 30 s ends the link; one that
// takes little does not (weakness of tcp.go: no write deadline).
func TestWriteTimeout(t *testing.T) {
	for _, batch := range []int{1, 3, 100} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := net.Pipe()
			l := newTCPLink(c)
			defer l.Close()
			frames := make([]*Frame, batch)
			for i := range frames {
				frames[i] = NewFrame(3000 / batch)
			}
			total := 0
			for _, f := range frames {
				total += len(f.buf)
			}
			synctest.Wait()
			go func() {
				for range 10 { // slow, but alive
					time.Sleep(25 * time.Second)
					io.ReadFull(peer, make([]byte, total/10))
				}
				io.ReadFull(peer, make([]byte, total%10))
			}()
			start := time.Now()
			if err := l.WriteFrames(frames); err != nil {
				t.Fatalf("slow peer, batch of %d: %v", batch, err)
			}
			if d := time.Since(start); d != 250*time.Second {
				t.Errorf("slow peer took %v", d)
			}
			time.Sleep(time.Hour)
			start = time.Now()
			if err := l.WriteFrames(frames); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("peer that does not read: %v", err)
			}
			if d := time.Since(start); d < 25*time.Second || d > 30*time.Second {
				t.Errorf("gave up after %v", d)
			}
		})
	}
}

// TestSlowHandshake: a hello may take longer than a second (weakness of TLS on
// TCP listeners), but not for ever.
func TestSlowHandshake(t *testing.T) {
	server, _ := testKeys(t)
	client := &tls.Config{InsecureSkipVerify: true} // a bubble's clock is before the certificate
	for _, test := range []struct {
		delay time.Duration
		ok    bool
	}{{0, true}, {1500 * time.Millisecond, true}, {14 * time.Second, true}, {16 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := net.Pipe()
			wire := newConn(c)
			l := newTLSLink(tls.Server(wire, server), wire)
			done := make(chan struct{})
			defer func() {
				l.Close()
				<-done
			}()
			go func() {
				defer close(done)
				time.Sleep(test.delay)
				d := tls.Client(peer, client)
				defer peer.Close()
				if _, err := d.Write([]byte{2, 0, 'o', 'k'}); err == nil {
					io.Copy(io.Discard, d)
				}
			}()
			f, err := l.ReadFrame()
			if (err == nil) != test.ok {
				t.Errorf("hello after %v: %v", test.delay, err)
			}
			if err == nil {
				f.Release()
			}
		})
	}
}

// TestCloseDoesNotWait: a link whose peer takes nothing is closed at once, TLS
// goodbye or not.
func TestCloseDoesNotWait(t *testing.T) {
	server, _ := testKeys(t)
	client := &tls.Config{InsecureSkipVerify: true} // a bubble's clock is before the certificate
	for _, busy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := net.Pipe()
			wire := newConn(c)
			l := newTLSLink(tls.Server(wire, server), wire)
			stop := make(chan struct{})
			go func() {
				d := tls.Client(peer, client)
				d.Write([]byte{1, 0, 'x'})
				d.Read(make([]byte, 1)) // the tickets, and the one frame
				<-stop
				peer.Close()
			}()
			f, err := l.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.WriteFrames([]*Frame{f}); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			if busy {
				go func() { ended <- l.WriteFrames([]*Frame{f}) }()
				synctest.Wait()
			}
			start := time.Now()
			l.Close()
			if d := time.Since(start); d > goodbyeTimeout {
				t.Errorf("busy %v: close took %v", busy, d)
			}
			if busy {
				if err := <-ended; !errors.Is(err, ErrClosed) {
					t.Errorf("write: %v", err)
				}
			}
			close(stop)
		})
	}
}

// flaky fails to accept twice, then gives out one connection.
type flaky struct {
	net.Listener
	tries int
	c     net.Conn
}

func (l *flaky) Accept() (net.Conn, error) {
	switch l.tries++; l.tries {
	case 1, 2:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	case 3:
		return l.c, nil
	}
	return nil, net.ErrClosed
}

// TestAcceptErrorsPass: too many open files do not end a listener (weakness of
// tcp.go).
func TestAcceptErrorsPass(t *testing.T) {
	c, peer := net.Pipe()
	defer c.Close()
	defer peer.Close()
	l := &tcpListener{&flaky{c: c}, nil}
	for i := range 4 {
		got, err := l.Accept()
		switch {
		case i < 2 && (err == nil || errors.Is(err, ErrClosed)):
			t.Errorf("try %d: %v", i, err)
		case i == 2 && (err != nil || got == nil):
			t.Errorf("try %d: %v", i, err)
		case i == 3 && !errors.Is(err, ErrClosed):
			t.Errorf("try %d: %v", i, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c, peer := net.Pipe()
		defer peer.Close()
		ws := &wsConns{&flaky{c: c}, make(chan struct{})}
		got, err := ws.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got.Close()
		if _, err := ws.Accept(); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}
