package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work"
)

// A follower of a daemon that is being stopped is told so.
func TestShutdownIsTold(t *testing.T) {
	p := scene(t)["controller01"]
	ln := listenTCP(t)
	_, stop := serveAt(t, p, ln, true)
	sub, err := p.work.Create(controlproto.Submit{Node: "controller01", WorkType: "sleep-loop"}, work.Origin{UnixSocket: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := sub.ID() // it goes on
	c := dialTCP(t, ln)
	fmt.Fprintln(c, `{"command":"hello","versions":[2]}`)
	c.want("{")
	fmt.Fprintf(c, "{\"id\":1,\"command\":\"work\",\"subcommand\":\"follow\",\"unitid\":%q}\n", id)
	c.want(`{"`)
	stop()
	for {
		var f controlproto.Frame
		if err := json.Unmarshal([]byte("{"+c.want("{")), &f); err != nil {
			t.Fatal(err)
		}
		if f.Error == nil {
			continue // the status
		}
		if f.Error.Code != controlproto.Unreachable || f.Error.Message != "the daemon is shutting down" {
			t.Errorf("told %+v", f.Error)
		}
		return
	}
}

func TestParseWork(t *testing.T) {
	adopt := func(node, unit, tls string, sign bool) workArgs {
		return workArgs{sub: "adopt", output: true, adopt: controlproto.Adopt{Node: node, UnitID: unit, TLSClient: tls, SignWork: sign}}
	}
	tests := []struct {
		line string // of version 2 if it has an id
		want workArgs
		err  string
	}{
		{line: "work adopt n u", want: adopt("n", "u", "", false)},
		{line: "work ADOPT n u c", want: adopt("n", "u", "c", false)},
		{line: "work adopt n", err: "work adopt requires a node and a unit ID"},
		{line: "work adopt n u c d", err: "work adopt only takes a node, a unit ID and optional TLS client"},
		{line: `{"command":"work","subcommand":"adopt","node":"n","unitid":"u","tlsclient":"c","signwork":"true"}`, want: adopt("n", "u", "c", true)},
		{line: `{"command":"work","subcommand":"adopt","node":"n","unitid":"u","signwork":true}`, want: adopt("n", "u", "", true)},
		{line: `{"id":1,"command":"work","subcommand":"adopt","node":"n","unitid":"u","signwork":true}`, want: adopt("n", "u", "", true)},
		{line: `{"id":1,"command":"work","subcommand":"adopt","node":"n","unitid":"u","signwork":"true"}`, err: "field signwork must be a boolean"},
		{line: `{"command":"work","subcommand":"adopt","unitid":"u"}`, err: "field node missing"},
		{line: `{"command":"work","subcommand":"adopt","node":"n"}`, err: "field unitid missing"},
		{line: `{"command":"work","subcommand":"adopt","node":"n","unitid":7}`, err: "field unitid must be a string"},
		{line: `{"command":"work","subcommand":"adopt","node":"n","unitid":"u","tlsclient":null}`, err: "field tlsclient must be a string"},

		{line: `{"id":1,"command":"work","subcommand":"follow","unitid":"u","stderr":true,"stderrpos":7,"output":false}`,
			want: workArgs{sub: "follow", unit: "u", stderr: true, stderrpos: 7}},
		{line: `{"id":1,"command":"work","subcommand":"results","unitid":"u","startpos":2}`, want: workArgs{sub: "results", unit: "u", startpos: 2, output: true}},
		{line: `{"id":1,"command":"work","subcommand":"follow","unitid":"u","stderr":1}`, err: "field stderr must be a boolean"},
		{line: `{"id":1,"command":"work","subcommand":"follow","unitid":"u","stderrpos":"x"}`, err: `strconv.ParseInt: parsing "x": invalid syntax`},
		{line: `{"command":"work","subcommand":"results","unitid":"u","startpos":0,"stderr":true,"output":false}`, // version 1 has neither
			want: workArgs{sub: "results", unit: "u", output: true}},
		{line: `{"id":1,"command":"work","subcommand":"submit","node":"n","worktype":"w","stream":"yes"}`, err: "member stream has the wrong type: string"},
	}
	for _, tt := range tests {
		var r controlproto.Request
		var err error
		if strings.HasPrefix(tt.line, `{"id"`) {
			var l controlproto.Line2
			l, err = controlproto.ParseLine2([]byte(tt.line))
			r = *l.Request
		} else {
			r, err = controlproto.ParseRequest([]byte(tt.line))
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseWork(r)
		switch {
		case tt.err != "":
			if err == nil || err.Error() != tt.err || controlproto.CodeOf(err) != controlproto.Invalid {
				t.Errorf("%s: %v, want %s", tt.line, err, tt.err)
			}
		case err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want):
			t.Errorf("%s: %+v, %v\nwant %+v", tt.line, got, err, tt.want)
		}
	}
}

// In version 2 stream and stderr are members of a submit; in version 1 they are
// parameters of the worker like any other.
func TestParseSubmitStream(t *testing.T) {
	l, err := controlproto.ParseLine2([]byte(`{"id":1,"command":"work","subcommand":"submit","node":"n","worktype":"w","stream":true,"stderr":"separate"}`))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := parseWork(*l.Request); err != nil || !a.submit.Stream || a.submit.Stderr != controlproto.StderrSeparate {
		t.Errorf("version 2: %+v, %v", a.submit, err)
	}
	r, err := controlproto.ParseRequest([]byte(`{"command":"work","subcommand":"submit","node":"n","worktype":"w","stream":"true","stderr":"separate"}`))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := parseWork(r); err != nil || a.submit.Stream || a.submit.Stderr != "" || a.submit.Params["stderr"] != "separate" {
		t.Errorf("version 1: %+v, %v", a.submit, err)
	}
}
