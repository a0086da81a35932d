package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// usualBeta is the example of spec mesh-protocol 6.
const usualBeta = "\x01" + `{"NodeID":"beta","UpdateID":"vZY1GLKv","UpdateEpoch":30121901109578300,"UpdateSequence":2,` +
	`"Connections":{"alpha":1},"ForwardingNode":"beta","SuspectedDuplicate":0}`

func beta() Update {
	return Update{NodeID: "beta", UpdateID: "vZY1GLKv", UpdateEpoch: 30121901109578300, UpdateSequence: 2,
		Connections: map[NodeID]float64{"alpha": 1}, ForwardingNode: "beta"}
}

func TestAppendUpdateIsEncodingJSON(t *testing.T) {
	updates := []Update{
		{},
		beta(),
		{Connections: map[NodeID]float64{}},
		{NodeID: "<a&b>", UpdateID: "q\"\\\n\u2028é\x7f", ForwardingNode: "\xff", SuspectedDuplicate: math.MaxUint64, UpdateEpoch: 1<<63 + 1},
		{Connections: map[NodeID]float64{"b": 1.5, "a": 0.25, "": 0, "c": -1, "d": 1e21, "e": 1e-7, "f": 1e20, "g": 1e15,
			"h": -1e15, "i": math.Copysign(0, -1), "j": math.MaxFloat64, "k": 5e-324, "l": 999999999999999, "m": 0.1, "é": 3}},
	}
	for _, u := range updates {
		want, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendUpdate(nil, u); string(got) != "\x01"+string(want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	}
	if got := AppendUpdate([]byte("x"), beta()); string(got) != "x"+usualBeta {
		t.Errorf("got %q", got)
	}
}

func TestAppendUpdateLeavesOutWhatJSONCannotExpress(t *testing.T) {
	u := Update{Connections: map[NodeID]float64{"a": math.NaN(), "b": 1, "c": math.Inf(-1), "d": 2}}
	if got := AppendUpdate(nil, u); !bytes.Contains(got, []byte(`"Connections":{"b":1,"d":2}`)) {
		t.Errorf("got %q", got)
	}
}

func TestParseUpdate(t *testing.T) {
	tests := []struct {
		name, body string
		want       Update
	}{
		{"usual", usualBeta[1:], beta()},
		{"64 bits", `{"UpdateEpoch":18446744073709551615,"SuspectedDuplicate":9007199254740993}`,
			Update{UpdateEpoch: math.MaxUint64, SuspectedDuplicate: 9007199254740993}},
		{"empty object", `{}`, Update{}},
		{"null", `null`, Update{}},
		{"null fields", `{"NodeID":null,"UpdateID":null,"UpdateEpoch":null,"UpdateSequence":null,"Connections":null,"ForwardingNode":null,"SuspectedDuplicate":null}`, Update{}},
		{"null cost", `{"Connections":{"a":null}}`, Update{Connections: map[NodeID]float64{"a": 0}}},
		{"any case", `{"nodeid":"a","FORWARDINGNODE":"b","connections":{"c":2}}`,
			Update{NodeID: "a", ForwardingNode: "b", Connections: map[NodeID]float64{"c": 2}}},
		{"unknown fields", `{"NodeID":"a","New":{"x":[1]}}`, Update{NodeID: "a"}},
		{"white space", " {\n\t\"NodeID\" : \"a\" } ", Update{NodeID: "a"}},
		{"escapes", `{"NodeID":"\u003ca\u003e"}`, Update{NodeID: "<a>"}},
		{"repeated field", `{"NodeID":"a","NodeID":"b"}`, Update{NodeID: "b"}},
		{"repeated link", `{"Connections":{"a":1,"a":2}}`, Update{Connections: map[NodeID]float64{"a": 2}}},
		{"odd costs", `{"Connections":{"dst":0,"src":-1,"x":1e-3}}`, Update{Connections: map[NodeID]float64{"dst": 0, "src": -1, "x": 0.001}}},
		{"longest name", `{"NodeID":"` + strings.Repeat("n", MaxNodeID) + `"}`, Update{NodeID: NodeID(strings.Repeat("n", MaxNodeID))}},
	}
	for _, tt := range tests {
		got, err := ParseUpdate([]byte("\x01" + tt.body))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %v, %v\nwant %v", tt.name, got, err, tt.want)
		}
	}
}

// long makes a frame of the wanted size that encoding/json would accept.
func long(t Type, size int) []byte {
	b := append([]byte{byte(t)}, `{"NodeID":"a","Service":"s","x":"`...)
	b = append(b, bytes.Repeat([]byte("x"), size-len(b)-2)...)
	return append(b, `"}`...)
}

func TestParseUpdateRefuses(t *testing.T) {
	over := strings.Repeat("n", MaxNodeID+1)
	for _, frame := range []string{
		"", "\x01", "\x00{}", "\x02{}", "\x01[]", "\x01 ", "\x01{", "\x01{}x", "\x01{}{}", "\x01\"a\"", "\x01true", "\x017",
		`{"NodeID":"a"}`,
		"\x01" + `{"NodeID":1}`,
		"\x01" + `{"UpdateEpoch":-1}`,
		"\x01" + `{"UpdateEpoch":1.5}`,
		"\x01" + `{"UpdateEpoch":1e3}`,
		"\x01" + `{"UpdateEpoch":18446744073709551616}`,
		"\x01" + `{"UpdateEpoch":"1"}`,
		"\x01" + `{"Connections":[]}`,
		"\x01" + `{"Connections":{"a":"1"}}`,
		"\x01" + `{"Connections":{"a":1e400}}`,
		"\x01" + `{"Connections":{"a":NaN}}`,
		strings.Replace(usualBeta, `"alpha":1`, `"alpha":1e999`, 1),
		strings.Replace(usualBeta, `"alpha":1`, `"alpha":01`, 1),
		strings.Replace(usualBeta, `"alpha":1`, `"alpha":1,`, 1),
		strings.Replace(usualBeta, `"alpha":1`, `,"alpha":1`, 1),
		strings.Replace(usualBeta, `30121901109578300`, `030121901109578300`, 1),
		strings.Replace(usualBeta, `30121901109578300`, `99999999999999999999`, 1),
		usualBeta + " x",
		usualBeta[:len(usualBeta)-1],
		"\x01" + `{"NodeID":"` + over + `"}`,
		"\x01" + `{"ForwardingNode":"` + over + `"}`,
		"\x01" + `{"UpdateID":"` + over + `"}`,
		"\x01" + `{"Connections":{"` + over + `":1}}`,
		strings.Replace(usualBeta, `"alpha"`, `"`+over+`"`, 1),
		string(long(TypeUpdate, MaxFrame+1)),
	} {
		u, err := ParseUpdate([]byte(frame))
		var e *Error
		if !errors.As(err, &e) || !reflect.DeepEqual(u, Update{}) {
			t.Errorf("%.80q: got %v, %v", frame, u, err)
		}
		if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("error has several lines: %q", err)
		}
	}
	if _, err := ParseUpdate(long(TypeUpdate, MaxFrame)); err != nil {
		t.Errorf("largest frame: %v", err)
	}
}

func TestPeekOrigin(t *testing.T) {
	node, id, ok := PeekOrigin([]byte(usualBeta))
	if !ok || string(node) != "beta" || string(id) != "vZY1GLKv" {
		t.Errorf("got %q %q %v", node, id, ok)
	}
	for _, frame := range []string{
		"", "\x01", "\x01{}", usualBeta[1:], "\x02" + usualBeta[1:],
		usualBeta[:40],
		strings.Replace(usualBeta, `{"N`, `{ "N`, 1),
		strings.Replace(usualBeta, `NodeID`, `nodeid`, 1),
		strings.Replace(usualBeta, `"beta"`, `"b\u0065ta"`, 1),
		strings.Replace(usualBeta, `"vZY1GLKv"`, `"vZY1GLK\""`, 1),
	} {
		if _, _, ok := PeekOrigin([]byte(frame)); ok {
			t.Errorf("%q: accepted", frame)
		}
	}
}

func TestForwardUpdate(t *testing.T) {
	for _, by := range []NodeID{"gamma", "<é>", ""} {
		want := beta()
		want.ForwardingNode = by
		got, err := ForwardUpdate([]byte("x"), []byte(usualBeta), by)
		if err != nil || string(got) != "x"+string(AppendUpdate(nil, want)) {
			t.Errorf("%q: got %q, %v", by, got, err)
		}
	}
	odd := "\x01" + `{ "forwardingnode":"a", "Connections":{"b":1.50}, "NodeID":"n", "Unknown":"ForwardingNode" }`
	want := Update{NodeID: "n", Connections: map[NodeID]float64{"b": 1.5}, ForwardingNode: "me"}
	if got, err := ForwardUpdate(nil, []byte(odd), "me"); err != nil || string(got) != string(AppendUpdate(nil, want)) {
		t.Errorf("odd form: got %q, %v", got, err)
	}
	// A name may look like what the fast way searches for.
	trick := Update{NodeID: "a", ForwardingNode: "b", Connections: map[NodeID]float64{`","ForwardingNode":"z`: 1}}
	got, err := ForwardUpdate(nil, AppendUpdate(nil, trick), "me")
	trick.ForwardingNode = "me"
	if err != nil || string(got) != string(AppendUpdate(nil, trick)) {
		t.Errorf("trick: got %q, %v", got, err)
	}
}

func TestForwardUpdateKeepsTheLimit(t *testing.T) {
	u := beta()
	for i := 0; len(AppendUpdate(nil, u)) <= MaxFrame; i++ {
		u.Connections[NodeID(strings.Repeat("x", i%200)+string(rune('a'+i%26))+strings.Repeat("y", i%55))] = float64(i)
	}
	for id := range u.Connections { // back under the limit, and then up to it exactly
		if delete(u.Connections, id); len(AppendUpdate(nil, u)) <= MaxFrame {
			break
		}
	}
	frame := AppendUpdate(nil, u)
	u.UpdateID += strings.Repeat("u", min(MaxFrame-len(frame), MaxUpdateID-8))
	frame = AppendUpdate(nil, u)
	room := MaxFrame - len(frame)
	fits := NodeID(strings.Repeat("f", min(len("beta")+room, MaxNodeID)))
	if _, err := ForwardUpdate(nil, frame, fits); err != nil {
		t.Errorf("%d bytes of room: %v", room, err)
	}
	over := NodeID(strings.Repeat("f", len("beta")+room+1))
	b, err := ForwardUpdate([]byte("x"), frame, over)
	var e *Error
	if !errors.As(err, &e) || string(b) != "x" {
		t.Errorf("one byte over: %d bytes, %v", len(b), err)
	}
}

func FuzzParseUpdate(f *testing.F) {
	for _, s := range []string{
		usualBeta, "", "\x01", "\x01{}", "\x01null", "\x01[]",
		strings.Replace(usualBeta, `{"alpha":1}`, `null`, 1),
		strings.Replace(usualBeta, `{"alpha":1}`, `{}`, 1),
		strings.Replace(usualBeta, `{"alpha":1}`, `{"a":-0.5e+3,"b":0,"a":2}`, 1),
		strings.Replace(usualBeta, `{"alpha":1}`, `{"a":-0.5e+90113,"b":0,"a":2}`, 1),
		strings.Replace(usualBeta, `alpha`, "\xff\xfe", 1),
		strings.Replace(usualBeta, `"UpdateID":"`, `"UpdateID":"`+strings.Repeat("u", MaxUpdateID), 1),
		strings.Replace(usualBeta, `alpha`, `\u0061`, 1),
		"\x01" + `{"nodeid":"a","Connections":{"b":null}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if usual, ok := parseUsual(frame); ok {
			var slow Update
			if err := json.Unmarshal(frame[1:], &slow); err != nil || !reflect.DeepEqual(usual, slow) {
				t.Fatalf("fast %v\nslow %v, %v", usual, slow, err)
			}
		}
		u, err := ParseUpdate(frame)
		forwarded, ferr := ForwardUpdate(nil, frame, "me")
		if err != nil {
			return
		}
		if node, id, ok := PeekOrigin(frame); ok && jsonPlain(frame) && (string(node) != string(u.NodeID) || string(id) != u.UpdateID) {
			t.Fatalf("peeked %q %q, parsed %q %q", node, id, u.NodeID, u.UpdateID)
		}
		if ferr == nil {
			u2, err := ParseUpdate(forwarded)
			want := u
			want.ForwardingNode = "me"
			if err != nil || !reflect.DeepEqual(u2, want) {
				t.Fatalf("forwarded: %v, %v\nwant %v", u2, err, want)
			}
		}
		again := AppendUpdate(nil, u)
		if len(again) > MaxFrame {
			return // escapes made it longer
		}
		u3, err := ParseUpdate(again)
		if err != nil || !reflect.DeepEqual(u3, u) {
			t.Fatalf("again: %v, %v\nwant %v", u3, err, u)
		}
	})
}

// jsonPlain tells that no field can be repeated: then what is peeked must be
// what is parsed.
func jsonPlain(frame []byte) bool {
	_, ok := scanUsual(frame)
	return ok
}
