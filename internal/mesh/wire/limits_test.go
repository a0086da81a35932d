package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestLimits takes each limit of what comes from outside: exactly at it a frame is good,
// with one byte more it is refused, and the error says what is too long and what would do.
func TestLimits(t *testing.T) {
	parse := map[string]func(body string) error{
		"update":  func(s string) error { _, err := ParseUpdate([]byte("\x01" + s)); return err },
		"advert":  func(s string) error { _, err := ParseAdvert([]byte("\x02" + s)); return err },
		"problem": func(s string) error { _, err := ParseProblem([]byte(s)); return err },
	}
	// The same names as the usual form has them, which is decoded by other code.
	usual := func(field, text string) string {
		u := Update{NodeID: "n", UpdateID: "i", ForwardingNode: "f", Connections: map[NodeID]float64{}}
		switch field {
		case "NodeID":
			u.NodeID = NodeID(text)
		case "ForwardingNode":
			u.ForwardingNode = NodeID(text)
		case "UpdateID":
			u.UpdateID = text
		case "link":
			u.Connections[NodeID(text)] = 1
		}
		return string(AppendUpdate(nil, u)[1:])
	}
	for _, c := range []struct {
		kind  string
		body  func(text string) string
		limit int
		says  string
	}{
		{"update", func(s string) string { return `{"NodeID":"` + s + `"}` }, MaxNodeID, "NodeID has %d bytes"},
		{"update", func(s string) string { return `{"ForwardingNode":"` + s + `"}` }, MaxNodeID, "ForwardingNode has %d bytes"},
		{"update", func(s string) string { return `{"UpdateID":"` + s + `"}` }, MaxUpdateID, "UpdateID has %d bytes"},
		{"update", func(s string) string { return `{"Connections":{"a":1,"` + s + `":1}}` }, MaxNodeID, "name in Connections has %d bytes"},
		{"update", func(s string) string { return usual("NodeID", s) }, MaxNodeID, "NodeID has %d bytes"},
		{"update", func(s string) string { return usual("ForwardingNode", s) }, MaxNodeID, "ForwardingNode has %d bytes"},
		{"update", func(s string) string { return usual("UpdateID", s) }, MaxUpdateID, "UpdateID has %d bytes"},
		{"update", func(s string) string { return usual("link", s) }, MaxNodeID, "name in Connections has %d bytes"},
		{"update", func(s string) string { return `{"x":"` + s + `"}` }, MaxFrame - len("\x01"+`{"x":""}`), ""},
		{"advert", func(s string) string { return `{"Service":"s","NodeID":"` + s + `"}` }, MaxNodeID, "NodeID has %d bytes"},
		{"advert", func(s string) string { return `{"NodeID":"n","Service":"` + s + `"}` }, MaxService, ""},
		{"advert", func(s string) string { return `{"NodeID":"n","Service":"s","Tags":{"t":"` + s + `"}}` },
			MaxFrame - len("\x02"+`{"NodeID":"n","Service":"s","Tags":{"t":""}}`), ""},
		{"problem", func(s string) string { return `{"FromNode":"` + s + `"}` }, MaxNodeID, "node name has %d bytes"},
		{"problem", func(s string) string { return `{"ToNode":"` + s + `"}` }, MaxNodeID, "node name has %d bytes"},
		{"problem", func(s string) string { return `{"FromService":"` + s + `"}` }, MaxService, "service name has %d bytes"},
		{"problem", func(s string) string { return `{"ToService":"` + s + `"}` }, MaxService, "service name has %d bytes"},
		{"problem", func(s string) string { return `{"Problem":"` + s + `"}` }, MaxPayload - len(`{"Problem":""}`), ""},
	} {
		name := strings.ReplaceAll(c.body("TEXT"), "TEXT", "...")
		if err := parse[c.kind](c.body(strings.Repeat("x", c.limit))); err != nil {
			t.Errorf("%s %s of %d bytes: %v", c.kind, name, c.limit, err)
		}
		if c.limit%2 == 1 { // bytes count, not characters
			if err := parse[c.kind](c.body(strings.Repeat("é", c.limit/2+1))); err == nil {
				t.Errorf("%s %s of %d bytes in %d characters is taken", c.kind, name, c.limit+1, c.limit/2+1)
			}
		}
		err := parse[c.kind](c.body(strings.Repeat("x", c.limit+1)))
		e, ok := errors.AsType[*Error](err)
		says, most := c.says, c.limit
		switch {
		case says != "":
			says = fmt.Sprintf(says, c.limit+1)
		case c.limit == MaxService:
			says = "has 9 bytes"
		default: // the whole frame, or payload
			most = MaxFrame
			if c.kind == "problem" {
				most = MaxPayload
			}
			says = fmt.Sprintf("%d bytes", most+1)
		}
		if !ok || !strings.Contains(e.Error(), says) || !strings.Contains(e.Error(), fmt.Sprintf("at most %d are allowed", most)) {
			t.Errorf("%s %s of one byte more: %v", c.kind, name, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	}
}

// TestLimitsOfOurNames does the same for what is configured here.
func TestLimitsOfOurNames(t *testing.T) {
	for what, c := range map[string]struct {
		parse func(string) error
		limit int
	}{
		"node ID":      {func(s string) error { _, err := ParseNodeID(s); return err }, MaxNodeID},
		"service name": {func(s string) error { _, err := ParseService(s); return err }, MaxService},
	} {
		if err := c.parse(strings.Repeat("x", c.limit)); err != nil {
			t.Error(err)
		}
		want := fmt.Sprintf("has %d bytes, at most %d are allowed", c.limit+1, c.limit)
		if err := c.parse(strings.Repeat("x", c.limit+1)); err == nil || !strings.HasPrefix(err.Error(), what) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s of one byte more: %v", what, err)
		}
		if err := c.parse(""); err == nil || err.Error() != what+" is empty" {
			t.Errorf("no %s: %v", what, err)
		}
	}
}

// TestConnectionsOfOneUpdate: as many links as fit a frame are taken, and one more is not.
func TestConnectionsOfOneUpdate(t *testing.T) {
	u := Update{NodeID: "n", ForwardingNode: "n", UpdateID: "12345678", Connections: map[NodeID]float64{}}
	link := func() NodeID { return NodeID(fmt.Sprintf("%05x", len(u.Connections))) }
	most := (MaxFrame - len(AppendUpdate(nil, u)) + len(",")) / len(`"00000":1,`)
	for range most {
		u.Connections[link()] = 1
	}
	if got, err := ParseUpdate(AppendUpdate(nil, u)); err != nil || len(got.Connections) != most {
		t.Errorf("%d of %d connections, %v", len(got.Connections), most, err)
	}
	u.Connections[link()] = 1
	if _, err := ParseUpdate(AppendUpdate(nil, u)); err == nil {
		t.Errorf("%d connections are taken", len(u.Connections))
	}
}
