package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// exchange is a recorded request and what the daemon said to it.
type exchange struct {
	request string // in the form of requestKey
	payload string // of a submit
	replies []string
	closes  bool // the daemon ends the connection behind the replies
	used    bool
}

// fake is a daemon that answers as a recording does: each request gets the
// replies that were recorded for it, in the order of the recording if it was
// made several times.
type fake struct {
	t       *testing.T
	version int // of the protocol that it knows

	greeting    string
	closesFirst bool // closes behind the greeting
	dies        bool // it is not there any more when the results were streamed

	mu        sync.Mutex // guards the rest
	exchanges []*exchange
	dead      bool

	wg    sync.WaitGroup
	ln    net.Listener
	conns map[net.Conn]bool // guarded by mu
}

func newFake(t *testing.T, version int, conns [][]event) *fake {
	f := &fake{t: t, version: version, greeting: "Receptor Control, node x\n", conns: map[net.Conn]bool{}}
	for i, conn := range conns {
		f.learn(i == 0, conn)
	}
	return f
}

// learn takes the exchanges of one recorded connection.
func (f *fake) learn(first bool, conn []event) {
	var x *exchange
	greeting, payload, closed := "", false, false
	for _, e := range conn {
		switch {
		case closed: // what the client said to nobody
		case e.end && e.client:
			payload = false
		case e.end && x == nil: // at once, or behind the greeting
			if greeting == "" {
				f.dies = true
			} else {
				f.closesFirst = true
			}
			closed = true
		case e.end:
			x.closes, closed = true, true
		case e.client && payload:
			x.payload += e.data
		case e.client:
			x = &exchange{request: requestKey([]byte(e.data))}
			f.exchanges = append(f.exchanges, x)
		case x == nil:
			greeting += e.data
		default:
			x.replies = append(x.replies, e.data)
			payload = strings.HasPrefix(e.data, "Work unit created")
		}
	}
	if first {
		f.greeting = greeting
	}
}

// listen serves connections until the test ends.
func (f *fake) listen(ln net.Listener) {
	f.ln = ln
	f.wg.Go(func() { // ends when the listener is closed
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = true
			dead := f.dead
			f.mu.Unlock()
			if dead {
				conn.Close()
				continue
			}
			f.wg.Go(func() { // ends when the client closes, or stop does
				defer conn.Close()
				f.serve(conn)
			})
		}
	})
	f.t.Cleanup(f.stop)
}

func (f *fake) stop() {
	f.ln.Close()
	f.mu.Lock()
	for conn := range f.conns {
		conn.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fake) serve(conn net.Conn) {
	if _, err := io.WriteString(conn, f.greeting); err != nil || f.closesFirst {
		return
	}
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) == 0 || err != nil {
			return
		}
		if bytes.Contains(line, []byte(`"hello"`)) {
			if f.version == controlproto.V2 {
				io.WriteString(conn, `{"version":2,"node":"controller01","software":"1.5.0"}`+"\n")
				f.serve2(conn, r)
				return
			}
			io.WriteString(conn, "ERROR: Unknown command\n")
			continue
		}
		if !f.answer1(conn, r, requestKey(line)) {
			return
		}
	}
}

// answer1 answers in version 1; false ends the connection.
func (f *fake) answer1(conn net.Conn, r *bufio.Reader, key string) bool {
	x := f.take(key)
	if x == nil {
		f.t.Errorf("request that the original did not make: %s", key)
		return false
	}
	for i, reply := range x.replies {
		if _, err := io.WriteString(conn, reply); err != nil {
			return false
		}
		if i == 0 && strings.HasPrefix(reply, "Work unit created") {
			payload, err := io.ReadAll(r)
			if err != nil {
				return false
			}
			f.checkPayload(x, payload)
		}
	}
	f.after(key)
	if !x.closes && strings.Contains(key, `"results"`) {
		io.Copy(io.Discard, r) // the recording ends before the stream did
	}
	return !x.closes
}

// serve2 answers in version 2.
func (f *fake) serve2(conn net.Conn, r *bufio.Reader) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		var members map[string]any
		if err := json.Unmarshal(line, &members); err != nil {
			f.t.Errorf("version 2: %q: %v", line, err)
			return
		}
		id := uint64(members["id"].(float64))
		key := requestKey(line)
		x := f.take(key)
		if x == nil {
			f.t.Errorf("request that the original did not make: %s", key)
			return
		}
		w := controlproto.NewWriter(conn)
		switch {
		case strings.HasPrefix(x.replies[0], "ERROR: "):
			writeError(w, id, x.replies[0])
		case strings.Contains(key, `"submit"`):
			f.submit2(w, r, id, x)
		case strings.Contains(key, `"results"`):
			f.follow2(w, r, id, x, members["unitid"].(string))
		default:
			w.JSON(controlproto.Frame{ID: id, Result: json.RawMessage(strings.TrimSpace(x.replies[0]))})
		}
		f.after(key)
	}
}

func writeError(w *controlproto.Writer, id uint64, reply string) {
	text := strings.TrimSpace(strings.TrimPrefix(reply, "ERROR: "))
	w.JSON(controlproto.Frame{ID: id, Error: controlproto.New(controlproto.Internal, text)})
}

func (f *fake) submit2(w *controlproto.Writer, r *bufio.Reader, id uint64, x *exchange) {
	var unit string
	fmt.Sscanf(x.replies[0], "Work unit created with ID %s", &unit)
	unit = strings.TrimSuffix(unit, ".")
	w.JSON(map[string]any{"id": id, "event": "unit", "data": map[string]any{"unitid": unit, "received": 0}})
	var payload []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		var frame controlproto.Frame
		if err := json.Unmarshal(line, &frame); err != nil {
			f.t.Errorf("payload frame %q: %v", line, err)
			return
		}
		if frame.EOF {
			break
		}
		chunk := make([]byte, frame.Bytes)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return
		}
		payload = append(payload, chunk...)
	}
	f.checkPayload(x, payload)
	if last := x.replies[len(x.replies)-1]; strings.HasPrefix(last, "ERROR: ") {
		writeError(w, id, last)
	} else {
		w.JSON(controlproto.Frame{ID: id, Result: json.RawMessage(strings.TrimSpace(last))})
	}
}

// follow2 streams the recorded results, and ends with the status that the
// original asked for on a new connection.
func (f *fake) follow2(w *controlproto.Writer, r *bufio.Reader, id uint64, x *exchange, unit string) {
	for _, data := range x.replies[1:] {
		w.Bytes(id, []byte(data))
	}
	status := f.take(requestKey([]byte("work status " + unit)))
	if status.request == "" || f.dies {
		if !f.dies {
			io.Copy(io.Discard, r)
		}
		return
	}
	w.JSON(controlproto.Frame{ID: id, Result: json.RawMessage(strings.TrimSpace(status.replies[0]))})
}

func (f *fake) checkPayload(x *exchange, got []byte) {
	if string(got) != x.payload {
		f.t.Errorf("payload %q, want %q", got, x.payload)
	}
}

// after lets the daemon die behind its results, where the recording does.
func (f *fake) after(key string) {
	if f.dies && strings.Contains(key, `"results"`) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dead = true
		for conn := range f.conns {
			conn.Close()
		}
	}
}

// take finds the answer to a request. The version may be asked for any number of
// times, as may the status of a unit: it stays what it was recorded as last.
func (f *fake) take(key string) *exchange {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := strings.Contains(key, `"subcommand":"status"`)
	var last *exchange
	for _, x := range f.exchanges {
		if x.request == key && (!x.used || strings.Contains(key, `"Version"`)) {
			x.used = true
			return x
		}
		if x.request == key {
			last = x
		}
	}
	switch {
	case !status:
		return nil
	case last == nil:
		last = &exchange{replies: []string{`{"Detail":"Starting Worker","ExtraData":null,"State":0,"StateName":"Pending","StdoutSize":0,"WorkType":"remote"}` + "\n"}}
	}
	return last
}

// unused are the recorded requests that were not made.
func (f *fake) unused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for _, x := range f.exchanges {
		if !x.used {
			keys = append(keys, x.request)
		}
	}
	return keys
}

// requestKey brings a request of either version and form into one form: the
// members of version 1's JSON form, sorted.
func requestKey(line []byte) string {
	text := strings.TrimRight(string(line), "\r\n")
	members := map[string]any{}
	if strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return "not JSON: " + text
		}
	} else {
		members = textMembers(strings.Split(text, " "))
	}
	delete(members, "id")
	if params, ok := members["params"].(map[string]any); ok { // version 2's submit
		delete(members, "params")
		for k, v := range params {
			members[k] = v
		}
	}
	if members["signwork"] == true {
		members["signwork"] = "true"
	}
	if members["subcommand"] == "follow" {
		members["subcommand"] = "results"
		delete(members, "stderr")
		delete(members, "stderrpos")
	}
	key, _ := json.Marshal(members)
	return string(key)
}

func textMembers(words []string) map[string]any {
	m := map[string]any{"command": words[0]}
	names := map[string][]string{
		"ping": {"target"}, "traceroute": {"target"}, "connect": {"node", "service", "tls"},
		"work": {"subcommand", "unitid", "startpos"},
	}[words[0]]
	for i, word := range words[1:] {
		if i >= len(names) || word == "" {
			continue
		}
		m[names[i]] = any(word)
		if names[i] == "startpos" {
			m[names[i]] = json.Number(word)
		}
	}
	return m
}
