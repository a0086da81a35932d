package controlproto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestSubmitV1(t *testing.T) {
	c := open(t, func(p *peer) {
		p.greet1()
		p.want(`{"command":"work","subcommand":"submit","node":"executor01","worktype":"cat","tlsclient":"c","ttl":"1h","signwork":"true","signature":"s","params":"a b","secret_x":"1"}`)
		p.send("Work unit created with ID abcdefgh. Send stdin data and EOF.\n")
		p.wantEnd("pay\r\n\x00load")
		p.send(`{"result":"Job Started","unitid":"abcdefgh"}` + "\n")
	})
	unit := ""
	done, err := c.Submit(t.Context(), Submit{Node: "executor01", WorkType: "cat", TLSClient: "c", TTL: "1h", SignWork: true,
		Signature: "s", Params: map[string]string{"params": "a b", "secret_x": "1"}},
		strings.NewReader("pay\r\n\x00load"), SubmitOptions{Created: func(u UnitEvent) { unit = u.UnitID }, Resume: true})
	if err != nil || done != (Submitted{JobStarted, "abcdefgh"}) || unit != "abcdefgh" {
		t.Errorf("%+v, %v, created %q", done, err, unit)
	}
	if _, err := c.Submit(t.Context(), Submit{}, nil, SubmitOptions{}); err != ErrSpent {
		t.Errorf("the session is used up: %v", err)
	}
}

func TestSubmitV1Refused(t *testing.T) {
	created := false
	o := SubmitOptions{Created: func(UnitEvent) { created = true }}
	c := open(t, func(p *peer) {
		p.greet1()
		p.want(`{"command":"work","subcommand":"submit","node":"","worktype":"nosuch"}`)
		p.send("ERROR: unknown work type nosuch\n")
		p.want(`{"command":"work","subcommand":"submit","node":"","worktype":"cat"}`) // and not the payload
		p.send("Work unit created with ID abcdefgh. Send stdin data and EOF.\n")
		p.wantEnd("payload")
		p.send("ERROR: could not parse response: ERROR: x\n")
	})
	_, err := c.Submit(t.Context(), Submit{WorkType: "nosuch"}, strings.NewReader("status\n"), o)
	wantError(t, err, Internal, "unknown work type nosuch")
	if created {
		t.Error("a unit that was refused was called created")
	}
	done, err := c.Submit(t.Context(), Submit{WorkType: "cat"}, strings.NewReader("payload"), o)
	wantError(t, err, Internal, "could not parse response: ERROR: x")
	if done.UnitID != "abcdefgh" || !created {
		t.Errorf("%+v: what is left of it is not told", done)
	}
}

// A daemon that stops taking the payload may have said why.
func TestSubmitV1RefusedWhileSending(t *testing.T) {
	c := open(t, func(p *peer) {
		p.greet1()
		p.r.ReadString('\n')
		p.send("Work unit created with ID abcdefgh. Send stdin data and EOF.\n")
		p.wantBytes("begin")
		p.conn.PipeReader.Close()
		p.send("ERROR: no space left on device\n")
	})
	endless := io.MultiReader(strings.NewReader("begin"), &letters{})
	_, err := c.Submit(t.Context(), Submit{}, endless, SubmitOptions{})
	wantError(t, err, Internal, "no space left on device")
}

func TestSubmitPayloadBreaksOff(t *testing.T) {
	for _, version := range []int{V1, V2} {
		c := open(t, func(p *peer) {
			if version == V1 {
				p.greet1()
				p.r.ReadString('\n')
				p.send("Work unit created with ID abcdefgh. Send stdin data and EOF.\n")
			} else {
				p.greet2()
				p.r.ReadString('\n')
				p.send(`{"id":1,"event":"unit","data":{"unitid":"abcdefgh","received":0}}` + "\n")
				p.want(`{"id":1,"bytes":5}`)
			}
			p.wantBytes("begin")
			rest, _ := io.ReadAll(p.r)
			if strings.Contains(string(rest), "eof") {
				t.Errorf("version 2 calls it the end: %q", rest)
			}
		})
		_, err := c.Submit(t.Context(), Submit{}, breaksOff("begin", errGivenUp), SubmitOptions{Resume: true})
		if !errors.Is(err, errGivenUp) || !strings.HasPrefix(err.Error(), "read payload: ") {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

func TestSubmitV2(t *testing.T) {
	big := strings.Repeat("x", ChunkSize+1)
	c := open(t, func(p *peer) {
		p.greet2()
		p.want(`{"id":1,"command":"work","subcommand":"submit","node":"executor01","worktype":"cat","unitid":"u","tlsclient":"c","ttl":"1h","signwork":true,"signature":"s","params":{"command":"x"}}`)
		// Input may come before the unit is there.
		p.want(fmt.Sprintf(`{"id":1,"bytes":%d}`, ChunkSize))
		p.wantBytes(big[:ChunkSize])
		p.want(`{"id":1,"bytes":1}`)
		p.wantBytes("x")
		p.want(`{"id":1,"eof":true}`)
		p.send(`{"id":1,"event":"unit","data":{"unitid":"u","received":0}}`+"\n", `{"id":1,"result":{"result":"Job Submitted","unitid":"u"}}`+"\n")
		p.want(`{"id":2,"command":"work","subcommand":"submit","node":"","worktype":""}`)
		p.want(`{"id":2,"eof":true}`)
		p.send(`{"id":2,"error":{"code":"invalid","message":"field node missing"}}` + "\n")
		p.want(`{"id":3,"command":"status"}`)
		p.send(`{"id":3,"result":{}}` + "\n")
	})
	var created UnitEvent
	done, err := c.Submit(t.Context(), Submit{Node: "executor01", WorkType: "cat", UnitID: "u", TLSClient: "c", TTL: "1h", SignWork: true,
		Signature: "s", Params: map[string]string{"command": "x"}}, strings.NewReader(big), SubmitOptions{Created: func(u UnitEvent) { created = u }})
	if err != nil || done != (Submitted{JobSubmitted, "u"}) || created.UnitID != "u" {
		t.Errorf("%+v, %v, created %+v", done, err, created)
	}
	_, err = c.Submit(t.Context(), Submit{}, nil, SubmitOptions{})
	wantError(t, err, Invalid, "field node missing")
	if err := c.Call(t.Context(), map[string]any{"command": "status"}, nil); err != nil {
		t.Errorf("the session goes on: %v", err)
	}
}

// A repeated submission goes on behind what the daemon has.
func TestSubmitResumed(t *testing.T) {
	repeated := func(p *peer) {
		p.greet2()
		p.r.ReadString('\n')
		p.send(`{"id":1,"event":"unit","data":{"unitid":"u","received":5}}` + "\n")
	}
	c := open(t, func(p *peer) {
		repeated(p)
		p.want(`{"id":1,"bytes":4}`)
		p.wantBytes(" end")
		p.want(`{"id":1,"eof":true}`)
		p.send(`{"id":1,"result":{"result":"Job Started","unitid":"u"}}` + "\n")
	})
	events := 0
	o := SubmitOptions{Resume: true, Created: func(u UnitEvent) { events++ }}
	if _, err := c.Submit(t.Context(), Submit{UnitID: "u"}, strings.NewReader("begin end"), o); err != nil || events != 1 {
		t.Errorf("%v, told %d times", err, events)
	}
	// What cannot be rewound cannot be resumed.
	_, err := open(t, repeated).Submit(t.Context(), Submit{UnitID: "u"}, breaksOff("x", io.EOF), o)
	if CodeOf(err) != Internal || !strings.Contains(err.Error(), "cannot be resumed") {
		t.Errorf("error %v", err)
	}
	// The daemon may refuse instead, before anything of the payload is read.
	c = open(t, func(p *peer) {
		p.greet2()
		p.r.ReadString('\n')
		p.send(`{"id":1,"error":{"code":"exists","message":"unit u is somebody else's"}}` + "\n")
	})
	_, err = c.Submit(t.Context(), Submit{UnitID: "u"}, untouched{t}, o)
	wantError(t, err, Exists, "unit u is somebody else's")
}

type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the payload was read")
	return 0, io.EOF
}

// A payload that is refused while it is sent: the daemon drops the rest, and the
// session goes on.
func TestSubmitV2RefusedWhileSending(t *testing.T) {
	c := open(t, func(p *peer) {
		p.greet2()
		p.r.ReadString('\n')
		p.want(`{"id":1,"bytes":5}`)
		p.wantBytes("begin")
		p.send(`{"id":1,"error":{"code":"denied","message":"enough"}}` + "\n")
		p.want(`{"id":1,"bytes":4}`)
		p.wantBytes(" end")
		p.want(`{"id":1,"eof":true}`)
		p.want(`{"id":2,"command":"status"}`)
		p.send(`{"id":2,"result":{}}` + "\n")
	})
	payload := io.MultiReader(strings.NewReader("begin"), strings.NewReader(" end"))
	_, err := c.Submit(t.Context(), Submit{}, payload, SubmitOptions{})
	wantError(t, err, Denied, "enough")
	if err := c.Call(t.Context(), map[string]any{"command": "status"}, nil); err != nil {
		t.Errorf("the session goes on: %v", err)
	}
}

// A payload that nobody types any more does not hold up the answer, nor the
// caller's change of mind, nor the loss of the connection.
func TestSubmitAbandons(t *testing.T) {
	for name, end := range map[string]func(p *peer, cancel context.CancelCauseFunc){
		"refused": func(p *peer, _ context.CancelCauseFunc) {
			p.send(`{"id":1,"error":{"code":"denied","message":"enough"}}` + "\n")
		},
		"cancelled": func(_ *peer, cancel context.CancelCauseFunc) { cancel(errGivenUp) },
		"cut":       func(p *peer, _ context.CancelCauseFunc) { p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			c := open(t, func(p *peer) {
				p.greet2()
				p.r.ReadString('\n')
				p.want(`{"id":1,"bytes":5}`)
				p.wantBytes("begin")
				end(p, cancel)
				io.Copy(io.Discard, p.r)
			})
			typed, terminal := io.Pipe()
			defer typed.Close()
			go terminal.Write([]byte("begin"))
			_, err := c.Submit(ctx, Submit{}, typed, SubmitOptions{Abandon: func() { typed.CloseWithError(errors.New("abandoned")) }})
			switch name {
			case "refused":
				wantError(t, err, Denied, "enough")
			case "cancelled":
				wantCause(t, err, errGivenUp)
			case "cut":
				wantCause(t, err, io.ErrUnexpectedEOF)
			}
		})
	}
}

// A daemon that talks nonsense and takes nothing any more holds up nobody.
func TestSubmitNonsense(t *testing.T) {
	done := make(chan struct{})
	c := open(t, func(p *peer) {
		p.greet2()
		p.r.ReadString('\n')
		p.want(fmt.Sprintf(`{"id":1,"bytes":%d}`, ChunkSize))
		p.send("nonsense\n")
		<-done
	})
	_, err := c.Submit(t.Context(), Submit{}, &letters{}, SubmitOptions{})
	close(done)
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v", err)
	}
}

// The connection may be cut in each phase; none of them is a success.
func TestCuts(t *testing.T) {
	unit := `{"id":1,"event":"unit","data":{"unitid":"u","received":0}}` + "\n"
	conversations := map[string]struct {
		version int
		say     string // cut behind each byte of it
		do      func(c *Client) error
	}{
		"submit 1": {V1, "Work unit created with ID u. Send stdin data and EOF.\n" + `{"result":"Job Started","unitid":"u"}`, func(c *Client) error {
			_, err := c.Submit(t.Context(), Submit{}, strings.NewReader("payload"), SubmitOptions{})
			return err
		}},
		"submit 2": {V2, unit + `{"id":1,"result":{"result":"Job Started","unitid":"u"}}`, func(c *Client) error {
			_, err := c.Submit(t.Context(), Submit{}, strings.NewReader("payload"), SubmitOptions{})
			return err
		}},
		"resumed submit 2": {V2, unit + `{"id":1,"result":{"result":"Job Started","unitid":"u"}}`, func(c *Client) error {
			_, err := c.Submit(t.Context(), Submit{}, strings.NewReader("payload"), SubmitOptions{Resume: true})
			return err
		}},
		"follow 2": {V2, `{"id":1,"event":"status","data":{}}` + "\n" + `{"id":1,"bytes":3}` + "\nabc" + `{"id":1,"result":{"State":2}}`, func(c *Client) error {
			_, err := c.Follow(t.Context(), "u", io.Discard, FollowOptions{})
			return err
		}},
		"call 1": {V1, `{"Success":true}`, func(c *Client) error {
			return c.Call(t.Context(), map[string]any{"command": "reload"}, &Reload{})
		}},
		"call 2": {V2, `{"id":1,"result":{"Success":true}}`, func(c *Client) error {
			return c.Call(t.Context(), map[string]any{"command": "reload"}, &Reload{})
		}},
	}
	for name, tt := range conversations {
		start := greeting + unknown
		if tt.version == V2 {
			start = greeting + welcome
		}
		for n := range len(tt.say) + 1 {
			c, err := Open(t.Context(), &canned{Reader: strings.NewReader(start + tt.say[:n])})
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.do(c); (err == nil) != (n == len(tt.say)) {
				t.Errorf("%s cut behind %q: %v", name, tt.say[:n], err)
			}
		}
	}
}
