package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// In version 1 a payload that breaks off looks like one that ended: the unit
// must not be left to run with a part of it.
func TestPayloadBrokenOff(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		released := make(chan string, 1)
		socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
			greet1(conn, r, true)
			r.ReadString('\n')
			io.WriteString(conn, "Work unit created with ID abcdefgh. Send stdin data and EOF.\n")
			io.ReadFull(r, make([]byte, 5))
			if interrupted {
				cancel()
			}
			io.Copy(io.Discard, r)
		}, func(conn net.Conn, r *bufio.Reader) {
			greet1(conn, r, false)
			line, _ := r.ReadString('\n')
			released <- line
			io.WriteString(conn, `{"released":"abcdefgh"}`+"\n")
		})
		stdin, writer := io.Pipe()
		go func() {
			writer.Write([]byte("begin"))
			if !interrupted {
				writer.CloseWithError(errors.New("disk on fire"))
			}
		}()
		c := newCall(stdin, nil)
		code := run(ctx, c.env, []string{"--socket", socket, "work", "submit", "cat", "-p", "-"})
		cancel()
		stdin.Close()
		want := exitSubmit
		if interrupted {
			want = exitInterrupted
		} else if !strings.HasPrefix(c.err.String(), "ERROR: read payload: disk on fire\n") &&
			!strings.Contains(c.err.String(), "\nERROR: read payload: disk on fire\n") {
			t.Errorf("stderr %q", c.err.String())
		}
		if code != want {
			t.Errorf("interrupted %v: exit code %d, want %d", interrupted, code, want)
		}
		if got := requestKey([]byte(<-released)); !strings.Contains(got, `"release"`) || !strings.Contains(got, "abcdefgh") {
			t.Errorf("released by %s", got)
		}
	}
}

// A payload that was sent whole is no reason to delete the unit, if the answer
// to it was not waited for.
func TestInterruptedBehindPayload(t *testing.T) {
	for version, created := range map[int]string{
		1: "Work unit created with ID abcdefgh. Send stdin data and EOF.\n",
		2: `{"id":1,"event":"unit","data":{"unitid":"abcdefgh","received":0}}` + "\n",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
			if version == 1 {
				greet1(conn, r, true)
			} else {
				greet2(conn, r)
			}
			r.ReadString('\n')
			io.WriteString(conn, created)
			if version == 2 {
				r.ReadString('\n') // the end of the payload
			} else {
				io.Copy(io.Discard, r)
			}
			cancel()
			io.Copy(io.Discard, r)
		}, func(net.Conn, *bufio.Reader) { t.Errorf("version %d: another connection", version) })
		c := newCall(nil, nil)
		code := run(ctx, c.env, []string{"--socket", socket, "work", "submit", "cat", "-n"})
		if got := c.err.String(); code != exitInterrupted || !strings.Contains(got, "it is unit abcdefgh\n") {
			t.Errorf("version %d: exit code %d, %q", version, code, got)
		}
	}
}

// A submission that is refused is told at once, and stdin is left alone.
func TestRefusedBeforeStdin(t *testing.T) {
	for _, version := range []int{controlproto.V1, controlproto.V2} {
		_, socket := fakeFor(t, "cli-submit-unknown-type", version)
		stdin := &untouched{t: t}
		c := newCall(stdin, nil)
		if code := run(t.Context(), c.env, []string{"--socket", socket, "work", "submit", "nosuchtype", "-p", "-"}); code != exitSubmit {
			t.Errorf("version %d: exit code %d: %s", version, code, &c.err)
		}
	}
}

type untouched struct{ t *testing.T }

func (u *untouched) Read([]byte) (int, error) {
	u.t.Error("stdin was read")
	return 0, io.EOF
}

// In version 2 a refusal while stdin waits for somebody to type ends the call.
func TestRefusedWhileStdinWaits(t *testing.T) {
	socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
		greet2(conn, r)
		r.ReadString('\n')
		io.WriteString(conn, `{"id":1,"event":"unit","data":{"unitid":"abcdefgh","received":0}}`+"\n")
		r.ReadString('\n')
		io.ReadFull(r, make([]byte, 5))
		io.WriteString(conn, `{"id":1,"error":{"code":"internal","message":"no space left on device"}}`+"\n")
		io.Copy(io.Discard, r)
	})
	stdin, writer := io.Pipe()
	defer stdin.Close()
	go writer.Write([]byte("begin"))
	c := newCall(stdin, nil)
	if code := run(t.Context(), c.env, []string{"--socket", socket, "work", "submit", "cat", "-p", "-"}); code != exitSubmit {
		t.Errorf("exit code %d", code)
	}
	if got := c.err.String(); !strings.HasPrefix(got, "ERROR: Remote error: no space left on device\n") {
		t.Errorf("stderr %q", got)
	}
}
