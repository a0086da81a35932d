package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAppendAdvertIsEncodingJSON(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	for _, a := range []Advert{
		{},
		{NodeID: "a", Service: "s", Time: time.Date(2026, 1, 1, 2, 0, 1, 1, zone), ConnType: StreamTLS,
			Tags: map[string]string{"type": "x", "a": "<&>"}, WorkCommands: []WorkCommand{{"w1", true}, {"w\"2", false}}},
		{NodeID: "é", Tags: map[string]string{}, WorkCommands: []WorkCommand{}, Cancel: true},
	} {
		want, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendAdvert(nil, a); string(got) != "\x02"+string(want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	}
	late := Advert{NodeID: "a", Service: "s", Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if a, err := ParseAdvert(AppendAdvert(nil, late)); err != nil || !a.Time.IsZero() {
		t.Errorf("year 10000: %v, %v", a, err)
	}
}

func TestParseAdvert(t *testing.T) {
	a, err := ParseAdvert([]byte("\x02" + `{"nodeid":"ghost","service":"svc2","time":"2026-01-01T02:00:01.000000001+02:00","conntype":0,"tags":{"a":"b"},"extra":1}`))
	want := time.Date(2026, 1, 1, 0, 0, 1, 1, time.UTC)
	if err != nil || !a.Time.Equal(want) || a.Tags["a"] != "b" || a.Cancel || a.WorkCommands != nil {
		t.Errorf("got %v, %v", a, err)
	}
	if _, offset := a.Time.Zone(); offset != 7200 {
		t.Errorf("the zone is lost: %v", a.Time)
	}
	if a, err := ParseAdvert([]byte("\x02" + `{"NodeID":"a","Service":"s","Time":null,"ConnType":null,"Tags":null,"WorkCommands":null,"Cancel":null}`)); err != nil ||
		!reflect.DeepEqual(a, Advert{NodeID: "a", Service: "s"}) {
		t.Errorf("nulls: %v, %v", a, err)
	}
	if _, err := ParseAdvert(long(TypeAdvert, MaxFrame)); err != nil {
		t.Errorf("largest frame: %v", err)
	}
}

func TestParseAdvertRefuses(t *testing.T) {
	for _, frame := range []string{
		"", "\x02", "\x01{}", "\x02{}", "\x02null", "\x02[]", "\x02{", "\x02{}x",
		"\x02" + `{"NodeID":"a"}`,
		"\x02" + `{"Service":"s"}`,
		"\x02" + `{"NodeID":null,"Service":null}`,
		"\x02" + `{"NodeID":"a","Service":"123456789"}`,
		"\x02" + `{"NodeID":"a","Service":"s\u0000"}`,
		"\x02" + `{"NodeID":"` + strings.Repeat("n", MaxNodeID+1) + `","Service":"s"}`,
		"\x02" + `{"NodeID":"a","Service":"s","Time":"yesterday"}`,
		"\x02" + `{"NodeID":"a","Service":"s","ConnType":256}`,
		"\x02" + `{"NodeID":"a","Service":"s","ConnType":-1}`,
		"\x02" + `{"NodeID":"a","Service":"s","WorkCommands":{}}`,
		string(long(TypeAdvert, MaxFrame+1)),
	} {
		a, err := ParseAdvert([]byte(frame))
		var e *Error
		if !errors.As(err, &e) || !reflect.DeepEqual(a, Advert{}) {
			t.Errorf("%.80q: got %v, %v", frame, a, err)
		}
	}
}

func FuzzParseAdvert(f *testing.F) {
	for _, s := range []string{"", "\x02{}", "\x02null", "\x02[]",
		"\x02" + `{"NodeID":"a","Service":"s","Time":"2026-11-23T03:40:19.036850763Z","ConnType":1,"Tags":{"type":"x"},"WorkCommands":[{"WorkType":"w","Secure":true}],"Cancel":true}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		a, err := ParseAdvert(frame)
		if err != nil {
			return
		}
		_ = a.String()
		again := AppendAdvert(nil, a)
		if len(again) > MaxFrame {
			return
		}
		b, err := ParseAdvert(again)
		if err != nil || !b.Time.Equal(a.Time) {
			t.Fatalf("%v\n%v, %v", a, b, err)
		}
		a.Time = b.Time
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%v\n%v", a, b)
		}
	})
}
