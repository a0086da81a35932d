//go:build attack

package attack

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// control calls f with a connection to the control service, over TCP or the
// Unix socket, whose greeting was read.
func (x *attacker) control(r *rand.Rand, f func(c net.Conn)) {
	network, addr := "tcp", x.where.Control
	if r.IntN(2) == 0 {
		network, addr = "unix", x.where.Socket
	}
	x.with(network, addr, func(c net.Conn) {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		var b [1]byte
		for b[0] != '\n' {
			if _, err := c.Read(b[:]); err != nil {
				return
			}
		}
		c.SetReadDeadline(time.Time{})
		f(c)
	})
}

// repeat writes a piece so often, or until it fails.
func repeat(c io.Writer, piece string, times int) bool {
	b := []byte(strings.Repeat(piece, max(1, 64<<10/len(piece))))
	for n := len(piece) * times; n > 0; n -= len(b) {
		if _, err := c.Write(b[:min(n, len(b))]); err != nil {
			return false
		}
	}
	return true
}

func endlessLines(x *attacker) {
	x.crowd(100, func(r *rand.Rand) {
		x.control(r, func(c net.Conn) {
			repeat(c, pick(r, "a", "{", `{"command":"`, " ", "\x00"), 40<<20)
			io.CopyN(io.Discard, c, 1000)
		})
		x.pause(100 * time.Millisecond)
	})
}

// giantJSON sends lines that are just short enough and hold what costs most to
// take apart.
func giantJSON(x *attacker) {
	x.crowd(10, func(r *rand.Rand) {
		x.control(r, func(c net.Conn) {
			if r.IntN(3) == 0 {
				fmt.Fprintln(c, `{"command":"hello","versions":[2]}`)
			}
			const size = 15 << 20
			ok := false
			switch r.IntN(5) {
			case 0:
				ok = repeat(c, `{"command":`, 1) && repeat(c, "[", size)
			case 1:
				ok = repeat(c, `{"id":1,"command":"status","requested_fields":[0`, 1) && repeat(c, ",0", size/2) && repeat(c, "]}", 1)
			case 2:
				ok = repeat(c, `{"id":1,"command":"status","x":""`, 1) && repeat(c, `,"abcd":{"a":{}}`, size/16) && repeat(c, "}", 1)
			case 3:
				ok = repeat(c, `{"id":1,"command":"ping","target":"`, 1) && repeat(c, `\u0001`, size/6) && repeat(c, `"}`, 1)
			case 4:
				ok = repeat(c, "ping "+strings.Repeat("x", size), 1)
			}
			if ok && repeat(c, "\n", 1) {
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				bufio.NewReader(c).ReadString('\n')
			}
		})
	})
}

// slowReaders ask for all there is and take next to nothing.
func slowReaders(x *attacker) {
	x.crowd(150, func(r *rand.Rand) {
		x.control(r, func(c net.Conn) {
			switch r.IntN(4) {
			case 0:
				for range 1000 {
					c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
					if _, err := fmt.Fprintln(c, "status"); err != nil {
						break
					}
				}
			case 1:
				fmt.Fprintln(c, "work results "+x.where.Unit)
			case 2:
				fmt.Fprintln(c, `{"command":"hello","versions":[2]}`)
				for id := range 20 {
					fmt.Fprintf(c, `{"id":%d,"command":"work","subcommand":"follow","unitid":%q}`+"\n", id+1, x.where.Unit)
				}
			case 3:
				for range 200 {
					c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
					if _, err := fmt.Fprintln(c, "work list"); err != nil {
						break
					}
				}
			}
			for range 20 {
				io.CopyN(io.Discard, c, 10)
				x.pause(200 * time.Millisecond)
			}
		})
	})
}

var requests = []string{
	`{"command":"status","requested_fields":["NodeID"]}`, `{"command":"status","requested_fields":null}`, `status`, `STATUS x`,
	`{"command":"ping","target":"nowhere"}`, `ping t`, `traceroute honest`, `traceroute`,
	`{"command":"connect","node":"nowhere","service":"control","tlsclient":""}`, `connect t echo`, `connect honest control`,
	`work list`, `work status ../../etc`, `work results ../x`, `work cancel %s`, `work release nope`, `work force-release`,
	`{"command":"work","subcommand":"submit","node":"t","worktype":"none","params":"x"}`,
	`{"command":"work","subcommand":"results","unitid":"abcd","startpos":-1}`, `{"command":"work","subcommand":{}}`,
	`{"command":"hello","versions":[2]}`, `{"command":"hello","versions":"x"}`, `{"command":7}`, `{}`, `[]`, `null`, `{"a":`,
}

func controlNonsense(x *attacker) {
	x.crowd(20, func(r *rand.Rand) {
		x.control(r, func(c net.Conn) {
			for range 20 {
				line := []byte(requests[r.IntN(len(requests))])
				for range r.IntN(4) {
					line[r.IntN(len(line))] = byte(r.Uint32())
				}
				if r.IntN(5) == 0 {
					line = noise(r, r.IntN(3000))
				}
				line = append(bytes.ReplaceAll(line, []byte("\n"), nil), '\n')
				c.SetDeadline(time.Now().Add(300 * time.Millisecond))
				if _, err := c.Write(line); err != nil {
					return
				}
				if r.IntN(4) > 0 {
					bufio.NewReaderSize(c, 16).ReadSlice('\n')
				}
			}
		})
	})
}

// submissions begin units and leave in the middle.
func submissions(x *attacker) {
	x.crowd(10, func(r *rand.Rand) {
		x.control(r, func(c net.Conn) {
			fmt.Fprintln(c, pick(r, "work submit t cat", "work submit localhost cat x", `{"command":"work","subcommand":"submit","node":"t","worktype":"cat","ttl":"forever"}`))
			c.SetReadDeadline(time.Now().Add(time.Second))
			bufio.NewReader(c).ReadString('\n')
			c.Write(noise(r, r.IntN(30000)))
			if t, ok := c.(*net.TCPConn); ok && r.IntN(2) == 0 {
				t.SetLinger(0)
			}
		})
		x.pause(20 * time.Millisecond)
	})
}

// session2 misuses what version 2 of the protocol offers.
func session2(x *attacker) {
	x.crowd(20, func(r *rand.Rand) {
		x.control(r, func(c net.Conn) {
			c.SetDeadline(time.Now().Add(2 * time.Second))
			fmt.Fprintln(c, `{"command":"hello","versions":[2]}`)
			for id := range 100 {
				switch r.IntN(7) {
				case 0:
					fmt.Fprintf(c, `{"id":%d,"command":"ping","target":"nobody"}`+"\n", id+1)
				case 1:
					fmt.Fprintf(c, `{"id":%d,"command":"connect","node":"t","service":"echo"}`+"\n", id+1)
				case 2:
					fmt.Fprintf(c, `{"id":%d,"bytes":1048576}`+"\n", 1+r.IntN(id+1))
					if r.IntN(10) > 0 {
						c.Write(noise(r, 1<<20))
					}
				case 3:
					fmt.Fprintf(c, `{"id":%d,"command":"work","subcommand":"submit","node":"t","worktype":"cat","unitid":"x%d","stream":true}`+"\n", id+1, r.IntN(30))
				case 4:
					fmt.Fprintf(c, `{"id":%d,%s}`+"\n", 1+r.IntN(id+1), pick(r, `"eof":true`, `"cancel":true`, `"bytes":-1`, `"bytes":1e9`, `"x":1`))
				case 5:
					fmt.Fprintf(c, `{"id":%s,"command":"status"}`+"\n", pick(r, "0", "-1", "1e3", "null", "18446744073709551615", "1"))
				case 6:
					fmt.Fprintf(c, `{"id":%d,"command":"work","subcommand":"cancel","unitid":"x%d"}`+"\n", id+1, r.IntN(30))
				}
			}
			io.CopyN(io.Discard, c, 100_000)
		})
	})
}

func metricsFlood(x *attacker) {
	x.crowd(300, func(r *rand.Rand) {
		x.with("tcp", x.where.Metrics, func(c net.Conn) {
			switch r.IntN(3) {
			case 0:
				fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nX: ")
			case 1:
				repeat(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 50)
			}
			x.pause(time.Duration(r.IntN(2000)) * time.Millisecond)
		})
	})
}
