//go:build linux

package suite

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/ctl"
	"github.com/receptor-go/receptor/test/bench/internal/node"
	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

// Message types on a link, the first byte of every frame.
const (
	typeData = iota
	typeRoute
	typeAdvert
)

// noise makes reproducible nonsense.
type noise struct{ *rand.Rand }

func (r noise) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// framed puts the little-endian length in front.
func framed(body []byte) []byte {
	return append(binary.LittleEndian.AppendUint16(nil, uint16(len(body))), body...)
}

func typed(kind byte, text string) []byte { return append([]byte{kind}, text...) }

// values that a JSON reader may not expect where a document has another.
var oddValues = []string{
	`null`, `true`, `-1`, `0`, `1e400`, `18446744073709551616`, `""`, `"x"`, `[]`, `{}`, `[[[]]]`,
	`{"a":{"a":{}}}`, `[null]`, `{"":null}`, `"` + strings.Repeat("y", 5000) + `"`,
	strings.Repeat("[", 500),
}

// mutate damages a JSON document: it replaces a value by an odd one, flips,
// drops, repeats or inserts bytes, or cuts the end off.
func (r noise) mutate(document string) string {
	b := []byte(document)
	for range 1 + r.IntN(3) {
		if len(b) < 2 {
			break
		}
		at := r.IntN(len(b))
		switch r.IntN(6) {
		case 0, 1:
			colon := bytes.IndexByte(b[at:], ':')
			if colon < 0 {
				continue
			}
			start := at + colon + 1
			end := start + strings.IndexAny(string(b[start:])+",", ",}")
			b = bytes.Join([][]byte{b[:start], []byte(oddValues[r.IntN(len(oddValues))]), b[end:]}, nil)
		case 2:
			b[at] ^= 1 << r.IntN(8)
		case 3:
			b = b[:at]
		case 4:
			end := min(len(b), at+r.IntN(20))
			b = append(append(bytes.Clone(b[:end]), b[at:end]...), b[end:]...)
		case 5:
			b = bytes.Join([][]byte{b[:at], r.bytes(1 + r.IntN(8)), b[at:]}, nil)
		}
	}
	return string(b[:min(len(b), 60000)])
}

// swaps returns the document once for every value in it and every odd value,
// with the one in place of the other.
func swaps(document string) []string {
	var all []string
	for i, c := range document {
		if c != ':' || !strings.HasSuffix(document[:i], `"`) {
			continue
		}
		rest := document[i+1:]
		var value json.RawMessage
		if json.NewDecoder(strings.NewReader(rest)).Decode(&value) != nil {
			continue
		}
		for _, odd := range oddValues {
			all = append(all, document[:i+1]+odd+rest[len(value):])
		}
	}
	return all
}

// intruder speaks just enough of the link protocol to be taken for a peer.
type intruder struct{ id string }

func (p intruder) route(sequence int, connections string) string {
	return fmt.Sprintf(`{"NodeID":%q,"UpdateID":"%s%d","UpdateEpoch":%d,"UpdateSequence":%d,`+
		`"Connections":%s,"ForwardingNode":%q,"SuspectedDuplicate":0}`,
		p.id, p.id, sequence, time.Now().Unix()<<24, sequence, connections, p.id)
}

func (p intruder) advert() string {
	return fmt.Sprintf(`{"NodeID":%q,"Service":"control","Time":%q,"ConnType":1,`+
		`"Tags":{"type":"Control Service"},"WorkCommands":[{"WorkType":"x","Secure":false}],"Cancel":false}`,
		p.id, time.Now().Format(time.RFC3339Nano))
}

// hello is what a peer sends first.
func (p intruder) hello() []byte { return framed(typed(typeRoute, p.route(1, "{}"))) }

// attack is one family of nonsense for the link listener. Each element of
// what burst returns is sent on one connection.
type attack struct {
	name   string
	frames int // per burst
	bursts int
	burst  func(r noise, p intruder) []byte
}

var attacks = []attack{
	{"random bytes", 1, 100, func(r noise, p intruder) []byte { return r.bytes(1 + r.IntN(4096)) }},
	{"length without body", 1, 50, func(r noise, p intruder) []byte { return []byte{0xff, 0xff, 1, 2, 3} }},
	{"empty frame first", 1, 10, func(r noise, p intruder) []byte { return framed(nil) }},
	{"empty frame from a peer", 1, 10, func(r noise, p intruder) []byte {
		return append(p.hello(), framed(nil)...)
	}},
	{"null documents from a peer", 1, 20, func(r noise, p intruder) []byte {
		return append(p.hello(), framed(typed(byte(r.IntN(6)), "null"))...)
	}},
	{"empty documents from a peer", 1, 20, func(r noise, p intruder) []byte {
		return append(p.hello(), framed(typed(byte(r.IntN(6)), "{}"))...)
	}},
	{"random frames from a peer", 20, 20, func(r noise, p intruder) []byte {
		b := p.hello()
		for range 20 {
			b = append(b, framed(r.bytes(1+r.IntN(2000)))...)
		}
		return b
	}},
	{"short and odd data frames", 20, 20, func(r noise, p intruder) []byte {
		b := p.hello()
		for range 20 {
			b = append(b, framed(append([]byte{typeData}, r.bytes(r.IntN(80))...))...)
		}
		return b
	}},
	{"mutated first message", 1, 200, func(r noise, p intruder) []byte {
		return framed(typed(typeRoute, r.mutate(p.route(1, "{}"))))
	}},
	{"mutated routes", 2, 200, func(r noise, p intruder) []byte {
		b := p.hello()
		for i := range 2 {
			b = append(b, framed(typed(typeRoute, r.mutate(p.route(i+2, `{"g":1,"ghost":2.5}`))))...)
		}
		return b
	}},
	{"mutated advertisements", 10, 40, func(r noise, p intruder) []byte {
		b := p.hello()
		for range 10 {
			b = append(b, framed(typed(typeAdvert, r.mutate(p.advert())))...)
		}
		return b
	}},
}

// commands that are damaged and sent to the control socket.
var commands = []string{
	`{"command":"status","requested_fields":["NodeID"]}`,
	`{"command":"ping","target":"nowhere"}`,
	`{"command":"traceroute","target":"g"}`,
	`{"command":"connect","node":"nowhere","service":"control","tlsclient":""}`,
	`{"command":"work","subcommand":"list","unitid":"abcd"}`,
	`{"command":"work","subcommand":"status","unitid":"abcd"}`,
	`{"command":"work","subcommand":"results","unitid":"abcd","startpos":0}`,
	`{"command":"work","subcommand":"cancel","unitid":"abcd","signature":"x"}`,
	`{"command":"work","subcommand":"submit","node":"g","worktype":"none","params":"x"}`,
}

// garbage throws nonsense at a daemon and sees whether it stays up.
func garbage(ctx context.Context, e *Env) error {
	n := e.Node(node.Spec{ID: "g", TCPListen: node.FreePort()})
	if err := e.Up(ctx, n); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	before := n.Memory().RSS
	restarts := 0
	verdict := func(name string) error {
		err := within(ctx, 5*time.Second, func(ctx context.Context) error {
			if err := sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
			c, err := ctl.Dial(ctx, n.Socket)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Raw(`{"command":"status"}`)
			return err
		})
		if err == nil && n.Alive() {
			e.Check("survives "+name, true, "")
			return nil
		}
		reason := "no answer to status"
		if !n.Alive() {
			reason = "daemon died: " + n.Panicked()
		}
		e.Check("survives "+name, false, "%s", reason)
		restarts++
		n.Kill()
		n.DropLog()
		return e.Up(ctx, n)
	}

	frames := 0
	for number, a := range attacks {
		r := noise{rand.New(rand.NewPCG(2, uint64(number)))}
		for i := range a.bursts {
			who := intruder{fmt.Sprintf("x%dx%d", number, i)}
			if err := throw(ctx, "tcp", node.Loopback(n.TCPListen), a.burst(r, who)); err != nil {
				break
			}
			frames += a.frames
		}
		if err := verdict(a.name); err != nil {
			return err
		}
	}
	for _, message := range []struct {
		name     string
		kind     byte
		document string
	}{
		{"routes", typeRoute, intruder{"swap"}.route(2, `{"g":1,"ghost":2.5}`)},
		{"advertisements", typeAdvert, intruder{"swap"}.advert()},
	} {
		for i, odd := range swaps(message.document) {
			who := intruder{fmt.Sprintf("s%sx%d", message.name, i)}
			odd = strings.ReplaceAll(odd, `"swap"`, fmt.Sprintf("%q", who.id))
			frame := framed(typed(message.kind, odd))
			if throw(ctx, "tcp", node.Loopback(n.TCPListen), append(who.hello(), frame...)) != nil {
				break
			}
			frames++
		}
		if err := verdict("odd values in " + message.name); err != nil {
			return err
		}
	}
	r := noise{rand.New(rand.NewPCG(5, 7))}
	lines := func(name string, count int, line func() string) error {
		for range count {
			if throw(ctx, "unix", n.Socket, []byte(line()+"\n")) != nil {
				break
			}
			frames++
		}
		return verdict(name)
	}
	if err := lines("random control lines", 200, func() string { return string(r.bytes(1 + r.IntN(500))) }); err != nil {
		return err
	}
	for _, command := range commands {
		var fields struct{ Command, Subcommand string }
		_ = json.Unmarshal([]byte(command), &fields)
		label := strings.TrimSpace(fields.Command + " " + fields.Subcommand)
		if err := lines("mutated "+label, 40, func() string { return r.mutate(command) }); err != nil {
			return err
		}
		odd := swaps(command)
		next := 0
		if err := lines("odd values in "+label, len(odd), func() string { next++; return odd[next-1] }); err != nil {
			return err
		}
	}
	e.Metric("frames and lines sent", "", Info, float64(frames))
	e.Metric("deaths", "", Lower, float64(restarts))
	if restarts == 0 {
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		e.Metric("RSS growth", "MiB", Lower, mib(n.Memory().RSS-before))
	}
	return nil
}

// throw opens a connection, sends, reads a little and closes. Only a refused
// connection is an error.
func throw(ctx context.Context, network, address string, data []byte) error {
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(data)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(c, 4096))
	return nil
}

// slowloris opens many connections that never say anything useful and then
// lets a real peer join.
func slowloris(ctx context.Context, e *Env) error {
	const crowd = 500
	target := e.Node(node.Spec{ID: "g", TCPListen: node.FreePort()})
	if err := e.Up(ctx, target); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	before := target.Memory()
	for i := range crowd {
		c, err := net.DialTimeout("tcp", node.Loopback(target.TCPListen), 2*time.Second)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = c.Write([]byte{200}) // half of a length
		}
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	crowded := target.Memory()
	e.Metric("RSS growth", "KiB/connection", Lower, float64(crowded.RSS-before.RSS)/1024/crowd)
	peer := e.Node(node.Spec{ID: "peer", TCPPeers: []string{node.Loopback(target.TCPListen)}})
	if err := e.Up(ctx, peer); err != nil {
		return err
	}
	up := time.Now()
	err := within(ctx, 30*time.Second, func(ctx context.Context) error {
		at, err := converged(ctx, []*node.Node{target, peer})
		if err == nil {
			e.Metric("peer joins", "ms", Lower, stat.Millis(at.Sub(up)))
		}
		return err
	})
	e.CheckErr("a peer still gets in", err)
	if err := sleep(ctx, 15*time.Second); err != nil {
		return err
	}
	e.Metric("connections still held after 15 s", "", Lower, float64(target.Memory().Files-before.Files))
	return nil
}
