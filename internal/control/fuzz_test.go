package control

import (
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// FuzzRequests: whatever a client asks, the arguments are taken apart or refused as
// invalid, in both forms and versions.
func FuzzRequests(f *testing.F) {
	for _, line := range []string{
		`status`, `status x`, `{"command":"status","requested_fields":["NodeID",7]}`, `connect a b c d`, `{"command":"connect","node":7,"service":"x"}`,
		`work list`, `work status`, `work submit a b c`, `work results x -1`, `work adopt a b`, `work cancel x`, `work force-release ../../x`,
		`{"command":"work","subcommand":"submit","node":"a","worktype":"b","x":"y"}`, `{"id":1,"command":"work","subcommand":"submit","node":"a","worktype":"b","params":{"a":1}}`,
		`{"id":1,"command":"work","subcommand":"follow","unitid":"x","startpos":1e400}`, `{"command":"work","subcommand":"results","unitid":"x","startpos":"1_0"}`,
		`{"id":1,"command":"work","subcommand":"adopt","node":"a","unitid":"b","signwork":"true"}`, `{"command":"work","subcommand":["list"]}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var requests []controlproto.Request
		if r, err := controlproto.ParseRequest(line); err == nil {
			requests = append(requests, r)
		}
		if l, err := controlproto.ParseLine2(line); err == nil && l.Request != nil {
			requests = append(requests, *l.Request)
		}
		for _, r := range requests {
			_, e1 := parseWork(r)
			_, e2 := parseConnect(r)
			_, e3 := (&Server{}).requestedFields(r)
			for _, err := range []error{e1, e2, e3} {
				if err != nil && err.Error() == "" {
					t.Errorf("%q: an error without a text", line)
				}
			}
		}
	})
}
