package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const unitEvent = `{"id":1,"event":"unit","data":{"unitid":"abcdefgh","received":0}}` + "\n"

// Output is shown while input still flows, error output apart, and the end of the
// unit ends the call though stdin goes on.
func TestSubmitStreamFollowed(t *testing.T) {
	for _, failed := range []bool{false, true} {
		result, code := `{"State":2,"StateName":"Succeeded"}`, 0
		if failed {
			result, code = `{"State":3,"StateName":"Failed","Detail":"exit status 3"}`, exitFailure
		}
		shown, ended := make(chan struct{}), make(chan struct{})
		socket := serveAll(t, func(conn net.Conn, r *bufio.Reader) {
			greet2(conn, r)
			if line, _ := r.ReadString('\n'); !strings.Contains(line, `"stream":true`) || !strings.Contains(line, `"stderr":"separate"`) {
				t.Errorf("submit %s", line)
			}
			io.WriteString(conn, unitEvent)
			r.ReadString('\n')
			io.ReadFull(r, make([]byte, 5))
			close(shown)
			<-ended
			io.WriteString(conn, `{"id":1,"result":{"result":"Job Started","unitid":"abcdefgh"}}`+"\n")
			line, _ := r.ReadString('\n') // --rm
			if !strings.Contains(line, `"release"`) {
				t.Errorf("instead of a release: %s", line)
			}
			io.WriteString(conn, `{"id":2,"result":{"released":"abcdefgh"}}`+"\n")
		}, func(conn net.Conn, r *bufio.Reader) {
			greet2(conn, r)
			r.ReadString('\n')
			<-shown
			io.WriteString(conn, `{"id":1,"bytes":3}`+"\nout"+`{"id":1,"bytes":3,"stream":"stderr"}`+"\nerr"+`{"id":1,"result":`+result+"}\n")
			close(ended)
			io.Copy(io.Discard, r)
		})
		stdin, writer := io.Pipe()
		go writer.Write([]byte("begin")) // and then nothing
		c := newCall(stdin, nil)
		got := run(t.Context(), c.env, []string{"--socket", socket, "work", "submit", "cat", "-p", "-", "--stream", "--follow", "--rm", "--stderr=separate"})
		stdin.Close()
		if got != code || c.out.String() != "out(abcdefgh, released)\n" {
			t.Errorf("failed %v: exit code %d, stdout %q", failed, got, &c.out)
		}
		want := "Unit ID: abcdefgh\nerr"
		if failed {
			want += "ERROR: Remote unit failed: exit status 3\n\n"
		}
		if c.err.String() != want {
			t.Errorf("failed %v: stderr %q, want %q", failed, &c.err, want)
		}
	}
}

// serveAll is serveOnce for connections that are open side by side.
func serveAll(t *testing.T, conns ...func(conn net.Conn, r *bufio.Reader)) (socket string) {
	ln, socket := listenUnix(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var served []chan struct{}
		for _, serve := range conns {
			conn, err := ln.Accept()
			if err != nil {
				break
			}
			end := make(chan struct{})
			served = append(served, end)
			go func() { defer close(end); defer conn.Close(); serve(conn, bufio.NewReader(conn)) }()
		}
		for _, end := range served {
			<-end
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return socket
}

// A payload that breaks off is told with the unit that it leaves, and released
// with --rm; it is not said that the submission may have come through.
func TestPayloadBrokenOff2(t *testing.T) {
	for _, interrupt := range []bool{false, true} {
		for _, rm := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			begun := make(chan struct{})
			socket := serveAll(t, func(conn net.Conn, r *bufio.Reader) {
				greet2(conn, r)
				r.ReadString('\n')
				io.WriteString(conn, unitEvent)
				r.ReadString('\n')
				close(begun)
				if rest, _ := io.ReadAll(r); strings.Contains(string(rest), "eof") {
					t.Errorf("it is called the end: %q", rest)
				}
			}, func(conn net.Conn, r *bufio.Reader) {
				greet2(conn, r)
				r.ReadString('\n')
				io.WriteString(conn, `{"id":1,"result":{"released":"abcdefgh"}}`+"\n")
			})
			stdin, writer := io.Pipe()
			go func() {
				writer.Write([]byte("begin"))
				<-begun
				if interrupt {
					cancel()
				} else {
					writer.CloseWithError(errors.New("disk on fire"))
				}
			}()
			c := newCall(stdin, nil)
			args := []string{"--socket", socket, "work", "submit", "cat", "-p", "-", "--stream"}
			wantErr, code := "ERROR: read payload: disk on fire\n", exitSubmit
			if interrupt {
				wantErr, code = "\n", exitInterrupted
			}
			left := "hint: the payload of unit abcdefgh broke off, so it fails; `receptorctl work release abcdefgh` deletes what is left of it\n"
			if rm {
				args = append(args, "--rm")
				left = "hint: unit abcdefgh had a part of its payload: released\n"
			}
			got := run(ctx, c.env, args)
			cancel()
			stdin.Close()
			if got != code || !strings.HasSuffix(c.err.String(), wantErr+left) {
				t.Errorf("interrupt %v, rm %v: exit code %d, stderr %q", interrupt, rm, got, &c.err)
			}
		}
	}
}

// A daemon that goes away in the middle of a payload: what is left, and what to do.
func TestStreamLosesItsDaemon(t *testing.T) {
	socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
		greet2(conn, r)
		r.ReadString('\n')
		io.WriteString(conn, unitEvent)
		r.ReadString('\n')
	})
	stdin, writer := io.Pipe()
	defer stdin.Close()
	go writer.Write([]byte("begin")) // ends with stdin
	c := newCall(stdin, nil)
	got := run(t.Context(), c.env, []string{"--socket", socket, "work", "submit", "cat", "-p", "-", "--stream"})
	want := "Unit ID: abcdefgh\nERROR: the connection to the daemon broke while the payload was being sent\n" +
		"hint: what was sent cannot be taken up again: submit the whole payload anew\n" +
		"hint: the payload of unit abcdefgh broke off, so it fails; `receptorctl work release abcdefgh` deletes what is left of it\n"
	if got != exitSubmit || c.err.String() != want {
		t.Errorf("exit code %d, stderr %q", got, &c.err)
	}
}

// Options that a daemon of version 1 cannot carry out are refused.
func TestStreamVersion1(t *testing.T) {
	for option, code := range map[string]int{"--stream": exitSubmit, "--stderr=separate": exitSubmit, "--stderr=nonsense": exitFailure} {
		socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
			greet1(conn, r, true)
			if line, _ := io.ReadAll(r); len(line) > 0 {
				t.Errorf("%s: sent %s", option, line)
			}
		})
		c := newCall(&untouched{t}, nil)
		if got := run(t.Context(), c.env, []string{"--socket", socket, "work", "submit", "cat", "-p", "-", option}); got != code || c.err.String() == "" {
			t.Errorf("%s: exit code %d, stderr %q", option, got, &c.err)
		}
		if conn, err := net.Dial("unix", socket); err == nil { // where it was not reached
			conn.Close()
		}
	}
	c := newCall(nil, nil)
	if got := run(t.Context(), c.env, []string{"work", "submit", "cat", "-n", "--stream"}); got != exitFailure || !strings.Contains(c.err.String(), "--no-payload") {
		t.Errorf("exit code %d, %q", got, &c.err)
	}
}

// Error output alone: of a unit that keeps it apart, and of one that does not,
// which is told at once and not at its end.
func TestResultsStderr(t *testing.T) {
	socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
		greet2(conn, r)
		if line, _ := r.ReadString('\n'); !strings.Contains(line, `"output":false`) || !strings.Contains(line, `"stderr":true`) {
			t.Errorf("request %s", line)
		}
		io.WriteString(conn, `{"id":1,"event":"status","data":{"State":0}}`+"\n"+`{"id":1,"event":"status","data":{"State":1,"StderrSize":0}}`+"\n"+
			`{"id":1,"bytes":3,"stream":"stderr"}`+"\nerr"+`{"id":1,"result":{"State":2,"StderrSize":3}}`+"\n")
	}, func(conn net.Conn, r *bufio.Reader) {
		greet2(conn, r)
		r.ReadString('\n')
		io.WriteString(conn, `{"id":1,"event":"status","data":{"State":1}}`+"\n")
		io.Copy(io.Discard, r)
	})
	c := newCall(nil, nil)
	if code := run(t.Context(), c.env, []string{"--socket", socket, "work", "results", "--stderr", "x"}); code != 0 || c.out.String() != "err" {
		t.Errorf("exit code %d, stdout %q: %s", code, &c.out, &c.err)
	}
	c = newCall(nil, nil)
	code := run(t.Context(), c.env, []string{"--socket", socket, "work", "results", "--stderr", "x"})
	if code != exitFailure || !strings.HasPrefix(c.err.String(), "ERROR: unit x keeps no error output apart") {
		t.Errorf("exit code %d: %s", code, &c.err)
	}
}

// A daemon that does not come back is given up after a while, with what to do.
func TestFollowGivesUp(t *testing.T) {
	socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
		greet2(conn, r)
		r.ReadString('\n')
		io.WriteString(conn, `{"id":1,"bytes":5}`+"\nhello"+`{"id":1,"error":{"code":"unreachable","message":"the daemon is shutting down"}}`+"\n")
	})
	c := newCall(nil, nil)
	var waited time.Duration
	c.pause = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	dials := 0
	dial := c.dial
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, errors.New("nobody there")
		}
		return dial(ctx, network, address)
	}
	code := run(t.Context(), c.env, []string{"--socket", socket, "work", "results", "x"})
	if code != exitFailure || c.out.String() != "hello" || waited != resumeFor {
		t.Errorf("exit code %d, stdout %q, waited %v", code, &c.out, waited)
	}
	got := c.err.String()
	for _, want := range []string{"hint: the daemon is shutting down; trying to reach it again for 60 seconds\n", "ERROR: nobody there\n", "`receptorctl work results x`"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("stderr %q: want once %q", got, want)
		}
	}
}

func TestAdopt(t *testing.T) {
	socket := serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
		greet2(conn, r)
		if got := strings.TrimSpace(readLine(r)); got != `{"command":"work","id":1,"node":"n","signwork":true,"subcommand":"adopt","tlsclient":"c","unitid":"far"}` {
			t.Errorf("request %s", got)
		}
		io.WriteString(conn, `{"id":1,"result":{"result":"Adopted","unitid":"near"}}`+"\n")
	})
	c := newCall(nil, nil)
	code := run(t.Context(), c.env, []string{"--socket", socket, "work", "adopt", "--node", "n", "far", "--tls-client", "c", "--signwork"})
	if code != 0 || c.out.String() != "Result: Adopted\nUnit ID: near\n" {
		t.Errorf("exit code %d, stdout %q: %s", code, &c.out, &c.err)
	}
	c = newCall(nil, nil)
	if code := run(t.Context(), c.env, []string{"work", "adopt", "far"}); code != exitFailure || !strings.HasPrefix(c.err.String(), "ERROR: Missing parameter: node\n") {
		t.Errorf("exit code %d: %s", code, &c.err)
	}
}

func readLine(r *bufio.Reader) string {
	line, _ := r.ReadString('\n')
	return line
}

// A node that refuses a streamed unit is told in the words of one that is not
// streamed, with who has refused what, and what is left; with and without --follow.
func TestSubmitStreamRefused(t *testing.T) {
	const (
		refusal = "could not parse response: ERROR: unknown work type nosuch"
		told    = "Unit ID: abcdefgh\nERROR: Remote error: unknown work type nosuch\n" +
			"hint: node b refused work of type nosuch\n" +
			"hint: `receptorctl status` lists the work types of each node\n"
		left = "hint: what is left of it is unit abcdefgh; `receptorctl work release abcdefgh` deletes it\n"
	)
	for _, options := range []string{"", "--follow", "--follow --rm", "--json"} {
		followed := make(chan struct{})
		if !strings.Contains(options, "--follow") {
			close(followed)
		}
		serve := []func(net.Conn, *bufio.Reader){func(conn net.Conn, r *bufio.Reader) {
			greet2(conn, r)
			r.ReadString('\n')
			io.WriteString(conn, unitEvent)
			<-followed
			io.WriteString(conn, `{"id":1,"error":{"code":"not_found","message":"`+refusal+`"}}`+"\n")
			for { // what is left of the payload
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if strings.Contains(line, `"release"`) {
					io.WriteString(conn, `{"id":2,"result":{"released":"abcdefgh"}}`+"\n")
				}
			}
		}}
		want, out := told+left, ""
		if strings.Contains(options, "--follow") {
			serve = append(serve, func(conn net.Conn, r *bufio.Reader) {
				greet2(conn, r)
				r.ReadString('\n')
				io.WriteString(conn, `{"id":1,"result":{"State":3,"StateName":"Failed","Detail":"Error starting worker: `+refusal+`"}}`+"\n")
				close(followed)
				io.Copy(io.Discard, r)
			})
		}
		if strings.Contains(options, "--rm") {
			serve = append(serve, func(conn net.Conn, r *bufio.Reader) {
				greet2(conn, r)
				r.ReadString('\n')
				io.WriteString(conn, `{"id":1,"result":{"released":"abcdefgh"}}`+"\n")
			})
			want, out = told, "(abcdefgh, released)\n"
		}
		socket := serveAll(t, serve...)
		stdin, writer := io.Pipe()
		go writer.Write([]byte("begin")) // and then nothing
		c := newCall(stdin, nil)
		args := append([]string{"--socket", socket, "work", "submit", "nosuch", "--node", "b", "-p", "-", "--stream"}, strings.Fields(options)...)
		got := run(t.Context(), c.env, args)
		stdin.Close()
		if got != exitSubmit || c.err.String() != want || c.out.String() != out {
			t.Errorf("%s: exit code %d, stdout %q, stderr\n%swant\n%s", options, got, &c.out, &c.err, want)
		}
	}
}
