package work

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// says is a connection to a node that says its piece whatever it is asked.
type says struct {
	io.Reader
	asked bytes.Buffer
}

func (s *says) Write(p []byte) (int, error) { return s.asked.Write(p) }
func (s *says) CloseWrite() error           { return nil }
func (s *says) Close() error                { return nil }

// FuzzFarStatus: whatever a node of ansible/receptor says when it is asked for a unit,
// what we keep of it is bounded, can be stored, and comes back from the disk as it was.
func FuzzFarStatus(f *testing.F) {
	const greeting = "Receptor Control, node bar\n"
	for _, s := range []string{
		greeting + `{"Detail":"exit status 3","ExtraData":null,"State":3,"StateName":"Failed","StdoutSize":12,"WorkType":"echo"}` + "\n",
		greeting + `{"Detail":"Running: PID 7","ExtraData":{"Pid":7,"Params":""},"State":1,"StdoutSize":0}` + "\n",
		greeting + `{"State":17,"StdoutSize":-9223372036854775808,"Detail":"` + strings.Repeat("x", 2*maxDetail) + `"}` + "\n",
		greeting + `{"State":4,"Ended":"9999-12-31T23:59:59-23:59","ExitCode":-9223372036854775808,"StderrSize":-1}` + "\n",
		greeting + `{"State":4,"Ended":"9999-12-31T23:59:59-24:59"}` + "\n", greeting + `{"State":4,"Ended":"0000-01-01T00:00:00+01:00"}` + "\n",
		greeting + `{"State":2,"Detail":"\u0000\ud800","ExitCode":7,"Ended":"0000-01-01T00:00:00Z"}` + "\r\n",
		greeting + `{"State":3,"Detail":"exit status 9223372036854775808"}` + "\n", greeting + `{"state":2,"STATE":3,"detail":null}` + "\n",
		greeting + "ERROR: unknown work unit abcdefgh\n", greeting + "ERROR: " + strings.Repeat("y", 2*controlproto.MaxText) + "\n",
		greeting + "null\n", greeting + "[]\n", greeting, "Receptor Control, node foo\n", "bar\n{}", strings.Repeat("z", 2*maxRemark) + "\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := &farConn{ReadWriteCloser: &says{Reader: bytes.NewReader(said)}}
		d := &driver{u: &unit{far: &remoteExtra{RemoteNode: "bar"}}}
		l, err := d.openLines(t.Context(), conn)
		if first, _, _ := bytes.Cut(said, []byte("\n")); err == nil && !strings.Contains(strings.ReplaceAll(string(first), "\r", ""), "bar") {
			t.Fatalf("%q passes for a greeting of bar", first)
		}
		var st controlproto.UnitStatus
		if err == nil {
			st, err = l.status("abcdefgh")
		}
		if err != nil {
			if len(err.Error()) > controlproto.MaxText+200 {
				t.Errorf("error of %d bytes: %.100s", len(err.Error()), err)
			}
			return
		}
		withoutPayload(st)
		u := &unit{kind: remote, rec: record{Detail: detailStarting, WorkType: remoteType}, far: &remoteExtra{RemoteNode: "bar"}, live: &live{}}
		last := withExitCode(st)
		u.move(change{state: st.State, detail: st.Detail, size: keepSize}, func() { u.rec.ExitCode, u.rec.Ended = last.ExitCode, last.Ended })
		checkRecord(t, u.forDiskLocked())
		if len(u.rec.Detail) > maxDetail {
			t.Errorf("Detail of %d bytes", len(u.rec.Detail))
		}
		// Version 2 tells more.
		u = &unit{kind: remote, rec: record{WorkType: remoteType}, far: &remoteExtra{RemoteNode: "bar"}, live: &live{}}
		u.move(change{state: st.State, detail: st.Detail, size: 7, exit: st.ExitCode, at: storable(st.Ended)}, nil)
		checkRecord(t, u.forDiskLocked())
	})
}

// checkRecord: the record of a unit can be stored, is shown to clients, and the disk
// gives back what was stored.
func checkRecord(t *testing.T, r record) {
	t.Helper()
	line, err := r.appendStatus(nil)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	again, err := parseStatus(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if twice, err := again.appendStatus(nil); err != nil || !bytes.Equal(line, twice) {
		t.Errorf("%s became %s, %v", line, twice, err)
	}
	if _, err := json.Marshal(r.view(nil)); err != nil {
		t.Errorf("%+v: %v", r, err)
	}
}

// What another node says is kept within bounds: exactly as long is whole, and of one
// byte more the middle is left out.
func TestDetailIsBounded(t *testing.T) {
	u := &unit{rec: record{WorkType: remoteType}, far: &remoteExtra{RemoteNode: "bar"}, live: &live{heard: silence{since: time.Now().Add(-time.Hour)}}}
	longest := "begin" + strings.Repeat("x", maxDetail-8) + "end"
	u.move(change{state: controlproto.Running, detail: longest, size: keepSize}, nil)
	if u.rec.Detail != longest {
		t.Errorf("%d bytes: %.40q", len(u.rec.Detail), u.rec.Detail)
	}
	u.move(change{state: controlproto.Running, detail: "x" + longest, size: keepSize}, nil)
	if d := u.rec.Detail; len(d) > maxDetail || len(d) < maxDetail-4 || !strings.HasPrefix(d, "xbegin") || !strings.HasSuffix(d, "end") || !strings.Contains(d, "x...x") {
		t.Errorf("one byte more: %d bytes, %.40q", len(d), d)
	}
	d := &driver{m: &Manager{c: Config{Logger: slog.New(slog.DiscardHandler)}}, u: u}
	for _, over := range []int{0, 1, 1 << 20} {
		u.mu.Lock()
		d.noteSilenceLocked(errandWatch, controlproto.New(controlproto.Denied, strings.Repeat("y", maxRemark+over)), time.Now())
		got := len(u.live.heard.why)
		u.mu.Unlock()
		d.noteFed(strings.Repeat("z", maxRemark+over))
		if fed := len(u.live.fed); over == 0 && (got != maxRemark || fed != maxRemark) || got > maxRemark || fed > maxRemark || strings.Contains(u.live.fed, "...") != (over > 0) {
			t.Errorf("%d bytes more: reasons of %d and %d bytes", over, got, fed)
		}
	}
	for _, over := range []int{0, 1} {
		name := strings.Repeat("n", maxRemark+over)
		if err := notGreetedBy("bar", name); strings.Contains(err.Error(), name) != (over == 0) || len(err.Error()) > maxRemark+100 {
			t.Errorf("%d bytes more: error of %d bytes", over, len(err.Error()))
		}
	}
}

// FuzzLoadUnit reads units off a damaged disk. Whatever is there, the unit is one that
// can be shown and stored, and a restart finds it as it was stored.
func FuzzLoadUnit(f *testing.F) {
	status := func(r record) []byte { b, _ := r.appendStatus(nil); return b }
	receiptOf := func(r receipt) []byte { b, _ := r.encode(); return b }
	cat := record{Detail: detailStarting, WorkType: "cat", ExtraData: (&commandExtra{Pid: 7, Params: "x"}).encode()}
	far := record{State: controlproto.Running, Detail: "Running", WorkType: remoteType, StdoutSize: 3,
		ExtraData: (&remoteExtra{RemoteNode: "bar", RemoteUnitID: "abcdefgh", RemoteParams: map[string]string{"secret_x": "y"}}).encode()}
	for marks := range byte(4) {
		f.Add(status(cat), receiptOf(receipt{Accepted: true, Payload: 3, Status: cat}), "abc", "3\n", marks)
		f.Add(status(far), receiptOf(receipt{Node: "foo", Chosen: true, Stream: true, Status: far}), "abcd", "3\n", marks)
	}
	f.Add([]byte(`{"State":3,"WorkType":"remote","ExtraData":{"RemoteParams":null,"Expiration":"9999-12-31T23:59:59-23:59"}}`), []byte{}, "", "", byte(0))
	f.Add([]byte(`{"State":2,"WorkType":"nosuch","Detail":"exit status 0"}`), []byte("{}\n"), "", "", byte(0))
	f.Add([]byte(`{"WorkType":"remote","ExtraData":[]}`), []byte(`{"version":1,"status":{"State":17}}`+"\n"), "", "x", byte(0))
	f.Add([]byte(`{"StdoutSize":-1}`), []byte(`{"version":1,"accepted":true,"payload":-1,"order":9223372036854775807,"status":{"StdoutSize":-1}}`+"\n"), "", "-1\n", byte(3))
	f.Add([]byte(""), []byte(`{"version":1,"accepted":true,"stream":true,"broken":"x","status":{"State":1,"WorkType":"remote","ExtraData":{"RemoteStarted":true}}}`+"\n"), "", "", byte(0))
	n, _ := newNode(f, "solo", func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
	const id = "Fuzzed01"
	f.Fuzz(func(t *testing.T, status, receipt []byte, stdin, end string, marks byte) {
		dir := filepath.Join(n.c.Dir, id)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		files := map[string][]byte{fileStatus: status, fileReceipt: receipt, fileStdin: []byte(stdin), fileEnd: []byte(end)}
		if marks&1 != 0 {
			files[fileCancel] = nil
		}
		if marks&2 != 0 {
			files[fileRelease] = nil
		}
		for name, b := range files {
			if marks&4 != 0 && len(b) == 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		u := n.m.loadUnit(id)
		if u == nil {
			if len(status) > 0 {
				t.Fatalf("status %q is no unit", status)
			}
			return
		}
		st := n.m.status(u)
		shown, err := json.Marshal(st)
		if err != nil {
			t.Fatalf("%+v: %v", st, err)
		}
		if x := new(remoteExtra); u.far != nil && json.Unmarshal(st.ExtraData, x) == nil {
			for name := range x.RemoteParams {
				if isSecret(name) {
					t.Errorf("a secret is shown: %s", shown)
				}
			}
		}
		if st.State < controlproto.Pending || st.State > controlproto.StateCanceled || st.StdoutSize < 0 {
			t.Fatalf("unit %s", shown)
		}
		if u.kind == foreign {
			return
		}
		checkRecord(t, u.forDiskLocked())
		if err := n.m.store.save(id, u.forDiskLocked()); err != nil {
			t.Fatal(err)
		}
		if v := n.m.loadUnit(id); v == nil || v.kind != u.kind || v.rec.State != u.rec.State || v.rec.WorkType != u.rec.WorkType ||
			v.accepted != u.accepted || !v.rec.State.Ended() && ((v.live == nil) != (u.live == nil) || v.payloadEnded != u.payloadEnded) {
			t.Errorf("%+v becomes %+v", u, v)
		}
	})
}

// FuzzTokens reads the list of used signatures: what is remembered is bounded, is still
// to be remembered, and remains so after a restart.
func FuzzTokens(f *testing.F) {
	until := time.Now().Add(time.Hour).Unix()
	f.Add(appendToken(appendToken(nil, nameToken("a", "1"), until), nameToken("b", "2"), 1))
	f.Add(fmt.Appendf(nil, "%d 00\n\n%d %064x\n %032x\n9223372036854775807 %032x\n-1 %032x", until, until, 1, 2, 3, 4))
	f.Add([]byte("x\n18446744073709551616 00112233445566778899aabbccddeeff\n"))
	s := &store{dir: f.TempDir(), log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(s.path("", fileTokens), b, 0o600); err != nil {
			t.Fatal(err)
		}
		k := loadTokens(s)
		now := time.Now().Unix()
		if len(k.until) > bytes.Count(b, []byte("\n"))+1 || len(k.until) > maxTokens {
			t.Fatalf("%d tokens of %d bytes", len(k.until), len(b))
		}
		fresh := nameToken("fuzz", string(b))
		for name, at := range k.until {
			if at < now {
				t.Fatalf("%x is remembered until %d", name, at)
			}
			if at > now+5 && k.use(name, time.Now()) != tokenUsed {
				t.Fatalf("%x is good again", name)
			}
		}
		if _, known := k.until[fresh]; !known && (k.use(fresh, time.Now().Add(time.Hour)) != tokenFresh || k.use(fresh, time.Now().Add(time.Hour)) != tokenUsed) {
			t.Fatal("a token is good twice, or never")
		}
		again := loadTokens(s)
		for name, at := range k.until {
			if at > now+5 && again.until[name] != at {
				t.Fatalf("%x was remembered until %d, now %d", name, at, again.until[name])
			}
		}
	})
}

// FuzzGraves does the same with the ids of released units.
func FuzzGraves(f *testing.F) {
	f.Add([]byte("abcdefgh\n\nABCDEFGH\nabcdefgh\nabc"))
	f.Add([]byte("../../xy\nabcdefg/\n\xffbcdefgh\r\nabcdefgh"))
	f.Add(bytes.Repeat([]byte("\n"), 3*maxGraves))
	s := &store{dir: f.TempDir(), log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(s.path("", fileGraves), b, 0o600); err != nil {
			t.Fatal(err)
		}
		g := loadGraves(s)
		check := func(g *graves) {
			if len(g.known) != len(g.order) || len(g.known) > maxGraves {
				t.Fatalf("%d of %d known", len(g.order), len(g.known))
			}
			for _, id := range g.order {
				if !validID(id) || !g.has(id) {
					t.Fatalf("%q is known", id)
				}
			}
		}
		check(g)
		g.add("Released")
		check(g)
		if again := loadGraves(s); !again.has("Released") || len(again.known) != len(g.known) {
			t.Fatalf("%d known, after a restart %d", len(g.known), len(again.known))
		}
	})
}

// FuzzOutcome: what the runner of a plugin has left becomes a line for people, and
// never one that says the contrary of the command's end.
func FuzzOutcome(f *testing.F) {
	for _, s := range []string{outcomeComplete, outcomeComplete + "\n", "Error: x\r\n\x1b[31m y", "\xff\xfe", "", strings.Repeat("x", maxOutcome), strings.Repeat("x", maxOutcome+1)} {
		f.Add([]byte(s), 0)
		f.Add([]byte(s), 1)
	}
	m := &Manager{store: &store{dir: f.TempDir()}}
	if err := os.Mkdir(m.store.path("u"), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, code int) {
		if err := os.WriteFile(m.store.path("u", fileOutcome), b, 0o600); err != nil {
			t.Fatal(err)
		}
		e := &supervise.Exit{Code: code, Started: true, Known: true}
		text := m.outcome("u", e)
		if text == "" {
			return
		}
		if len(b) > maxOutcome || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(text) > len(b) {
			t.Errorf("%q becomes %q", b, text)
		}
		if e.Succeeded() != (text == outcomeComplete) {
			t.Errorf("exit code %d, %q", code, text)
		}
	})
}
