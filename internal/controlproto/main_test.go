package controlproto

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn is one end of a connection in memory, whose directions end separately.
type conn struct {
	*io.PipeReader
	*io.PipeWriter
}

func connPair() (a, b conn) {
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	return conn{ar, aw}, conn{br, bw}
}

func (c conn) CloseWrite() error { return c.PipeWriter.Close() }

func (c conn) Close() error {
	c.PipeReader.CloseWithError(io.ErrClosedPipe)
	return c.PipeWriter.Close()
}

// peer is the daemon's end, played by a test.
type peer struct {
	t *testing.T
	conn
	r *bufio.Reader
}

// play runs a daemon against the client's end that it returns. The test waits
// for the end of script; then the connection is closed.
func play(t *testing.T, script func(p *peer)) io.ReadWriteCloser {
	client, daemon := connPair()
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the script, whose reads end when the test does
		defer daemon.Close()
		script(&peer{t: t, conn: daemon, r: bufio.NewReader(daemon)})
	})
	t.Cleanup(func() { client.Close(); wg.Wait() })
	return client
}

// send writes lines, or what is no line.
func (p *peer) send(texts ...string) {
	for _, text := range texts {
		if _, err := io.WriteString(p.conn, text); err != nil {
			return
		}
	}
}

// want reads a line and compares it with a JSON object.
func (p *peer) want(object string) {
	p.t.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Errorf("want %s: %v", object, err)
		return
	}
	var got, want any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		p.t.Errorf("%q: %v", line, err)
	}
	if err := json.Unmarshal([]byte(object), &want); err != nil {
		p.t.Fatalf("%s: %v", object, err)
	}
	if !reflect.DeepEqual(got, want) {
		p.t.Errorf("got %s want %s", line, object)
	}
}

// wantBytes reads n raw bytes.
func (p *peer) wantBytes(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.r, got); err != nil || string(got) != want {
		p.t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// wantEnd reads to the end of the client's direction.
func (p *peer) wantEnd(want string) {
	p.t.Helper()
	got, err := io.ReadAll(p.r)
	if err != nil || string(got) != want {
		p.t.Errorf("got %q, %v, want %q and the end", got, err, want)
	}
}

const (
	greeting = "Receptor Control, node x\n"
	unknown  = "ERROR: Unknown command\n"
	hello    = `{"command":"hello","versions":[2]}`
	welcome  = `{"version":2,"node":"x","software":"1.5.0"}` + "\n"
)

// greet1 and greet2 begin a session.
func (p *peer) greet1() {
	p.send(greeting)
	p.want(hello)
	p.send(unknown)
}

func (p *peer) greet2() {
	p.send(greeting)
	p.want(hello)
	p.send(welcome)
}

// open opens a session with a scripted daemon.
func open(t *testing.T, script func(p *peer)) *Client {
	t.Helper()
	c, err := Open(t.Context(), play(t, script))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantError checks an error's code and text.
func wantError(t *testing.T, err error, code Code, text string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != code || e.Message != text {
		t.Errorf("error %v (%s), want %s (%s)", err, CodeOf(err), text, code)
	}
}

// failing is a payload that breaks off.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func breaksOff(text string, err error) io.Reader { return failing{strings.NewReader(text), err} }
