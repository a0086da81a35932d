package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestTrace: with the section, each packet has a line, whatever the log level
// is; a reload ends that.
func TestTrace(t *testing.T) {
	const base = "- node: {id: hub, datadir: DIR/data}\n- log-level: error\n- control-service: {filename: DIR/s}\n- tcp-listener: {bindaddr: HOST, port: 2361}\n"
	h := startDaemon(t, base+"- trace\n")
	leaf := startDaemon(t, "- node: {id: leaf, datadir: DIR/data}\n- control-service: {filename: DIR/s}\n- tcp-peer: {address: 'HOST:2361'}\n")
	leaf.linked("hub 1")
	leaf.until("ping", func() bool { return strings.Contains(leaf.ask("ping hub"), `"Success":true`) })
	h.waitLog("packet what=received node=leaf service=", " to=hub toservice=ping hops=", "packet what=sent node=hub service=ping to=leaf toservice=")
	h.reload(base)
	before := strings.Count(h.logged(), "packet what=")
	if got := leaf.ask("ping hub"); !strings.Contains(got, `"Success":true`) {
		t.Error(got)
	}
	if after := strings.Count(h.logged(), "packet what="); after != before {
		t.Errorf("%d packets were logged after the reload", after-before)
	}
	if strings.Contains(leaf.logged(), "packet what=") {
		t.Error("packets are logged without the section")
	}
}

// converse says a line to a control service, and sends what belongs to it: all
// that comes back behind the greeting.
func converse(t *testing.T, socket, line, payload string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(conn, line); err != nil {
		t.Fatal(err)
	}
	var answer string
	if payload != "" { // asked for by the first line of the answer
		if answer, err = r.ReadString('\n'); err == nil {
			_, err = io.WriteString(conn, payload)
		}
		if err == nil {
			err = conn.(*net.UnixConn).CloseWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return answer + string(rest)
}

// TestPayloadTrace: what is logged about a payload does not change it, and is
// not the payload.
func TestPayloadTrace(t *testing.T) {
	const payload = "first line\nsecret without an end of line"
	for level, want := range map[string][]string{
		"0": nil,
		"1": {"DEBUG PACKET TRACING ENABLED: Reading from unix socket"},
		"2": {"DEBUG PACKET TRACING ENABLED: Reading from unix socket unit=UNIT"},
		"3": {
			"DEBUG PACKET TRACING ENABLED: Reading from unix socket unit=UNIT",
			fmt.Sprintf(`DEBUG payload read source="unix socket" unit=UNIT bytes=%d sha256=%x`, len(payload), sha256.Sum256([]byte(payload))),
		},
		"x": {"WARNING variable of the environment is ignored: it has to be a number from 0 to 3 name=RECEPTOR_PAYLOAD_TRACE_LEVEL value=x"},
	} {
		t.Run(level, func(t *testing.T) {
			t.Setenv(payloadTraceVariable, level)
			dir := shortDir(t)
			writeFile(t, dir, "c.yml", "- node: {id: n, datadir: data}\n- log-level: debug\n- local-only\n- control-service: {filename: s}\n- work-command: {worktype: cat, command: cat}\n")
			p := startProcess(t, "n", dir, "--config", "c.yml")
			p.until("control service", func() bool { _, err := ask(dir+"/s", "ping localhost"); return err == nil })
			lines := converse(t, dir+"/s", "work submit localhost cat", payload)
			unit, _, _ := strings.Cut(strings.TrimPrefix(lines, "Work unit created with ID "), ".")
			results := converse(t, dir+"/s", "work results "+unit, "") // until the unit ends
			if _, got, _ := strings.Cut(results, "\n"); got != payload {
				t.Errorf("the command got %q", got)
			}
			log := strings.Join(p.lines(), "\n") + "\n"
			for _, w := range want {
				if w = strings.ReplaceAll(w, "UNIT", unit); !strings.Contains(log, w+"\n") {
					t.Errorf("no line %s in\n%s", w, log)
				}
			}
			if n := strings.Count(log, "PACKET TRACING") + strings.Count(log, "payload read"); level == "0" && n > 0 || strings.Contains(log, "secret") {
				t.Errorf("too much is logged:\n%s", log)
			}
			p.stop()
		})
	}
}
