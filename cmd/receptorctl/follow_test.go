package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Results that are cut go on where they were cut, in both versions.
func TestFollowResumes(t *testing.T) {
	status := `{"Detail":"exit status 0","ExtraData":null,"State":2,"StateName":"Succeeded","StdoutSize":10,"WorkType":"cat"}`
	running := strings.Replace(strings.Replace(status, `"State":2`, `"State":1`, 1), "Succeeded", "Running", 1)
	request := func(r *bufio.Reader) map[string]any {
		line, _ := r.ReadBytes('\n')
		m := map[string]any{}
		json.Unmarshal(line, &m)
		return m
	}
	sockets := map[int]string{
		2: serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
			greet2(conn, r)
			request(r)
			io.WriteString(conn, `{"id":1,"bytes":5}`+"\nhello")
		}, func(conn net.Conn, r *bufio.Reader) {
			greet2(conn, r)
			if m := request(r); m["startpos"] != 5.0 {
				t.Errorf("follow goes on at %v, want 5", m["startpos"])
			}
			io.WriteString(conn, `{"id":1,"bytes":5}`+"\nworld"+`{"id":1,"result":`+status+"}\n")
		}),
		1: serveOnce(t, func(conn net.Conn, r *bufio.Reader) {
			greet1(conn, r, true)
			request(r)
			io.WriteString(conn, "Streaming results for work unit x\nhello")
		}, func(conn net.Conn, r *bufio.Reader) {
			greet1(conn, r, false)
			request(r)
			io.WriteString(conn, running+"\n")
			request(r) // results again
			io.WriteString(conn, "Streaming results for work unit x\nworld")
		}, func(conn net.Conn, r *bufio.Reader) {
			greet1(conn, r, false)
			request(r)
			io.WriteString(conn, status+"\n")
		}),
	}
	for version, socket := range sockets {
		c := newCall(nil, nil)
		if code := run(t.Context(), c.env, []string{"--socket", socket, "work", "results", "x"}); code != 0 {
			t.Errorf("version %d: exit code %d: %s", version, code, &c.err)
		}
		if got := c.out.String(); got != "helloworld" {
			t.Errorf("version %d: stdout %q", version, got)
		}
	}
}

// A daemon that is away for a while, as in a restart, is waited for.
func TestFollowOverRestart(t *testing.T) {
	ln, socket := listenUnix(t)
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	c := newCall(nil, nil)
	var restarted net.Listener
	done := make(chan struct{})
	serve := func(ln net.Listener, said string) {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		greet2(conn, r)
		r.ReadString('\n')
		io.WriteString(conn, said)
	}
	go func() {
		defer close(done)
		serve(ln, `{"id":1,"bytes":5}`+"\nhello")
		ln.Close()
	}()
	pauses := 0
	c.pause = func(context.Context, time.Duration) error {
		if pauses++; pauses == 3 {
			os.Remove(socket)
			var err error
			if restarted, err = net.Listen("unix", socket); err != nil {
				return err
			}
			go serve(restarted, `{"id":1,"bytes":5}`+"\nworld"+`{"id":1,"result":{"State":2}}`+"\n")
		}
		return nil
	}
	code := run(t.Context(), c.env, []string{"--socket", socket, "work", "results", "x"})
	<-done
	if code != 0 || c.out.String() != "helloworld" || pauses != 3 {
		t.Errorf("exit code %d, stdout %q, %d pauses: %s", code, &c.out, pauses, &c.err)
	}
	if restarted != nil {
		restarted.Close()
	}
}
