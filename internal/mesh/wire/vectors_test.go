package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// vectors decodes a file of the specification's golden data.
func vectors[T any](t *testing.T, name string) T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// captured is a frame as one of the files shows it.
type captured struct {
	Name     string
	FrameHex string `json:"frame_hex"`
	JSONText string `json:"json_text"`
	Decoded  *struct {
		Hops        uint8
		FromHash    string `json:"from_node_hash"`
		ToHash      string `json:"to_node_hash"`
		FromService string `json:"from_service"`
		ToService   string `json:"to_service"`
		PayloadLen  int    `json:"payload_length"`
	}
	PayloadText *string `json:"payload_text"`
}

// roundTrip decodes a frame of the original and encodes it again: the bytes
// must be the same.
func roundTrip(t *testing.T, c captured) {
	t.Helper()
	frame, err := hex.DecodeString(c.FrameHex)
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	switch Type(frame[0]) {
	case TypeData:
		again = roundTripData(t, c, frame)
	case TypeUpdate:
		u, err := ParseUpdate(frame)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := parseUsual(frame); !ok {
			t.Errorf("%s: the original's form is not taken for the usual one", c.JSONText)
		}
		if id, ok := PeekUpdateID(frame); !ok || string(id) != u.UpdateID {
			t.Errorf("PeekUpdateID = %q %v, want %q", id, ok, u.UpdateID)
		}
		again = AppendUpdate(nil, u)
	case TypeAdvert:
		a, err := ParseAdvert(frame)
		if err != nil {
			t.Fatal(err)
		}
		again = AppendAdvert(nil, a)
	case TypeReject:
		again = Reject("")
	default:
		t.Fatalf("type %v", Type(frame[0]))
	}
	if !bytes.Equal(again, frame) {
		t.Errorf("encoded again:\n got %q\nwant %q", again, frame)
	}
}

func roundTripData(t *testing.T, c captured, frame []byte) []byte {
	t.Helper()
	h, err := ParseHeader(frame)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Decoded; d != nil {
		if h.Hops != d.Hops || h.Src.String() != d.FromHash || h.Dst.String() != d.ToHash ||
			string(h.From.Service()) != d.FromService || string(h.To.Service()) != d.ToService ||
			len(Payload(frame)) != d.PayloadLen {
			t.Errorf("got %v with %d bytes, want %+v", h, len(Payload(frame)), *d)
		}
	}
	payload := Payload(frame)
	if h.From.Service() == Unreachable {
		p, err := ParseProblem(payload)
		if err != nil {
			t.Fatal(err)
		}
		payload = AppendProblem(nil, p)
	}
	return append(AppendHeader(nil, h), payload...)
}

func TestVectorsFrames(t *testing.T) {
	v := vectors[struct{ Frames []captured }](t, "frames.json")
	for _, c := range v.Frames {
		t.Run(c.Name, func(t *testing.T) { roundTrip(t, c) })
	}
}

func TestVectorsSession(t *testing.T) {
	v := vectors[struct{ Events []captured }](t, "session-two-nodes.json")
	if len(v.Events) < 50 {
		t.Fatalf("only %d events", len(v.Events))
	}
	for _, c := range v.Events {
		if c.FrameHex != "" {
			roundTrip(t, c)
		}
	}
}

func TestVectorsAdverts(t *testing.T) {
	v := vectors[struct{ Frames []captured }](t, "advertisements-captured.json")
	for _, c := range v.Frames {
		roundTrip(t, c)
	}
	cases := vectors[struct {
		Rows []struct {
			Case string
			Sent string `json:"sent_by_src"`
		}
	}](t, "advertisement-cases.json")
	for _, r := range cases.Rows {
		a, err := ParseAdvert(append([]byte{byte(TypeAdvert)}, r.Sent...))
		if err != nil || a.NodeID != "ghost" || a.Time.IsZero() {
			t.Errorf("%s: %v, %v", r.Case, a, err)
		}
	}
}

func TestVectorsHashes(t *testing.T) {
	v := vectors[struct {
		Rows []struct {
			Name string
			Hex  string `json:"hash_on_wire_hex"`
			Dec  uint64 `json:"hash_uint64_decimal,string"`
		}
	}](t, "name-hashes.json")
	if len(v.Rows) < 20 {
		t.Fatalf("only %d rows", len(v.Rows))
	}
	for _, r := range v.Rows {
		if got := NodeID(r.Name).Hash(); got.String() != r.Hex || uint64(got) != r.Dec {
			t.Errorf("hash of %q is %v, want %s", r.Name, got, r.Hex)
		}
	}
}

// TestVectorsMalformed feeds the frames that crash ansible/receptor, or nearly,
// to every decoder. The file describes them in words; this is what they are.
func TestVectorsMalformed(t *testing.T) {
	v := vectors[struct{ Rows []struct{ Case string } }](t, "malformed-frames.json")
	frames := map[string]struct {
		frame  string
		update bool // a valid, if pointless, update
	}{
		"frame of length zero, before any handshake":    {"", false},
		"advertisement frame 02 7b 7d":                  {"\x02{}", false},
		"routing update frame 01 7b 7d":                 {"\x01{}", true},
		"data frame of 5 bytes":                         {"\x00\x01\x00\x00\x01", false},
		"advertisement JSON null":                       {"\x02null", false},
		"routing update JSON null":                      {"\x01null", true},
		"reject frame with nothing after the type byte": {"\x03", false},
	}
	if len(v.Rows) != len(frames) {
		t.Errorf("%d rows, want %d", len(v.Rows), len(frames))
	}
	for _, r := range v.Rows {
		c, ok := frames[r.Case]
		if !ok {
			t.Errorf("no frame for %q", r.Case)
			continue
		}
		b := []byte(c.frame)
		if _, err := ParseUpdate(b); (err == nil) != c.update {
			t.Errorf("%s: ParseUpdate: %v", r.Case, err)
		}
		if _, err := ParseAdvert(b); err == nil {
			t.Errorf("%s: taken for an advertisement", r.Case)
		}
		if _, err := ParseHeader(b); err == nil {
			t.Errorf("%s: taken for a data packet", r.Case)
		}
		if _, err := ForwardUpdate(nil, b, "x"); (err == nil) != c.update {
			t.Errorf("%s: ForwardUpdate: %v", r.Case, err)
		}
		if _, ok := PeekUpdateID(b); ok {
			t.Errorf("%s: has an update ID", r.Case)
		}
	}
}
