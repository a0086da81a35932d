//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo listens on a Unix socket and sends back what it gets. It ends with the
// test.
func (d *testDaemon) echo(name string) {
	d.t.Helper()
	ln, err := net.Listen("unix", filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer c.Close(); _, _ = io.Copy(c, c) }) // ends with the connection
		}
	})
	d.t.Cleanup(func() { ln.Close(); running.Wait() })
}

// talk is a connection on which every line comes back.
func (d *testDaemon) talk(network, address string) (say func(string) error) {
	d.t.Helper()
	c, err := net.Dial(network, d.fill(address))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	r := bufio.NewReader(c)
	return func(line string) error {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, line+"\n"); err != nil {
			return err
		}
		got, err := r.ReadString('\n')
		if err == nil && got != line+"\n" {
			err = fmt.Errorf("%q came back as %q", line, got)
		}
		return err
	}
}

// A reload brings, changes and takes away services of every kind; those that
// stay the same keep their connections, also when the reload is refused.
func TestReloadServices(t *testing.T) {
	const base = "- node: {id: a, datadir: DIR/data}\n- local-only\n- control-service: {filename: DIR/s}\n"
	const way = "- unix-socket-server: {filename: DIR/in, permissions: 0640, remotenode: a, remoteservice: out}\n" +
		"- unix-socket-client: {service: out, filename: DIR/echo}\n"
	d := startDaemon(t, base+way)
	d.echo("echo")
	say := d.talk("unix", "DIR/in")
	if err := say("one"); err != nil {
		t.Fatal(err)
	}
	mode := func() fs.FileMode {
		info, err := os.Stat(filepath.Join(d.dir, "in"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if got := mode(); got != 0o640 {
		t.Errorf("the socket has mode %v", got)
	}

	udp, err := net.ListenPacket("udp", d.host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	var answering sync.WaitGroup
	defer answering.Wait()
	defer udp.Close()
	answering.Go(func() { // ends with udp
		buf := make([]byte, 100)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(buf[:n], from)
		}
	})
	more := "- udp-server: {bindaddr: HOST, port: 2311, remotenode: a, remoteservice: udp}\n" +
		"- udp-client: {service: udp, address: '" + udp.LocalAddr().String() + "'}\n" +
		"- command-service: {service: cmd, command: cat}\n"
	d.reload(base + way + more)
	if err := d.talk("udp", "HOST:2311")("a datagram"); err != nil {
		t.Errorf("the new way for datagrams: %v", err)
	}
	for _, service := range []string{`"udp"`, `"cmd"`, `"out"`} {
		if !strings.Contains(d.ask("status"), service) {
			t.Errorf("no service %s: %s", service, d.ask("status"))
		}
	}

	// Refused: what is there is no socket.
	if err := os.WriteFile(filepath.Join(d.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.write(base + "- unix-socket-server: {filename: DIR/file, remotenode: a, remoteservice: out}\n")
	if reply := d.ask("reload"); !strings.Contains(reply, "is no socket") {
		t.Errorf("a file in the place of a socket: %s", reply)
	}
	if err := say("two"); err != nil {
		t.Errorf("after a refused reload: %v", err)
	}
	if !strings.Contains(d.ask("status"), `"cmd"`) {
		t.Error("a refused reload took a service away")
	}

	// The datagrams and the command go; a service takes over the name of one of
	// another kind; the connection stays.
	d.reload(base + way + "- tcp-client: {service: udp, address: 'HOST:1'}\n")
	if status := d.ask("status"); strings.Contains(status, `"cmd"`) || !strings.Contains(status, "TCP Proxy") {
		t.Errorf("services: %s", status)
	}
	if err := say("three"); err != nil {
		t.Errorf("a service that did not change: %v", err)
	}

	// A mode changes: the socket is opened anew.
	d.reload(base + strings.Replace(way, "0640", "0600", 1))
	if got := mode(); got != 0o600 {
		t.Errorf("the socket has mode %v", got)
	}
	if err := d.talk("unix", "DIR/in")("four"); err != nil {
		t.Error(err)
	}
	if say("five") == nil {
		t.Error("a connection of the socket as it was goes on")
	}
}
