//go:build unix

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// hangUp sends SIGHUP to the daemons of the test process. From the first on it
// ends none: one may arrive when the daemon that it was for has stopped already.
func hangUp(t *testing.T) {
	t.Helper()
	surviveHangups()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

var surviveHangups = sync.OnceFunc(func() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) })

// SIGHUP is a reload; one that is refused is said in the log alone.
func TestReloadOnSignal(t *testing.T) {
	const conf = "- node: {id: hup, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n- local-only\n"
	d := startDaemon(t, conf)
	d.write(conf + "- tcp-listener: {bindaddr: HOST, port: 2305}\n")
	hangUp(t)
	d.until("listener", func() bool { return d.listens("2305") })
	d.write(conf + "- nonsense\n")
	hangUp(t)
	d.until("refusal", func() bool { return strings.Contains(d.logged(), "Reload not successful: ") })
	if !d.listens("2305") {
		t.Error("the listener is gone")
	}
}

// Signals that come while a reload is under way, and requests of clients, are
// carried out one after another; the last file counts.
func TestHangupsDuringReloads(t *testing.T) {
	const conf = "- node: {id: hup, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n- local-only\n"
	d := startDaemon(t, conf)
	for i := range 300 {
		text := conf
		if i%2 == 0 {
			text += "- tcp-listener: {bindaddr: HOST, port: 2306}\n- unix-socket-server: {filename: DIR/u, remotenode: x, remoteservice: y}\n"
		}
		beside := d.file + ".new" // half a file would be refused
		if err := os.WriteFile(beside, []byte(d.fill(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(beside, d.file); err != nil {
			t.Fatal(err)
		}
		hangUp(t)
		if i%50 == 0 {
			if reply := d.ask("reload"); reply != `{"Success":true}` {
				t.Error(reply)
			}
		}
	}
	d.until("what the last file says", func() bool { // it has no listener
		_, err := os.Stat(filepath.Join(d.dir, "u"))
		return os.IsNotExist(err) && !d.listens("2306")
	})
	if log := d.logged(); strings.Contains(log, "WARNING") || strings.Contains(log, "ERROR") {
		t.Error(log)
	}
}
