package work

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// The pauses of spec work 7.3: 1, 1.5, 2.25, ... s, at most 60 s.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff()
		want := time.Second
		for range 20 {
			start := time.Now()
			if !b.wait(t.Context(), nil) {
				t.Fatal("the context has not ended")
			}
			if d := time.Since(start); d != want {
				t.Errorf("pause %v, want %v", d, want)
			}
			want = min(want*3/2, time.Minute)
		}
		kick := make(chan struct{}, 1)
		poke(kick)
		start := time.Now()
		b.wait(t.Context(), kick)
		b.until(t.Context(), nil, start)
		if d := time.Since(start); d != 0 {
			t.Errorf("a kick or a deadline comes after %v", d)
		}
	})
}

// A node that cannot be reached is tried at the pace of the original, and the
// Detail says since when it is silent.
func TestRemotePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.bar.m.watch.close() // waiting for inotify would hold the clock
		p.link.cut()
		start := time.Now()
		var tries []string
		p.foo.stop()
		p.foo.c.Dial = countingDial(p.link, func() { tries = append(tries, fmt.Sprintf("%.2f", time.Since(start).Seconds())) })
		p.foo.start()
		id, _, err := p.hand("true", "", "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := strings.Join(tries, " "); got != "0.00 1.00 2.50 4.75" {
			t.Errorf("tries at %s", got)
		}
		u, _ := p.foo.m.Status(id)
		if want := "Starting Worker (node bar not heard of since " + start.Format("Mon Jan 2 15:04:05") + ": no route to node)"; u.Detail != want {
			t.Errorf("%q, want %q", u.Detail, want)
		}
		if strings.Contains(p.foo.file(id, fileStatus), "heard") {
			t.Error("that is on disk")
		}
		p.link.mend()
		p.foo.await(id, controlproto.Succeeded)
		if u, _ := p.foo.m.Status(id); u.Detail != "exit status 0" {
			t.Errorf("%+v", u)
		}
	})
}

// A unit that waits for a node is handed on as soon as there is a way to it, and
// not at the end of a pause that has become long.
func TestRemoteReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.bar.m.watch.close() // waiting for inotify would hold the clock
		p.link.cut()
		id, _, err := p.hand("true", "", "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		p.link.mend()
		mended := time.Now()
		p.foo.m.Reached("elsewhere", "bar")
		p.foo.await(id, controlproto.Succeeded)
		if d := time.Since(mended); d > time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// A stream that has died without a sign is replaced.
func TestStalledStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		follows := 0
		ended := controlproto.UnitStatus{State: controlproto.Succeeded, Detail: "exit status 0", StdoutSize: 3, WorkType: "cat", ExtraData: json.RawMessage("null")}
		l := newLink(t, true, func(conn *end) {
			r, w := controlproto.NewReader(conn), controlproto.NewWriter(conn)
			w.Line(controlproto.Greeting("bar"))
			r.ReadLine()
			w.JSON(controlproto.Welcome{Version: 2, Node: "bar"})
			for {
				line, err := r.ReadLine()
				if err != nil {
					return
				}
				q, _ := controlproto.ParseLine2(line)
				if q.Request == nil {
					if q.Frame.EOF {
						w.JSON(controlproto.Frame{ID: q.Frame.ID, Result: json.RawMessage(`{"result":"Job Started","unitid":"x"}`)})
					}
					continue
				}
				id := q.Request.ID
				switch sub, _ := q.Request.String("subcommand"); sub {
				case "submit":
					w.JSON(controlproto.Frame{ID: id, Event: "unit", Data: json.RawMessage(`{"unitid":"x","received":0}`)})
				case "follow":
					if follows++; follows == 1 {
						continue // silence for ever
					}
					w.Bytes(id, []byte("out"))
					result, _ := json.Marshal(ended)
					w.JSON(controlproto.Frame{ID: id, Result: result})
				case "status":
					result, _ := json.Marshal(ended)
					w.JSON(controlproto.Frame{ID: id, Result: result})
				}
			}
		})
		foo, _ := newNode(t, "foo", func(c *Config) { c.Dial = l.dial })
		start := time.Now()
		id, _, err := foo.submit(controlproto.Submit{Node: "bar", WorkType: "cat"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := foo.results(id, 0); out != "out" {
			t.Errorf("%q", out)
		}
		if d := time.Since(start); d > firstProbe+probePatience+2*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
