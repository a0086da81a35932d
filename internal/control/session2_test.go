package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// peer2 is a bare client of version 2.
type peer2 struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

func open2(t *testing.T, p *place) *peer2 {
	t.Helper()
	c := &peer2{t: t, conn: dialPlace(t, p)}
	c.lines = bufio.NewReader(c.conn)
	c.lines.ReadString('\n')
	c.say(`{"command":"hello","versions":[1,2,3]}`)
	var w controlproto.Welcome
	if err := json.Unmarshal([]byte(c.line()), &w); err != nil || w.Version != 2 || w.Node == "" || w.Software != "1.5.0" {
		t.Fatalf("welcome %+v, %v", w, err)
	}
	return c
}

func (c *peer2) say(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\n")+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *peer2) line() string {
	c.t.Helper()
	line, err := c.lines.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %q, %v", line, err)
	}
	return line
}

// frame reads a line, and the bytes that it announces.
func (c *peer2) frame() (controlproto.Frame, string) {
	c.t.Helper()
	var f controlproto.Frame
	line := c.line()
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		c.t.Fatalf("%s: %v", line, err)
	}
	data := make([]byte, f.Bytes)
	if _, err := io.ReadFull(c.lines, data); err != nil {
		c.t.Fatal(err)
	}
	return f, string(data)
}

// end reads frames of a request up to its end; it collects its output.
func (c *peer2) end(id uint64) (f controlproto.Frame, output string) {
	c.t.Helper()
	for {
		f, data := c.frame()
		if f.ID != id {
			c.t.Fatalf("frame of request %d: %+v", f.ID, f)
		}
		output += data
		if f.Result != nil || f.Error != nil {
			return f, output
		}
	}
}

func TestSession2(t *testing.T) {
	places := scene(t)
	p := places["controller01"]

	t.Run("a slow request does not hold up the next", func(t *testing.T) {
		c := open2(t, p)
		c.say(`{"id":7,"command":"work","subcommand":"submit","node":"localhost","worktype":"cat"}`,
			`{"id":8,"command":"ping","target":"executor01"}`)
		for { // the answer to 8 while 7 waits for its payload
			if f, _ := c.frame(); f.ID == 8 && f.Result != nil {
				break
			}
		}
		c.say(`{"id":7,"bytes":6}`)
		io.WriteString(c.conn, "hello\n")
		c.say(`{"id":7,"eof":true}`)
		f, _ := c.end(7)
		var done controlproto.Submitted
		if json.Unmarshal(f.Result, &done); done.Result != controlproto.JobStarted {
			t.Fatalf("result %s %v", f.Result, f.Error)
		}
		c.say(fmt.Sprintf(`{"id":9,"command":"work","subcommand":"follow","unitid":%q}`, done.UnitID))
		f, out := c.end(9)
		var u controlproto.UnitStatus
		if json.Unmarshal(f.Result, &u); out != "hello\n" || u.State != controlproto.Succeeded || u.StdoutSize != 6 {
			t.Errorf("follow: %q, %s", out, f.Result)
		}
		c.say(fmt.Sprintf(`{"id":10,"command":"work","subcommand":"follow","unitid":%q,"startpos":3}`, done.UnitID))
		if _, out := c.end(10); out != "lo\n" {
			t.Errorf("follow from 3: %q", out)
		}
	})

	t.Run("errors have codes", func(t *testing.T) {
		c := open2(t, p)
		for request, want := range map[string]controlproto.Error{
			`"command":"nosuch"`: {Code: controlproto.Invalid, Message: "Unknown command"},
			`"command":"work","subcommand":"status","unitid":"nosuch"`:                                {Code: controlproto.NotFound, Message: "unknown work unit nosuch"},
			`"command":"work","subcommand":"submit","node":"localhost","worktype":"nosuch"`:           {Code: controlproto.NotFound, Message: "unknown work type nosuch"},
			`"command":"work","subcommand":"submit","node":"localhost","worktype":"cat","params":"x"`: {Code: controlproto.Invalid},
			`"command":"connect","node":"nosuch","service":"control"`:                                 {Code: controlproto.Unreachable},
			`"command":"connect","node":"executor01","service":"nosuch"`:                              {Code: controlproto.NotFound},
			`"command":"ping"`: {Code: controlproto.Invalid, Message: "no ping target"},
		} {
			c.say(`{"id":1,` + request + `}`)
			f, _ := c.end(1)
			if f.Error == nil || f.Error.Code != want.Code || want.Message != "" && f.Error.Message != want.Message {
				t.Errorf("%s: %+v, want %+v", request, f.Error, want)
			}
			// The id is free again once the session has seen that the request
			// ended, which is before it reads the next line.
		}
	})

	t.Run("a submission can be repeated", func(t *testing.T) {
		submit := `{"id":1,"command":"work","subcommand":"submit","node":"localhost","worktype":"cat","unitid":"AbCd1234"}`
		cut := open2(t, p)
		cut.say(submit, `{"id":1,"bytes":4}`)
		io.WriteString(cut.conn, "one\n")
		if f, _ := cut.frame(); f.Event != controlproto.EventUnit {
			t.Fatalf("frame %+v", f)
		}
		eventually(t, "the payload arrives", func() bool {
			data, _ := os.ReadFile(filepath.Join(p.dir, "AbCd1234", "stdin"))
			return string(data) == "one\n"
		})
		cut.conn.Close()
		var u controlproto.UnitEvent
		var c *peer2
		eventually(t, "the cut submission is free to be repeated", func() bool {
			c = open2(t, p)
			c.say(submit)
			f, _ := c.frame()
			return f.Error == nil && json.Unmarshal(f.Data, &u) == nil
		})
		if u.UnitID != "AbCd1234" || u.Received != 4 {
			t.Fatalf("unit %+v", u)
		}
		c.say(`{"id":1,"bytes":4}`)
		io.WriteString(c.conn, "two\n")
		c.say(`{"id":1,"eof":true}`)
		if f, _ := c.end(1); f.Error != nil {
			t.Fatal(f.Error)
		}
		// Once more: it runs no second time.
		c.say(submit, `{"id":1,"eof":true}`)
		if f, _ := c.end(1); f.Error != nil {
			t.Fatal(f.Error)
		}
		c.say(`{"id":2,"command":"work","subcommand":"results","unitid":"AbCd1234"}`)
		if f, out := c.end(2); out != "one\ntwo\n" || f.Error != nil {
			t.Errorf("results %q, %v", out, f.Error)
		}
	})

	t.Run("a payload that breaks off starts nothing", func(t *testing.T) {
		c := open2(t, p)
		c.say(`{"id":1,"command":"work","subcommand":"submit","node":"localhost","worktype":"cat"}`)
		f, _ := c.frame()
		var u controlproto.UnitEvent
		json.Unmarshal(f.Data, &u)
		c.say(`{"id":1,"bytes":4}`)
		io.WriteString(c.conn, "half")
		c.conn.Close()
		eventually(t, "the unit has failed", func() bool {
			st, err := p.work.Status(u.UnitID)
			return err == nil && st.State == controlproto.Failed && strings.HasPrefix(st.Detail, "Error reading input data")
		})
	})

	t.Run("cancel ends a request", func(t *testing.T) {
		c := open2(t, p)
		c.say(`{"id":1,"command":"work","subcommand":"submit","node":"localhost","worktype":"sleep-loop"}`, `{"id":1,"eof":true}`)
		f, _ := c.end(1)
		var done controlproto.Submitted
		json.Unmarshal(f.Result, &done)
		c.say(fmt.Sprintf(`{"id":2,"command":"work","subcommand":"follow","unitid":%q}`, done.UnitID), `{"id":2,"cancel":true}`)
		if f, _ := c.end(2); f.Error == nil || f.Error.Code != controlproto.Canceled {
			t.Errorf("frame %+v", f)
		}
		c.say(fmt.Sprintf(`{"id":3,"command":"work","subcommand":"release","unitid":%q}`, done.UnitID))
		if f, _ := c.end(3); f.Error != nil {
			t.Error(f.Error)
		}
	})

	t.Run("connect bridges", func(t *testing.T) {
		c := open2(t, p)
		c.say(`{"id":1,"command":"connect","node":"executor01","service":"control"}`)
		var got string
		want := "Receptor Control, node executor01\nERROR: Unknown command\n"
		request := "nonsense\n"
		c.say(fmt.Sprintf(`{"id":1,"bytes":%d}`, len(request)))
		io.WriteString(c.conn, request)
		for len(got) < len(want) {
			_, data := c.frame()
			got += data
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		c.say(`{"id":1,"eof":true}`)
		if f, _ := c.end(1); f.Error != nil {
			t.Error(f.Error)
		}
	})

	t.Run("limits", func(t *testing.T) {
		c := open2(t, p)
		for id := 1; id <= controlproto.MaxActive+1; id++ {
			c.say(fmt.Sprintf(`{"id":%d,"command":"work","subcommand":"submit","node":"localhost","worktype":"cat"}`, id))
		}
		for { // all but the last are accepted
			f, _ := c.frame()
			if f.Error != nil {
				if f.ID != controlproto.MaxActive+1 || f.Error.Code != controlproto.Busy {
					t.Errorf("frame %+v", f)
				}
				break
			}
		}
		for _, line := range []string{`no json`, `{"command":"status"}`, `{"id":1,"bytes":99999999}`} {
			c := open2(t, p)
			c.say(line)
			if f, _ := c.frame(); f.ID != 0 || f.Error == nil || f.Error.Code != controlproto.Invalid {
				t.Errorf("%s: %+v", line, f)
			}
			if rest, err := io.ReadAll(c.lines); err != nil || len(rest) > 0 {
				t.Errorf("%s: the session goes on: %q, %v", line, rest, err)
			}
		}
	})

	t.Run("a half-closed session is answered", func(t *testing.T) {
		c := open2(t, p)
		c.say(`{"id":1,"command":"ping","target":"executor01"}`)
		c.conn.(*net.UnixConn).CloseWrite()
		if f, _ := c.end(1); f.Error != nil || !bytes.Contains(f.Result, []byte(`"Success":true`)) {
			t.Errorf("frame %+v", f)
		}
		if rest, _ := io.ReadAll(c.lines); len(rest) > 0 {
			t.Errorf("after the answer: %q", rest)
		}
	})
}

// TestFollowerGone holds that a results stream does not outlive its client,
// and that a half-close does not end it.
func TestFollowerGone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	p := scene(t)["controller01"]
	r := &replay{places: map[string]*place{"controller01": p}, ids: map[string]string{}}
	r.prepare(t, []string{"submit", "sleep-loop", "unit"})
	conn := dialPlace(t, p)
	lines := bufio.NewReader(conn)
	fmt.Fprintf(conn, "work results %s\n", r.ids["unit"])
	conn.(*net.UnixConn).CloseWrite()
	for _, want := range []string{"Receptor Control, node controller01\n", "Streaming results for work unit " + r.ids["unit"] + "\n", "tick 1\n"} {
		if got, err := lines.ReadString('\n'); got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	streams := func() int { return strings.Count(stacks(), "workFollow") }
	if streams() != 1 {
		t.Fatalf("%d streams", streams())
	}
	conn.Close()
	eventually(t, "the stream has ended", func() bool { return streams() == 0 })
	if _, err := p.work.Release(t.Context(), r.ids["unit"], false); err != nil {
		t.Error(err)
	}
}

func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// TestSessionLimit holds that one session too many is told so.
func TestSessionLimit(t *testing.T) {
	p := scene(t)["controller01"]
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := New(Config{Node: p.node, Work: p.work, TLSClient: noTLS, MaxSessions: 1})
	served := make(chan error)
	go func() { served <- server.Serve(t.Context(), ln, false) }()
	read := func(conn net.Conn) string {
		conn.SetDeadline(time.Now().Add(patience))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return line
	}
	first, _ := net.Dial("tcp", ln.Addr().String())
	if got := read(first); !strings.HasPrefix(got, "Receptor Control") {
		t.Errorf("first: %q", got)
	}
	second, _ := net.Dial("tcp", ln.Addr().String())
	if got := read(second); !strings.HasPrefix(got, "ERROR: too many control sessions") {
		t.Errorf("second: %q", got)
	}
	first.Close()
	eventually(t, "the place is free again", func() bool {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return false
		}
		defer conn.Close()
		return strings.HasPrefix(read(conn), "Receptor Control")
	})
	second.Close()
	ln.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A node that refuses a streamed unit is the outcome of the submission, in the
// words and with the code of one that is not streamed, though the rest of the
// payload never comes.
func TestStreamThatItsNodeRefuses(t *testing.T) {
	p := scene(t)["controller01"]
	for _, stream := range []bool{false, true} {
		c := open2(t, p)
		c.say(fmt.Sprintf(`{"id":1,"command":"work","subcommand":"submit","node":"executor01","worktype":"nosuch","stream":%v}`, stream))
		if f, _ := c.frame(); f.Event != controlproto.EventUnit {
			t.Fatalf("stream %v: %+v", stream, f)
		}
		if !stream {
			c.say(`{"id":1,"eof":true}`)
		}
		f, _ := c.end(1)
		if f.Error == nil || f.Error.Code != controlproto.NotFound || f.Error.Message != "could not parse response: ERROR: unknown work type nosuch" {
			t.Errorf("stream %v: result %s, error %+v", stream, f.Result, f.Error)
		}
	}
}

// A release that overtakes the submission that it is about: no work is started.
func TestReleaseBeforeSubmit(t *testing.T) {
	c := open2(t, scene(t)["executor01"])
	c.say(`{"id":1,"command":"work","subcommand":"release","unitid":"Overtook"}`)
	if f, _ := c.end(1); f.Error == nil || f.Error.Code != controlproto.NotFound {
		t.Errorf("release of nothing: %+v", f.Error)
	}
	c.say(`{"id":2,"command":"work","subcommand":"submit","node":"executor01","worktype":"cat","unitid":"Overtook","stream":true}`)
	if f, _ := c.end(2); f.Error == nil || f.Error.Code != controlproto.NotFound || !strings.Contains(f.Error.Message, "was released") {
		t.Errorf("submitted after its release: %s %+v", f.Result, f.Error)
	}
}
