package controlproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// v1 is what a daemon of version 1 says, and what it is told.
type v1 struct {
	canned
	told  bytes.Buffer
	ended bool
}

func (c *v1) Write(p []byte) (int, error) { return c.told.Write(p) }
func (c *v1) CloseWrite() error           { c.ended = true; return nil }

// line takes the next line off what a daemon says, as the protocol has it.
func line(said []byte) (line string, rest []byte, ok bool) {
	l, rest, _ := bytes.Cut(said, []byte("\n"))
	return strings.ReplaceAll(string(l), "\r", ""), rest, len(said) > 0
}

// FuzzClientV1 compares what a client makes of the words of a daemon of version 1,
// the greeting first, with what they say.
func FuzzClientV1(f *testing.F) {
	for _, said := range []string{
		"Receptor Control, node x\nStreaming results for work unit abcdefgh\nout\x00put\nERROR: none\n",
		"Receptor Control, node x\r\nWork unit created with ID abcdefgh. Send stdin data and EOF.\n{\"result\": \"Job Started\", \"unitid\": \"abcdefgh\"}\n",
		"Receptor Control, node x\nWork unit created with ID abcdefgh. Send stdin data and EOF.\nERROR: unknown work type\n",
		"Receptor Control, node x\nWork unit created with ID ab cd. Send stdin data and EOF.\n",
		"Receptor Control, node x\nWork unit created with ID .\n", "Receptor Control, node x\nWork unit created with ID abcdefgh",
		"Receptor Control, node x\n" + `{"Detail":"exit status 3","ExtraData":null,"State":3,"StateName":"Failed","StdoutSize":12,"WorkType":"echo"}` + "\n",
		"Receptor Control, node x\n" + `{"State":-1,"StdoutSize":-9223372036854775808,"Detail":"\u001b[31m","Ended":"9999-12-31T23:59:59-23:59"}` + "\n",
		"Receptor Control, node x\n" + `{"Ended":"` + strings.Repeat("\x97", MaxText/2) + `"}` + "\n",
		"Receptor Control, node x\n" + `{"0":{"From":"x","Time":1,"TimeStr":"1ns"},"1":{"Error":"no route"}}` + "\n",
		"Receptor Control, node x\n" + `{"NodeID":"x","Connections":[{"NodeID":"y","Cost":1e308}],"KnownConnectionCosts":{"x":{"y":-1}},"Advertisements":null}` + "\n",
		"Receptor Control, node x\nERROR: unknown work unit abcdefgh\n", "Receptor Control, node x\nERROR:\n", "Receptor Control, node x\nConnecting\nraw",
		"Receptor Control, node \n", "Receptor Control, node x", "SSH-2.0-x\r\n", "\n", "", "\r\n\r\n\xff\n",
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		open := func() (*Client, *v1, []byte) {
			conn := &v1{canned: canned{bytes.NewReader(said)}}
			c, err := OpenV1(t.Context(), conn)
			greeting, rest, ok := line(said)
			node, greets := strings.CutPrefix(strings.TrimSpace(greeting), GreetingPrefix)
			if ok = ok && greets && node != ""; ok != (err == nil) || ok && (c.Node() != node || c.Version() != V1) {
				t.Fatalf("%q greets: %v", greeting, err)
			}
			if !ok {
				checkError(t, err)
				return nil, nil, nil
			}
			return c, conn, rest
		}
		c, _, rest := open()
		if c == nil {
			return
		}
		answer, rest, answers := line(rest)
		_, refused := strings.CutPrefix(answer, "ERROR:")
		fails := func(what string, err error) {
			t.Helper()
			e, ok := errors.AsType[*Error](err)
			switch {
			case answers && refused && (!ok || e.Code == NotFound != strings.Contains(e.Message, "unknown work unit")):
				t.Errorf("%s: %q becomes %v", what, answer, err)
			case err == nil:
				t.Errorf("%s: %q is taken", what, answer)
			default:
				checkError(t, err)
			}
		}

		var out bytes.Buffer
		_, err := c.Follow(t.Context(), "abcdefgh", &out, FollowOptions{})
		if answers && !refused && strings.Contains(answer, "Streaming results") {
			if err != nil || !bytes.Equal(out.Bytes(), rest) {
				t.Errorf("results: %q of %q, %v", out.Bytes(), rest, err)
			}
		} else if fails("results", err); out.Len() > 0 {
			t.Errorf("results: %q behind %q", out.Bytes(), answer)
		}

		c, _, _ = open()
		s, err := c.Connect(t.Context(), "n", "s", "")
		if answers && !refused && strings.HasPrefix(answer, "Connecting") {
			if got, e := io.ReadAll(s); err != nil || e != nil || !bytes.Equal(got, rest) {
				t.Errorf("connect: %q of %q, %v, %v", got, rest, err, e)
			}
		} else {
			fails("connect", err)
		}

		c, conn, _ := open()
		checkSubmit(t, c, conn, answer)

		for _, reply := range []any{&UnitStatus{}, &Status{}, &Trace{}, &map[string]UnitStatus{}} {
			c, _, _ = open()
			if err := c.Call(t.Context(), map[string]any{"command": "x"}, reply); err != nil {
				fails("call", err)
				continue
			}
			checkReply(t, answer, reply)
		}
	})
}

// checkSubmit: a payload goes only to a unit that has an id, and whole.
func checkSubmit(t *testing.T, c *Client, conn *v1, answer string) {
	conn.told.Reset()
	var created []string
	done, err := c.Submit(t.Context(), Submit{Node: "n", WorkType: "w"}, strings.NewReader("payload"), SubmitOptions{
		Created: func(u UnitEvent) { created = append(created, u.UnitID) },
	})
	if err != nil {
		checkError(t, err)
	}
	_, payload, _ := strings.Cut(conn.told.String(), "\n")
	switch {
	case len(created) == 0 && (err == nil || payload != "" || conn.ended):
		t.Errorf("%q: sent %q to no unit: %+v, %v", answer, payload, done, err)
	case len(created) == 0:
	case len(created) > 1 || payload != "payload" || !conn.ended:
		t.Errorf("%q: units %q, sent %q", answer, created, payload)
	case !strings.Contains(answer, "with ID "+created[0]+".") || strings.ContainsAny(created[0], " \t\n\x00") || len(created[0]) > MaxUnitID || created[0] == "":
		t.Errorf("%q: unit %q", answer, created[0])
	case err != nil && done.UnitID != created[0]:
		t.Errorf("%q: %v, and the unit is %+v", answer, err, done)
	}
}

// checkReply: what was understood can be said again, and means the same.
func checkReply(t *testing.T, answer string, reply any) {
	again, err := json.Marshal(reply)
	if err != nil {
		t.Fatalf("%T of %q: %v", reply, answer, err)
	}
	back := reflect.New(reflect.TypeOf(reply).Elem()).Interface()
	if err := json.Unmarshal(again, back); err != nil {
		t.Fatalf("%T as %s: %v", reply, again, err)
	}
	twice, err := json.Marshal(back)
	if err != nil || !bytes.Equal(again, twice) {
		t.Errorf("%s became %s, %v", again, twice, err)
	}
	if trace, ok := reply.(*Trace); ok && len(trace.Hops()) > len(*trace) {
		t.Errorf("%d hops of %d", len(trace.Hops()), len(*trace))
	}
}

// checkError: an error is fit to be kept and logged, whatever the other side says.
func checkError(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); text == "" && !errors.As(err, new(*Error)) || len(text) > MaxText+200 {
		t.Errorf("error of %d bytes: %.200s", len(text), text)
	}
}

// What another node says about a failure is kept in units and logs, so it is
// bounded: by one byte over the limit the middle is left out.
func TestErrorTextIsBounded(t *testing.T) {
	v2 := func(said string) string {
		b, _ := json.Marshal(Frame{ID: 1, Error: New(Invalid, said)})
		return greeting + welcome + string(b) + "\n"
	}
	for name, tt := range map[string]struct {
		said  func(text string) string
		extra int // what is before the text
	}{
		"version 1": {func(text string) string { return greeting + unknown + "ERROR: " + text + "\n" }, 0},
		"version 2": {v2, 0},
		"no id":     {func(text string) string { return greeting + unknown + text + "\n" }, len("could not parse response: ")},
		"hello":     {func(text string) string { return greeting + "ERROR: " + text + "\n" }, 0},
	} {
		for _, over := range []int{0, 1, MaxLine / 2} {
			text := "begin" + strings.Repeat("ü", (MaxText-tt.extra+over-10)/2) + strings.Repeat("x", (MaxText-tt.extra+over)%2) + "end"
			text += strings.Repeat("!", MaxText-tt.extra+over-len(text))
			c, err := Open(t.Context(), &canned{strings.NewReader(tt.said(text))})
			if err == nil {
				_, err = c.Submit(t.Context(), Submit{}, nil, SubmitOptions{})
			}
			got := err.Error()[tt.extra:]
			if over == 0 && got != text {
				t.Errorf("%s: a text that fits is changed: %.80q", name, got)
			}
			if over > 0 && (len(err.Error()) > MaxText || len(got) < MaxText-50-tt.extra || !strings.HasPrefix(got, "beginü") ||
				!strings.HasSuffix(strings.TrimRight(got, "!"), "end") || !strings.Contains(got, "...") || !utf8.ValidString(got)) {
				t.Errorf("%s, %d bytes more: %d bytes, %.20q to %q", name, over, len(got), got, got[len(got)-20:])
			}
		}
	}
}

// An id that a daemon gives to a unit is asked for in a line of words, and kept.
func TestUnitIDIsAWord(t *testing.T) {
	for id, ok := range map[string]bool{
		"abcdefgh": true, strings.Repeat("x", MaxUnitID): true, strings.Repeat("x", MaxUnitID+1): false,
		"a b": false, "a\tb": false, "a\x00": false, "a\u0085b": false, "": false,
	} {
		c, err := OpenV1(t.Context(), &canned{strings.NewReader(greeting + "Work unit created with ID " + id + ". Send stdin data and EOF.\n{}\n")})
		if err != nil {
			t.Fatal(err)
		}
		created := false
		_, err = c.Submit(t.Context(), Submit{}, nil, SubmitOptions{Created: func(UnitEvent) { created = true }})
		if created != ok || ok != (err == nil) || !ok && !strings.HasPrefix(err.Error(), "could not parse response: ") {
			t.Errorf("%.20q: created %t, %v", id, created, err)
		}
	}
}
