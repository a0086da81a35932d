package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestProblem(t *testing.T) {
	p := Problem{"beta", "alpha", "A7Vc9xYw", "nosuch", ProblemServiceUnknown}
	text := `{"FromNode":"beta","ToNode":"alpha","FromService":"A7Vc9xYw","ToService":"nosuch","Problem":"service unknown"}`
	if got := AppendProblem(nil, p); string(got) != text {
		t.Errorf("got %s", got)
	}
	for _, q := range []Problem{{}, p, {"<", "é", "\"", "&", "x"}} {
		want, _ := json.Marshal(q)
		if got := AppendProblem(nil, q); string(got) != string(want) {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	for body, want := range map[string]Problem{text: p, "{}": {}, "null": {}, `{"problem":"x","other":1}`: {Problem: "x"}} {
		if got, err := ParseProblem([]byte(body)); err != nil || got != want {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	for _, body := range []string{"", "[]", "{", "7", `{"Problem":1}`,
		`{"FromNode":"` + strings.Repeat("n", MaxNodeID+1) + `"}`,
		`{"ToNode":"` + strings.Repeat("n", MaxNodeID+1) + `"}`,
		`{"FromService":"123456789"}`, `{"ToService":"123456789"}`,
		`{"Problem":"` + strings.Repeat("x", MaxPayload) + `"}`,
	} {
		got, err := ParseProblem([]byte(body))
		var e *Error
		if !errors.As(err, &e) || got != (Problem{}) {
			t.Errorf("%.50q: %v, %v", body, got, err)
		}
	}
}

func FuzzParseProblem(f *testing.F) {
	f.Add([]byte(`{"FromNode":"beta","ToNode":"alpha","FromService":"A7Vc9xYw","ToService":"nosuch","Problem":"service unknown"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProblem(b)
		if err != nil {
			return
		}
		_ = p.String()
		again := AppendProblem(nil, p)
		if len(again) > MaxPayload {
			return
		}
		if q, err := ParseProblem(again); err != nil || q != p {
			t.Fatalf("%v\n%v, %v", p, q, err)
		}
	})
}
