//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// SIGHUP is a reload; one that is refused is said in the log alone.
func TestReloadOnSignal(t *testing.T) {
	const conf = "- node: {id: hup, datadir: DIR/data}\n- log-level: info\n- control-service: {filename: DIR/s}\n- local-only\n"
	d := startDaemon(t, conf)
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	d.write(conf + "- tcp-listener: {bindaddr: HOST, port: 2305}\n")
	hangup()
	d.until("listener", func() bool { return d.listens("2305") })
	d.write(conf + "- nonsense\n")
	hangup()
	d.until("refusal", func() bool { return strings.Contains(d.logged(), "Reload not successful: ") })
	if !d.listens("2305") {
		t.Error("the listener is gone")
	}
}
