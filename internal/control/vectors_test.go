package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
)

// TestVectors replays conversations recorded with ansible/receptor 1.5: what
// its clients said is sent, what its daemon answered must come. The files in a
// group share a mesh and build on one another's units.
func TestVectors(t *testing.T) {
	for name, group := range map[string][]string{
		"requests": {
			"raw-greeting", "raw-half-close", "raw-half-close-after-command", "raw-no-newline-then-half-close",
			"raw-several-commands", "raw-unknown-command", "raw-bad-json", "raw-json-duplicate-and-extra-fields",
			"raw-ping", "raw-traceroute", "raw-status-fields", "raw-status-text", "raw-status-json", "raw-status-text-params",
		},
		"connect": {
			"raw-connect", "raw-connect-json", "raw-connect-chain", "raw-connect-self", "raw-connect-trailing-space",
			"raw-connect-errors",
		},
		"units": {
			"raw-work-list-empty", "raw-work-malformed", "raw-work-unknown-unit", "raw-submit-reserved-param",
			"raw-submit-error-then-payload",
			"raw-submit-text", "raw-results-text", "raw-results-json", "raw-results-startpos",
			"raw-results-startpos-past-end", "raw-results-startpos-negative",
			"raw-submit-json", "+wait lgKm2fPl", "raw-status-finished", "raw-release-finished", "raw-submit-pipelined",
			"+submit cat pTmzJddD", "raw-status-waiting-for-payload",
			"+submit no-such-program ohgaeZcb", "+wait ohgaeZcb", "raw-results-no-stdout",
		},
		"running": {
			"+submit sleep-loop LbQGR2eX", "+ticks LbQGR2eX", "raw-status-running", "raw-cancel-running",
			"raw-results-cancelled", "raw-release-json",
		},
		"remote": {"raw-submit-remote", "raw-results-running", "raw-release-remote"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &replay{places: scene(t), ids: map[string]string{}}
			r.settle(t)
			for _, step := range group {
				if strings.HasPrefix(step, "+") {
					r.prepare(t, strings.Fields(step[1:]))
					continue
				}
				t.Run(step, func(t *testing.T) { r.file(t, step) })
			}
		})
	}
}

// replay is a scene and the names that its units have in the recordings.
type replay struct {
	places map[string]*place
	ids    map[string]string         // recorded -> ours
	dial   func(*testing.T) net.Conn // nil: to the controller's Unix socket
}

// settle waits until the controller knows every service.
func (r *replay) settle(t *testing.T) {
	eventually(t, "all services are known", func() bool {
		return len(r.places["controller01"].node.Status().Adverts) == 3
	})
}

// prepare makes what a recording takes for granted.
func (r *replay) prepare(t *testing.T, words []string) {
	t.Helper()
	p := r.places["controller01"]
	switch words[0] {
	case "submit":
		conn := dialPlace(t, p)
		lines := bufio.NewReader(conn)
		lines.ReadString('\n')
		fmt.Fprintf(conn, "work submit localhost %s\n", words[1])
		line, _ := lines.ReadString('\n')
		r.ids[words[2]] = unitID(line)
		if words[1] != "cat" { // which is to wait for its payload
			conn.(*net.UnixConn).CloseWrite()
			lines.ReadString('\n')
		}
	case "wait":
		eventually(t, "the unit has ended", func() bool {
			u, err := p.work.Status(r.ids[words[1]])
			return err == nil && u.State.Ended()
		})
	case "ticks":
		eventually(t, "the unit has printed three lines", func() bool {
			out, _ := os.ReadFile(filepath.Join(p.dir, r.ids[words[1]], "stdout"))
			return string(out) == "tick 1\ntick 2\ntick 3\n"
		})
	}
}

func unitID(line string) string {
	_, rest, _ := strings.Cut(line, "with ID ")
	id, _, _ := strings.Cut(rest, ".")
	return id
}

// file replays one recording.
func (r *replay) file(t *testing.T, name string) {
	data, err := os.ReadFile(filepath.Join("testdata", "v1", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	dial := r.dial
	if dial == nil {
		dial = func(t *testing.T) net.Conn { return dialPlace(t, r.places["controller01"]) }
	}
	conn := dial(t)
	lines := bufio.NewReader(conn)
	refused := false // the last answer was the refusal of a line that was no request
	for line := range strings.Lines(string(data)) {
		m := regexp.MustCompile(`^ +[0-9.]+ ([CS])> (.*)\n$`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		text := unescape(t, m[2])
		if m[1] == "C" {
			r.client(t, conn, text)
			continue
		}
		if refused && text == "ERROR: Unknown command\n" {
			refused = false // the original answers such a line twice, a defect
			continue
		}
		if name == "raw-release-remote" && (text == "\n" || strings.Contains(text, "cancelling remote unit")) {
			if text != "\n" { // timing decides; ours has either forgotten the unit or not
				got, _ := lines.ReadString('\n')
				if !strings.Contains(got, "released") && !strings.Contains(got, "unknown work unit") {
					t.Errorf("second release: %q", got)
				}
			}
			continue
		}
		refused = r.server(t, lines, text)
	}
}

// client does what the recorded client did.
func (r *replay) client(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	switch {
	case text == "[end of stream: half-close]":
		if err := controlproto.CloseWrite(conn); err != nil {
			t.Fatal(err)
		}
	case text == "[close]":
		conn.Close()
	default:
		for recorded, ours := range r.ids {
			text = strings.ReplaceAll(text, recorded, ours)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
}

// server expects what the recorded daemon said, and tells whether that was the
// refusal of a malformed JSON request.
func (r *replay) server(t *testing.T, lines *bufio.Reader, want string) bool {
	t.Helper()
	if strings.HasPrefix(want, "[end of stream") || strings.HasPrefix(want, "[still open") { // the latter is a defect of the original
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("instead of the end: %q, %v", rest, err)
		}
		return false
	}
	if strings.HasPrefix(want, "[") {
		return false // nothing more for some time: whatever came would not fit the next line
	}
	got, err := lines.ReadString('\n')
	if err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
		return false
	}
	if id := unitID(want); id != "" {
		r.ids[id] = unitID(got)
	}
	for recorded, ours := range r.ids {
		want = strings.ReplaceAll(want, recorded, ours)
	}
	if normal(t, got) != normal(t, want) {
		t.Errorf("got  %s want %s", normal(t, got), normal(t, want))
	}
	return strings.HasPrefix(want, "ERROR: invalid character") || strings.Contains(want, "JSON did not") ||
		strings.Contains(want, "command must be a string")
}

// normal replaces what varies from run to run.
func normal(t *testing.T, line string) string {
	if strings.HasPrefix(line, `{"Advertisements"`) {
		return shape(t, line)
	}
	if units := map[string]json.RawMessage{}; strings.Contains(line, `":{"Detail"`) && json.Unmarshal([]byte(line), &units) == nil {
		sorted, _ := json.Marshal(units) // by id, which is random
		line = string(sorted) + "\n"
	}
	for _, v := range [][2]string{
		{`"Time":[0-9]+`, `"Time":N`},
		{`"TimeStr":"[^"]*"`, `"TimeStr":"D"`},
		{`"Pid":[1-9][0-9]*`, `"Pid":N`},
		{`PID [0-9]+`, `PID N`},
		{`"SystemCPUCount":[0-9]+`, `"SystemCPUCount":N`},
		{`"SystemMemoryMiB":[0-9]+`, `"SystemMemoryMiB":N`},
		{`%!s\(bool=true\)`, `true`},
	} {
		line = regexp.MustCompile(v[0]).ReplaceAllString(line, v[1])
	}
	return line
}

// shape is what is fixed of a whole status: the members in their order, and the mesh.
func shape(t *testing.T, line string) string {
	var st controlproto.Status
	if err := json.Unmarshal([]byte(line), &st); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	var members []string
	for _, m := range statusFields() {
		at := strings.Index(line, `"`+m+`":`)
		members = append(members, fmt.Sprint(m, at > 0))
	}
	return fmt.Sprint(members, st.Connections, st.RoutingTable, st.KnownConnectionCosts, st.NodeID) + "\n"
}

func unescape(t *testing.T, s string) string {
	t.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}
