package work

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/sign"
)

const (
	testPrivate = "sign/testdata/keys/signworkprivate.pem"
	testPublic  = "sign/testdata/keys/signworkpublic.pem"
)

// testKeys are the keys of a node that signs and verifies.
func testKeys(node string) Keys {
	return Keys{Sign: sign.NewSigner(testPrivate, time.Minute).Sign, Verify: sign.NewVerifier(node, testPublic).Verify}
}

// token signs claims for a node.
func token(t testing.TB, c sign.Claims) string {
	t.Helper()
	text, err := sign.NewSigner(testPrivate, time.Hour).Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newSignedPair is a pair that signs.
func newSignedPair(t testing.TB) *pair {
	p := newPair(t)
	p.foo.m.SetKeys(testKeys("foo"))
	p.bar.m.SetKeys(testKeys("bar"))
	p.foo.c.Keys, p.bar.c.Keys = testKeys("foo"), testKeys("bar")
	types := append(slices.Clone(testTypes), Command{WorkType: "signed-cat", Command: "cat", VerifySignature: true})
	p.bar.c.Types = types
	if err := p.bar.m.SetTypes(types); err != nil {
		t.Fatal(err)
	}
	return p
}

// Who needs a signature for what: the cases that were tried with ansible/receptor.
func TestWhoNeedsASignature(t *testing.T) {
	n, _ := newNode(t, "bar", func(c *Config) { c.Keys = testKeys("bar") })
	unix, tcp, far := Origin{UnixSocket: true}, Origin{}, Origin{Node: "foo"}
	make := func(workType string) string {
		sub, err := n.m.Create(controlproto.Submit{Node: "bar", WorkType: workType}, unix)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sub.Abort(errors.New("the test is over")) })
		return sub.ID()
	}
	signed, open := make("signed"), make("cat")
	sub, err := n.m.Create(controlproto.Submit{Node: "foo", WorkType: "x", SignWork: true}, unix)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Abort(errors.New("the test is over"))
	remote := sub.ID() // of type remote, to be signed
	good := token(t, sign.Claims{Node: "bar"})
	const (
		empty    = "could not verify signature: signature is empty"
		unwanted = "work type did not expect a signature"
		segments = "could not verify signature: token contains an invalid number of segments"
		audience = "token audience did not match node ID"
	)
	elsewhere := token(t, sign.Claims{Node: "baz"})
	for _, tt := range []struct {
		unit, token string
		from        Origin
		want        string
	}{
		{signed, "", unix, ""},
		{signed, "garbage", unix, ""}, // accepted unread
		{open, "", tcp, ""},
		{open, "", far, ""},
		{open, "garbage", unix, unwanted},
		{open, good, far, unwanted},
		{signed, "", tcp, empty},
		{signed, "", far, empty},
		{signed, "garbage", tcp, segments},
		{signed, elsewhere, far, audience},
		{signed, good, tcp, ""},
		{signed, good, far, ""}, // again: its form is that of ansible/receptor
		{remote, "", unix, ""},
		{remote, "", tcp, empty},
		{remote, good, tcp, ""},
	} {
		for _, command := range []string{"cancel", "release", "force-release", "results", "follow"} {
			got := ""
			if err := n.m.Authorize(command, tt.unit, tt.token, tt.from); err != nil {
				got = err.Error()
				if controlproto.CodeOf(err) != controlproto.Denied {
					t.Errorf("%s: code %s", got, controlproto.CodeOf(err))
				}
			}
			if got != tt.want {
				t.Errorf("%s %s %.10q from %+v: %q, want %q", command, tt.unit, tt.token, tt.from, got, tt.want)
			}
		}
	}
	// A submission is judged by the name of its type, wherever it is to go.
	for _, tt := range []struct {
		node, workType, token string
		from                  Origin
		want                  string
	}{
		{"bar", "signed", "", tcp, empty},
		{"elsewhere", "signed", "", tcp, empty},
		{"elsewhere", "signed", good, tcp, ""},
		{"elsewhere", "unknown", "", tcp, ""},
		{"elsewhere", "unknown", good, tcp, unwanted},
		{"bar", "cat", good, unix, unwanted},
		{"bar", "signed", "garbage", unix, ""},
	} {
		sub, err := n.m.Create(controlproto.Submit{Node: tt.node, WorkType: tt.workType, Signature: tt.token}, tt.from)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			sub.Abort(errors.New("the test is over"))
		}
		if got != tt.want {
			t.Errorf("submit %s to %s from %+v: %q, want %q", tt.workType, tt.node, tt.from, got, tt.want)
		}
	}
}

// Strict takes no signature that does not say what it is for, nor streams.
func TestStrict(t *testing.T) {
	keys := testKeys("bar")
	keys.Strict = true
	n, _ := newNode(t, "bar", func(c *Config) { c.Keys = keys })
	far := Origin{Node: "foo"}
	plain := controlproto.Submit{Node: "bar", WorkType: "signed", Signature: token(t, sign.Claims{Node: "bar"})}
	if _, err := n.m.Create(plain, far); err == nil || !strings.Contains(err.Error(), "token does not say what it is for") {
		t.Errorf("form of the original: %v", err)
	}
	w := sign.Work{From: "foo", Command: "submit", Unit: "Unit0001", WorkType: "signed", Params: sign.ParamsDigest(nil), Stream: true}
	stream := controlproto.Submit{
		Node: "bar", WorkType: "signed", UnitID: "Unit0001", Stream: true, Signature: token(t, sign.Claims{Node: "bar", Work: &w}),
	}
	if _, err := n.m.Create(stream, far); err == nil || !strings.Contains(err.Error(), "submit it without stream") {
		t.Errorf("stream: %v", err)
	}
	if ids := n.m.List(); len(ids) != 0 {
		t.Errorf("refused submissions left %v", ids)
	}
}

// A signed unit is handed on whole and once, wherever its connection breaks, and
// a token serves one attempt.
func TestSignedThroughCuts(t *testing.T) {
	for budget := int64(0); budget < 9000; budget += 700 {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newSignedPair(t)
				p.bar.m.watch.close() // waiting for inotify would hold the clock
				p.link.mu.Lock()
				p.link.budget = budget
				p.link.mu.Unlock()
				payload := strings.Repeat("0123456789abcdef", 256)
				id, _, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "signed-cat", SignWork: true}, payload)
				if err != nil {
					t.Fatal(err)
				}
				out, last := p.foo.results(id, 0)
				if out != payload || last.State != controlproto.Succeeded {
					t.Errorf("%d bytes, %+v", len(out), last)
				}
				p.wantStarts(t, 1)
				if _, err := p.foo.m.Release(t.Context(), id, false); err != nil {
					t.Errorf("release: %v", err)
				}
				if left := p.bar.m.List(); len(left) != 0 {
					t.Errorf("%d units are left", len(left))
				}
			})
		})
	}
}

// Work whose key cannot be read when its node comes into reach waits for the key;
// without any key it fails, as a client would be told.
func TestKeyComesLater(t *testing.T) {
	for _, configured := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := newSignedPair(t)
			p.bar.m.watch.close() // waiting for inotify would hold the clock
			broken := Keys{}
			if configured {
				broken.Sign = sign.NewSigner(filepath.Join(t.TempDir(), "none.pem"), time.Minute).Sign
			}
			p.link.cut()
			id, result, err := p.foo.submit(controlproto.Submit{Node: "bar", WorkType: "signed-cat", SignWork: true}, "data")
			if err != nil || result != controlproto.JobSubmitted {
				t.Fatal(result, err)
			}
			p.foo.m.SetKeys(broken)
			p.link.mend()
			if !configured {
				u := p.foo.await(id, controlproto.Failed)
				if u.Detail != "Error starting worker: cannot sign work: signing key is empty" {
					t.Errorf("%+v", u)
				}
				return
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			u, _ := p.foo.m.Status(id)
			if u.State != controlproto.Pending || !strings.Contains(u.Detail, "node bar cannot be asked since ") ||
				!strings.Contains(u.Detail, "could not load signing key file: no such file or directory") {
				t.Errorf("%+v", u)
			}
			start := time.Now()
			p.foo.m.SetKeys(testKeys("foo"))
			if out, last := p.foo.results(id, 0); out != "data" || last.State != controlproto.Succeeded {
				t.Errorf("%q, %+v", out, last)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %v to notice the key", d)
			}
		})
	}
}

// A payload that is not the signed one fails the unit before its command starts.
func TestAnotherPayload(t *testing.T) {
	p := newSignedPair(t)
	digest, err := sign.PayloadDigest(strings.NewReader("right"))
	if err != nil {
		t.Fatal(err)
	}
	w := sign.Work{From: "foo", Command: "submit", Unit: "Unit0001", WorkType: "signed-cat", Params: sign.ParamsDigest(nil), Payload: digest}
	create := func() *Submission {
		sub, err := p.bar.m.Create(controlproto.Submit{
			Node: "bar", WorkType: "signed-cat", UnitID: "Unit0001", Signature: token(t, sign.Claims{Node: "bar", Work: &w}),
		}, Origin{Node: "foo"})
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	// A first connection that broke off takes nothing from who goes on.
	first := create()
	first.Write([]byte("ri"))
	second := create()
	if second.Received() != 2 {
		t.Errorf("%d bytes are there", second.Received())
	}
	if _, err := first.Start(t.Context()); controlproto.CodeOf(err) != controlproto.Busy {
		t.Errorf("the first one: %v", err)
	}
	second.Write([]byte("ght"))
	if _, err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, _ := p.bar.results("Unit0001", 0); out != "right" {
		t.Errorf("%q", out)
	}
	w.Unit = "Unit0002"
	sub, err := p.bar.m.Create(controlproto.Submit{
		Node: "bar", WorkType: "signed-cat", UnitID: "Unit0002", Signature: token(t, sign.Claims{Node: "bar", Work: &w}),
	}, Origin{Node: "foo"})
	if err != nil {
		t.Fatal(err)
	}
	sub.Write([]byte("wrong"))
	if _, err := sub.Start(t.Context()); controlproto.CodeOf(err) != controlproto.Denied || err.Error() != "could not verify signature: token is for another payload" {
		t.Errorf("%v", err)
	}
	if u := p.bar.await("Unit0002", controlproto.Failed); u.Detail != "Error starting worker: could not verify signature: token is for another payload" {
		t.Errorf("%+v", u)
	}
	p.wantStarts(t, 1)
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	open := func() *tokens {
		s, err := openStore(dir, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.close() })
		return loadTokens(s)
	}
	k := open()
	use := func(what, id string, expires time.Time, want tokenUse) {
		t.Helper()
		if got := k.use(nameToken("foo", id), expires); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-tokenGrace-time.Second)
	use("first", "a", soon, tokenFresh)
	use("second", "a", soon, tokenUsed)
	use("another", "b", soon, tokenFresh)
	if k.use(nameToken("bar", "a"), soon) != tokenFresh {
		t.Error("ids of different nodes are one")
	}
	use("one that has just expired", "c", time.Now().Add(-time.Minute), tokenFresh)
	use("the same, with a clock that was set back", "c", time.Now().Add(-time.Minute), tokenUsed)
	info, err := os.Stat(filepath.Join(dir, fileTokens))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	k.s.close()
	f, err := os.OpenFile(filepath.Join(dir, fileTokens), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("1893456000 12ab") // torn
	f.Close()
	k = open()
	use("after a restart", "a", soon, tokenUsed)
	use("after a torn line", "d", soon, tokenFresh)
	k.s.close()
	k = open()
	use("behind the torn line", "d", soon, tokenUsed)

	// Full: those that have expired make room, others do not.
	k.max = len(k.until) + 2
	use("old", "old1", past, tokenFresh)
	use("last", "e", soon, tokenFresh)
	use("room of an old one", "f", soon, tokenFresh)
	use("no room", "g", soon, tokensFull)
	use("no room again", "g", soon, tokensFull)
	use("known", "f", soon, tokenUsed)

	// The file does not grow for ever.
	k.max = maxTokens
	for i := range 6000 {
		use("many", fmt.Sprint("many", i), past, tokenFresh)
	}
	if k.lines > 5000 || len(k.until) > 3000 {
		t.Errorf("%d lines for %d tokens", k.lines, len(k.until))
	}
	k.s.close()
	k = open()
	use("after the file was cut", "a", soon, tokenUsed)
	use("after the file was cut", "f", soon, tokenUsed)
}

// When no more tokens can be remembered the submitter is told to come again.
func TestTokensFull(t *testing.T) {
	n, _ := newNode(t, "bar", func(c *Config) { c.Keys = testKeys("bar") })
	sub, err := n.m.Create(controlproto.Submit{Node: "bar", WorkType: "signed"}, Origin{UnixSocket: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Abort(errors.New("the test is over"))
	n.m.tokens.max = 1
	follow := func() error {
		c := sign.Claims{Node: "bar", Work: &sign.Work{From: "foo", Command: "follow", Unit: sub.ID()}}
		return n.m.Authorize("follow", sub.ID(), token(t, c), Origin{Node: "foo"})
	}
	if err := follow(); err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*controlproto.Error](follow())
	if !ok || e.Code != controlproto.Busy || !passing(e) || !strings.Contains(e.Message, "tokenexpiration") {
		t.Errorf("%v", e)
	}
}
