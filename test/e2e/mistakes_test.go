//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
)

// TestBadConfiguration holds that a daemon says all that is wrong and does not start.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, c := range map[string]struct {
		config string
		want   []string
	}{
		"unknown keys, all at once": {
			"- node: {id: a}\n- tcp-listener: {prot: 7323}\n- tcp-per: {address: \"localhost:1\"}\n",
			[]string{`receptor.yml:2`, `"prot"`, `port`, `receptor.yml:3`, `"tcp-per"`, `tcp-peer`},
		},
		"used port": {
			fmt.Sprintf("- node: {id: a}\n- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", busy.Addr().(*net.TCPAddr).Port),
			[]string{"receptor.yml:2", "tcp-listener", "address already in use"},
		},
		"no backend": {"- node: {id: a}\n", []string{"Nothing to do - no backends are running."}},
		"not supported yet": {
			"- node: {id: a}\n- local-only:\n- work-kubernetes: {worktype: k, namespace: default, image: i, authmethod: incluster}\n",
			[]string{"receptor.yml:3", "work-kubernetes", "not supported by this version yet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := harness.Dir(t)
			file := filepath.Join(dir, "receptor.yml")
			if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), harness.Patience) // should it start after all
			defer cancel()
			cmd := exec.CommandContext(ctx, programs.Receptor, "--config", file)
			out, err := cmd.Output()
			if err == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("exit: %v, want code 1", err)
			}
			for _, w := range c.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("output lacks %q:\n%s", w, out)
				}
			}
		})
	}
	out, err := exec.Command(programs.Receptor, "--config", filepath.Join(t.TempDir(), "missing.yml")).Output()
	if err == nil || !strings.Contains(string(out), "missing.yml") || !strings.HasPrefix(string(out), "Error: ") {
		t.Errorf("missing file: %v, %s", err, out)
	}
}

// TestBadInput holds that nonsense from links, control connections and users
// gets an error, and hurts nobody else.
func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	port := harness.FreePort(t)
	n := harness.New(t, programs, dir, "a", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n%s", port, harness.WorkTypes))
	n.Start()

	t.Run("frames", func(t *testing.T) {
		for _, frame := range []string{
			"\x00\x00",                            // empty: ends the original
			"\x03\x00\x03[]",                      // reject before anything else
			"\x03\x00\x02{}",                      // advertisement of nothing
			"\x05\x00\x02null",                    //
			"\x03\x00\x01{]",                      // no JSON
			"\x04\x00\x00\x01\x02\x03",            // short data packet
			"\x02\x00\xff\xff",                    // unknown type
			"\xff\xff" + strings.Repeat("x", 500), // a length that never comes
			"GET / HTTP/1.1\r\n\r\n",
		} {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(frame)); err != nil {
				t.Error(err)
			}
			// The node greets every link, or closes one that rejects it.
			conn.SetReadDeadline(time.Now().Add(harness.Patience))
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("frame %q: no greeting", frame)
			}
			conn.Close()
		}
	})
	t.Run("control lines", func(t *testing.T) {
		conn, err := net.Dial("unix", n.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(harness.Patience))
		lines := bufio.NewReader(conn)
		greeting, _ := lines.ReadString('\n')
		if greeting != "Receptor Control, node a\n" {
			t.Errorf("greeting %q", greeting)
		}
		for _, c := range [][2]string{
			{"nonsense", "ERROR: Unknown command"},
			{"{nonsense", "ERROR: invalid character 'n' looking for beginning of object key string"},
			{`{"command":"status","requested_fields":"Version"}`, "ERROR: "}, // ends the original
			{"work status ../../etc", "ERROR: unknown work unit ../../etc"},
			{"work results nosuch", "ERROR: unknown work unit nosuch"},
			{strings.Repeat("x", 100000), "ERROR: Unknown command"},
			{"ping nosuch", `{"Error":"no route to node","Success":false}`},
		} {
			fmt.Fprintf(conn, "%s\n", c[0])
			reply, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(reply, c[1]) {
				t.Errorf("%.40q: %q, %v; want %q", c[0], reply, err, c[1])
			}
		}
	})
	t.Run("users", func(t *testing.T) {
		for _, c := range []struct {
			args []string
			want string
			code int
		}{
			{[]string{"work", "submit", "--no-payload", "nosuch"}, "unknown work type nosuch", 101},
			{[]string{"work", "results", "nosuch"}, "unknown work unit nosuch", 1},
			{[]string{"ping", "--count", "1", "nosuch"}, "no route to node", 2},
			{[]string{"work", "submit", "gather-hostname"}, "Must provide one of", 1},
		} {
			r := n.Try(c.args...)
			if r.Code != c.code || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("%v: code %d, stderr %q; want %d, %q", c.args, r.Code, r.Stderr, c.code, c.want)
			}
		}
		out := n.Run("work", "submit", "--node", "nosuch", "--no-payload", "x")
		harness.Match(t, out, `Result: Job Submitted\nUnit ID: \w{8}\n`)
	})
	if !n.Alive() {
		t.Fatalf("the daemon ended:\n%s", n.Log())
	}
	if got := n.Run("work", "submit", "-nf", "--rm", "gather-hostname"); !strings.HasPrefix(got, harness.Hostname(t)) {
		t.Errorf("work afterwards: %q", got)
	}
}
