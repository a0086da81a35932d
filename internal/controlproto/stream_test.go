package controlproto

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

// Each read of a streamed payload is sent at once, and the end of the unit ends
// the submission, though the payload goes on. The session can be used further.
func TestSubmitStream(t *testing.T) {
	said := make(chan string)
	c := open(t, func(p *peer) {
		p.greet2()
		p.want(`{"id":1,"command":"work","subcommand":"submit","node":"n","worktype":"cat","stream":true,"stderr":"separate"}`)
		p.send(`{"id":1,"event":"unit","data":{"unitid":"u","received":0}}` + "\n")
		for _, text := range []string{"one", "three"} {
			said <- text // nothing more is read before it has arrived
			p.r.ReadString('\n')
			p.wantBytes(text)
		}
		p.send(`{"id":1,"result":{"result":"Job Started","unitid":"u"}}` + "\n")
		p.want(`{"id":2,"command":"status"}`) // and neither more payload nor its end
		p.send(`{"id":2,"result":{}}` + "\n")
	})
	out, in := io.Pipe()
	go func() {
		for range 2 {
			io.WriteString(in, <-said)
		}
	}()
	sent := false
	done, err := c.Submit(t.Context(), Submit{Node: "n", WorkType: "cat", Stream: true, Stderr: StderrSeparate}, out, SubmitOptions{
		Resume: true, Sent: func() { sent = true }, Abandon: func() { out.CloseWithError(errGivenUp) },
	})
	if err != nil || done != (Submitted{JobStarted, "u"}) || sent {
		t.Errorf("%+v, %v, end sent: %v", done, err, sent)
	}
	if err := c.Call(t.Context(), map[string]any{"command": "status"}, nil); err != nil {
		t.Errorf("the session goes on: %v", err)
	}
}

// What version 1 has no place for is refused before anything is sent.
func TestOnlyVersion2(t *testing.T) {
	c := open(t, func(p *peer) {
		p.greet1()
		p.want(`{"command":"status"}`)
		p.send("{}\n")
	})
	for name, do := range map[string]func() error{
		"stream": func() error {
			_, err := c.Submit(t.Context(), Submit{Stream: true}, untouched{t}, SubmitOptions{})
			return err
		},
		"stderr": func() error {
			_, err := c.Submit(t.Context(), Submit{Stderr: StderrSeparate}, untouched{t}, SubmitOptions{})
			return err
		},
		"follow stderr": func() error {
			_, err := c.Follow(t.Context(), "x", io.Discard, FollowOptions{Stderr: io.Discard})
			return err
		},
		"follow no output": func() error {
			_, err := c.Follow(t.Context(), "x", nil, FollowOptions{})
			return err
		},
	} {
		if err := do(); CodeOf(err) != Invalid || !strings.Contains(err.Error(), "version 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Call(t.Context(), map[string]any{"command": "status"}, nil); err != nil {
		t.Error(err)
	}
}

func TestFollowStderr(t *testing.T) {
	c := open(t, func(p *peer) {
		p.greet2()
		p.want(`{"id":1,"command":"work","subcommand":"follow","unitid":"x","startpos":3,"stderr":true,"stderrpos":2}`)
		p.send(`{"id":1,"bytes":3}`+"\nout", `{"id":1,"bytes":3,"stream":"stderr"}`+"\nerr",
			`{"id":1,"bytes":5,"stream":"later"}`+"\nwhat?", `{"id":1,"bytes":1}`+"\n!", `{"id":1,"result":{"State":3,"ExitCode":7,"StderrSize":5,"Ended":"2026-11-23T10:00:00Z"}}`+"\n")
		p.want(`{"id":2,"command":"work","subcommand":"follow","unitid":"x","startpos":0,"stderr":true,"stderrpos":0,"output":false}`)
		p.send(`{"id":2,"bytes":3}`+"\nout", `{"id":2,"bytes":1,"stream":"stderr"}`+"\ne", `{"id":2,"result":{"State":2}}`+"\n")
	})
	var out, errOut bytes.Buffer
	u, err := c.Follow(t.Context(), "x", &out, FollowOptions{From: 3, Stderr: &errOut, StderrFrom: 2})
	if err != nil || out.String() != "out!" || errOut.String() != "err" {
		t.Errorf("%v, output %q, error output %q", err, &out, &errOut)
	}
	if u.ExitCode == nil || *u.ExitCode != 7 || u.StderrSize == nil || *u.StderrSize != 5 || u.Ended.IsZero() {
		t.Errorf("last status %+v", u)
	}
	errOut.Reset()
	if _, err := c.Follow(t.Context(), "x", nil, FollowOptions{Stderr: &errOut}); err != nil || errOut.String() != "e" {
		t.Errorf("%v, error output %q", err, &errOut)
	}
}

func TestAdopt(t *testing.T) {
	c := open(t, func(p *peer) {
		p.greet2()
		p.want(`{"id":1,"command":"work","subcommand":"adopt","node":"n","unitid":"far","tlsclient":"c","signwork":true}`)
		p.send(`{"id":1,"result":{"result":"Adopted","unitid":"near"}}` + "\n")
	})
	done, err := c.Adopt(t.Context(), Adopt{Node: "n", UnitID: "far", TLSClient: "c", SignWork: true})
	if err != nil || done != (Adopted{ResultAdopted, "near"}) {
		t.Errorf("%+v, %v", done, err)
	}
	c = open(t, func(p *peer) {
		p.greet1()
		p.want(`{"command":"work","subcommand":"adopt","node":"n","unitid":"far"}`)
		p.send("ERROR: bad command\n")
	})
	_, err = c.Adopt(t.Context(), Adopt{Node: "n", UnitID: "far"})
	wantError(t, err, Invalid, "the daemon does not know work adopt")
}

// The bytes of a record in version 1 are those of ansible/receptor, whatever is known.
func TestUnitStatusV1(t *testing.T) {
	code, size := 3, int64(9)
	u := UnitStatus{Detail: "exit status 3", State: Failed, StateName: "Failed", StdoutSize: 12, WorkType: "cat",
		ExitCode: &code, StderrSize: &size, Ended: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	for want, u := range map[string]UnitStatus{
		`{"Detail":"exit status 3","ExtraData":null,"State":3,"StateName":"Failed","StdoutSize":12,"WorkType":"cat"}`:                                                            u.V1(),
		`{"Detail":"exit status 3","ExtraData":null,"State":3,"StateName":"Failed","StdoutSize":12,"WorkType":"cat","ExitCode":3,"StderrSize":9,"Ended":"2026-11-23T10:00:00Z"}`: u,
	} {
		if got, err := json.Marshal(u); err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
}
