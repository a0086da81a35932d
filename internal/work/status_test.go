package work

import (
	"encoding/json"
	"testing"
	"time"
)

// TestStorable: a time of the end that another node, or a file, gives in a zone that
// encoders refuse does not keep the status from being written.
func TestStorable(t *testing.T) {
	for text, want := range map[string]string{
		`"2026-11-23T10:00:00.5+02:00"`: `"2026-11-23T08:00:00.5Z"`,
		`"2026-11-23T00:00:00+24:30"`:   `"2026-11-21T23:30:00Z"`,
		`"9999-12-31T23:59:59-24:59"`:   `"0001-01-01T00:00:00Z"`,
		`"0000-01-01T00:00:00+01:00"`:   `"0001-01-01T00:00:00Z"`,
		`"9999-12-31T23:59:59Z"`:        `"9999-12-31T23:59:59Z"`,
	} {
		var at time.Time
		if err := json.Unmarshal([]byte(text), &at); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(storable(at)); string(got) != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
		r, err := parseStatus([]byte(`{"State":2,"WorkType":"cat","Ended":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.appendStatus(nil); err != nil {
			t.Errorf("a record with %s: %v", text, err)
		}
	}
}
