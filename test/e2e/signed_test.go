//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/pki/pkitest"
	"github.com/receptor-go/receptor/internal/work/sign"
	"github.com/receptor-go/receptor/test/harness"
)

// signedChain starts controller01 - relayer01 - executor01 with a pair of keys.
// The link of the controller goes through the cable.
func signedChain(t *testing.T, kind, lifetime, strict string) (c, r, e *harness.Node, cable *harness.Cable, private string) {
	t.Helper()
	dir := harness.Dir(t)
	private, public := harness.KeyPair(t, dir, "key", kind)
	r = harness.New(t, programs, dir, "relayer01", "- tcp-listener: {bindaddr: 127.0.0.1, port: 0}\n")
	r.Start()
	addr := r.ListenAddr("tcp")
	cable = harness.NewCable(t, "tcp", addr)
	peer := func(addr string) string { return fmt.Sprintf("- tcp-peer: {address: %q}\n", addr) }
	c = harness.New(t, programs, dir, "controller01", peer(cable.Addr)+harness.Signing(private, lifetime))
	e = harness.New(t, programs, dir, "executor01", peer(addr)+harness.Verification(public, strict)+harness.SignedTypes)
	c.Start()
	e.Start()
	c.Reach(r, e)
	e.Reach(c)
	return c, r, e, cable, private
}

func TestSignedWork(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, _, e, _, _ := signedChain(t, kind, "5m", "")
			harness.SignedScenes(t, c, e)
			r := c.TryInput("streamed\n", "work", "submit", "--node", e.ID, "--stream", "--signwork", "--payload", "-", "--follow", "--rm", "signed")
			if r.Code != 0 || !strings.HasPrefix(r.Stdout, "streamed\n") {
				t.Errorf("streamed: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
			}
			// A refusal ends a call though its payload goes on, in the words of one that is not streamed.
			for _, follow := range []string{"--follow", "--json"} {
				call := c.Begin("work", "submit", "--node", e.ID, "--stream", "--payload", "-", follow, "signed")
				const told = "ERROR: Remote error: could not verify signature: signature is empty\n" +
					"hint: node executor01 refused work of type signed\nhint: the work type wants signed work: give --signwork\nhint: what is left of it is unit "
				if r := call.Wait(); r.Code != 101 || r.Stdout != "" || !strings.Contains(r.Stderr, told) {
					t.Errorf("unsigned stream, %s: exit code %d, %q, %q", follow, r.Code, r.Stdout, r.Stderr)
				}
			}
		})
	}
}

// Under strict all but streams goes on.
func TestSignedStrict(t *testing.T) {
	t.Parallel()
	c, _, e, _, _ := signedChain(t, "rsa", "5m", ", strict: true")
	harness.SignedScenes(t, c, e)
	r := c.TryInput("streamed\n", "work", "submit", "--node", e.ID, "--stream", "--signwork", "--payload", "-", "--follow", "signed")
	if r.Code == 0 || !strings.Contains(r.Stderr, "the payload of a streamed unit is read before it can be verified") {
		t.Errorf("streamed: exit code %d, %q", r.Code, r.Stderr)
	}
}

// Keys change by their files, or by a reload, and running units notice nothing.
func TestSignedKeysChange(t *testing.T) {
	t.Parallel()
	c, _, e, _, private := signedChain(t, "rsa", "5m", "")
	dir := filepath.Dir(private)
	running := harness.Submit(t, c, "--no-payload", "--signwork", "--node", e.ID, "signed-wait")
	c.Eventually("run the unit", func() bool { u, _ := c.Unit(running); return u.StateName == "Running" })
	try := func() harness.Result {
		return c.TryInput("x\n", "work", "submit", "--node", e.ID, "--signwork", "--payload", "-", "--follow", "--rm", "signed")
	}
	wrong := func(text string) {
		t.Helper()
		if r := try(); r.Code == 0 || !strings.Contains(r.Stderr, text) {
			t.Errorf("exit code %d, %q, want %q", r.Code, r.Stderr, text)
		}
	}
	right := func() {
		t.Helper()
		if r := try(); r.Code != 0 || !strings.HasPrefix(r.Stdout, "x\n") {
			t.Errorf("exit code %d, %q", r.Code, r.Stderr)
		}
	}
	right()
	other, otherPub := harness.KeyPair(t, dir, "other", "rsa")
	c.Reload(strings.ReplaceAll(c.Config, private, other))
	wrong("could not verify signature: crypto/rsa: verification error")
	e.Reload(strings.ReplaceAll(e.Config, private+".pub", otherPub))
	right()
	harness.KeyPair(t, dir, "other", "ed25519") // both files at once, no reload
	right()
	if err := os.Remove(otherPub); err != nil {
		t.Fatal(err)
	}
	wrong("could not load verifying key file: no such file or directory")
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	wrong("cannot sign work: could not load signing key file: no such file or directory")
	harness.KeyPair(t, dir, "other", "ecdsa")
	right()
	u, _ := c.Unit(running)
	if far, _ := e.Unit(u.ExtraData.RemoteUnitID); u.StateName != "Running" || far.StateName != "Running" {
		t.Errorf("the running unit is %s here, %s there", u.StateName, far.StateName)
	}
	c.Run("work", "cancel", running)
	// A key that is not there stops the reload, and a node from starting.
	config := e.Config
	e.Config = strings.ReplaceAll(config, otherPub, dir+"/nope.pub")
	e.Reconfigure()
	if r := e.Try("reload"); r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, "nope.pub does not exist") {
		t.Errorf("reload: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
	right()
	e.Config = config
}

// A signed unit runs once, whole, when links are cut while it is handed on; and
// is signed anew when it had to wait longer than its signature is good.
func TestSignedSurvivesCuts(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"whole", "stream"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			signedThroughCut(t, how)
		})
	}
}

func signedThroughCut(t *testing.T, how string) {
	c, _, e, cable, _ := signedChain(t, "rsa", "2s", "")
	payload := make([]byte, 3<<20)
	rand.Read(payload)
	file := filepath.Join(c.Dir, "payload")
	if err := os.WriteFile(file, payload, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"work", "submit", "--signwork", "--node", e.ID, "--payload", file, "signed"}
	if how == "stream" {
		args = append(args, "--stream")
	}
	held := cable.HoldAfter(harness.FromDialer, 1<<20)
	call := c.Begin(args...)
	cable.WaitHeld(held)
	cable.Cut()
	c.Within(4*harness.Patience, "have one unit that waits longer than a signature is good", func() bool {
		for _, u := range c.Units() {
			if strings.Contains(u.Detail, "not heard of since") || strings.Contains(u.Detail, "cannot be handed on") {
				return true
			}
		}
		return false
	})
	cable.Heal()
	if r := call.Wait(); r.Code != 0 {
		t.Errorf("submit: exit code %d, %q", r.Code, r.Stderr)
	}
	for unit := range c.Units() {
		c.Within(4*harness.Patience, "end the unit", func() bool { u, _ := c.Unit(unit); return u.StateName == "Succeeded" || u.StateName == "Failed" })
		out, err := os.ReadFile(filepath.Join(c.DataDir(), unit, "stdout"))
		if u, _ := c.Unit(unit); u.StateName != "Succeeded" || err != nil || !bytes.Equal(out, payload) {
			t.Errorf("%+v, %d of %d bytes, %v", u, len(out), len(payload), err)
		}
		c.Run("work", "release", unit)
	}
	if n := len(e.Units()); n != 0 {
		t.Errorf("%d units are left on the executor", n)
	}
}

// attacker speaks to the executor's control service over the mesh, from the relay.
type attacker struct {
	t    *testing.T
	from *harness.Node
	at   string
}

func (a attacker) client() *controlproto.Client {
	a.t.Helper()
	conn, err := net.Dial("unix", a.from.Socket)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(harness.Patience))
	first, err := controlproto.OpenV1(context.Background(), conn)
	if err != nil {
		a.t.Fatal(err)
	}
	stream, err := first.Connect(context.Background(), a.at, "control", "")
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := controlproto.Open(context.Background(), stream)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a attacker) submit(s controlproto.Submit, payload, seal string) error {
	a.t.Helper()
	o := controlproto.SubmitOptions{Seal: func() (string, error) { return seal, nil }}
	_, err := a.client().Submit(context.Background(), s, strings.NewReader(payload), o)
	return err
}

// A signature is good for what it was made for, once, and for nothing else.
func TestSignatureIsGoodForOneRequest(t *testing.T) {
	t.Parallel()
	_, r, e, _, private := signedChain(t, "rsa", "5m", "")
	a := attacker{t, r, e.ID}
	digest := func(s string) string {
		d, err := sign.PayloadDigest(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	params := map[string]string{"params": "hello"}
	claims := func() sign.Claims {
		return sign.Claims{Node: e.ID, Work: &sign.Work{
			From: r.ID, Command: "submit", Unit: "Unit0001", WorkType: "signed-echo",
			Params: sign.ParamsDigest(params), Payload: digest("payload"),
		}}
	}
	token := func(lifetime time.Duration, c sign.Claims) string {
		s, err := sign.NewSigner(private, lifetime).Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	with := func(change func(*sign.Claims)) string {
		c := claims()
		change(&c)
		return token(time.Hour, c)
	}
	good := controlproto.Submit{Node: e.ID, WorkType: "signed-echo", UnitID: "Unit0001", Params: params}
	for name, tt := range map[string]struct{ signature, want string }{
		"node":    {with(func(c *sign.Claims) { c.Node = "executor02" }), "token audience did not match node ID"},
		"expired": {token(-time.Second, claims()), "could not verify signature: token is expired by "},
		"from":    {with(func(c *sign.Claims) { c.Work.From = "controller01" }), "token is from another node"},
		"command": {with(func(c *sign.Claims) { c.Work.Command = "cancel" }), "token is for another command"},
		"unit":    {with(func(c *sign.Claims) { c.Work.Unit = "Unit0002" }), "token is for another unit"},
		"type":    {with(func(c *sign.Claims) { c.Work.WorkType = "signed" }), "token is for another work type"},
		"params":  {with(func(c *sign.Claims) { c.Work.Params = sign.ParamsDigest(nil) }), "token is for other parameters"},
		"stream":  {with(func(c *sign.Claims) { c.Work.Stream = true }), "token is for another way to send the payload"},
		"stderr":  {with(func(c *sign.Claims) { c.Work.Stderr = "separate" }), "token is for another choice of error output"},
		"nothing": {with(func(c *sign.Claims) { c.Work.Payload = "" }), "token does not say what the payload is"},
		"none":    {"", "could not verify signature: signature is empty"},
	} {
		s := good
		s.Signature = tt.signature
		if err := a.submit(s, "payload", ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if n := len(e.Units()); n != 0 {
		t.Fatalf("%d units came of that", n)
	}
	// Another payload: the unit is there and has failed, and its command never ran.
	s := good
	s.UnitID, s.Signature = "Unit0009", with(func(c *sign.Claims) { c.Work.Unit = "Unit0009" })
	if err := a.submit(s, "payload!", ""); err == nil || !strings.Contains(err.Error(), "token is for another payload") {
		t.Errorf("payload: %v", err)
	}
	if _, err := os.Stat(filepath.Join(e.DataDir(), "Unit0009", "stdout")); err == nil {
		t.Error("the command ran with another payload")
	}
	// The right one runs, once; also over a restart of the executor, and after the unit is gone.
	s = good
	s.Signature = token(time.Hour, claims())
	if err := a.submit(s, "payload", ""); err != nil {
		t.Fatalf("the right one: %v", err)
	}
	e.Eventually("end the unit", func() bool { u, _ := e.Unit("Unit0001"); return u.StateName == "Succeeded" })
	used := func(when string) {
		t.Helper()
		if err := a.submit(s, "payload", ""); err == nil || !strings.Contains(err.Error(), "token was used before") {
			t.Errorf("%s: %v", when, err)
		}
	}
	used("again")
	e.Kill()
	e.Start()
	r.Reach(e)
	used("after a restart")
	// Its submitter may repeat it, signed anew.
	s.Signature = token(time.Hour, claims())
	if err := a.submit(s, "payload", ""); err != nil {
		t.Errorf("repeated by its submitter: %v", err)
	}
	// A streamed payload is bound by its own signature.
	c := claims()
	c.Work.Unit, c.Work.Stream, c.Work.Payload, c.Work.WorkType, c.Work.Params = "Unit0003", true, "", "signed", sign.ParamsDigest(nil)
	stream := controlproto.Submit{Node: e.ID, WorkType: "signed", UnitID: "Unit0003", Stream: true}
	seal := func(payload string) string {
		return token(time.Hour, sign.Claims{Node: e.ID, Work: &sign.Work{From: r.ID, Command: sign.CommandPayload, Unit: "Unit0003", Payload: digest(payload)}})
	}
	for _, tt := range []struct{ seal, want string }{
		{"", "signature is empty"},
		{token(time.Hour, sign.Claims{Node: e.ID}), "token does not say what the payload is"},
		{seal("another"), "token is for another payload"},
	} {
		stream.Signature = token(time.Hour, c)
		if err := a.submit(stream, "payload", tt.seal); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("stream: %v, want %q", err, tt.want)
		}
	}
	e.Eventually("fail the unit", func() bool {
		u, _ := e.Unit("Unit0003")
		return u.StateName == "Failed" && strings.Contains(u.Detail, "token is for another payload")
	})
	// The output is for who may have it, once.
	follow := func(signature string) error {
		_, err := a.client().Follow(context.Background(), "Unit0001", io.Discard, controlproto.FollowOptions{Signature: signature})
		return err
	}
	out := token(time.Hour, sign.Claims{Node: e.ID, Work: &sign.Work{From: r.ID, Command: "follow", Unit: "Unit0001"}})
	if err := follow(out); err != nil {
		t.Errorf("follow: %v", err)
	}
	if err := follow(out); err == nil || !strings.Contains(err.Error(), "token was used before") {
		t.Errorf("follow again: %v", err)
	}
	if err := follow(""); err == nil || !strings.Contains(err.Error(), "signature is empty") {
		t.Errorf("follow unsigned: %v", err)
	}
	call := func(command, signature string) error {
		return a.client().Call(context.Background(), map[string]any{"command": "work", "subcommand": command, "unitid": "Unit0001", "signature": signature}, nil)
	}
	for _, command := range []string{"cancel", "release", "force-release"} {
		other := token(time.Hour, sign.Claims{Node: e.ID, Work: &sign.Work{From: r.ID, Command: command, Unit: "Unit0003"}})
		if err := call(command, other); err == nil || !strings.Contains(err.Error(), "token is for another unit") {
			t.Errorf("%s of another: %v", command, err)
		}
	}
	if err := call("release", token(time.Hour, sign.Claims{Node: e.ID})); err != nil { // the form of ansible/receptor is good for all
		t.Errorf("release: %v", err)
	}
}

// Secret parameters, keys and signatures are in nothing that a daemon says, logs,
// or lets others read.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const secret, alsoSecret = "hunter2-in-the-parameters", "hunter3-in-the-parameters"
	dir := harness.Dir(t)
	ca := pkitest.NewCA(t, "test")
	caFile := pkitest.File(t, filepath.Join(dir, "ca.crt"), ca.PEM)
	cert, key := ca.Write(dir, "executor01", pkitest.Template{})
	private, public := harness.KeyPair(t, dir, "key", "ed25519")
	r := harness.New(t, programs, dir, "relayer01", "- tcp-listener: {bindaddr: 127.0.0.1, port: 0}\n")
	r.Start()
	peer := fmt.Sprintf("- tcp-peer: {address: %q}\n", r.ListenAddr("tcp"))
	c := harness.New(t, programs, dir, "controller01", peer+harness.Signing(private, "5m")+
		fmt.Sprintf("- tls-client: {name: cli, cert: '', key: '', rootcas: %q}\n", caFile))
	e := harness.New(t, programs, dir, "executor01", peer+harness.Verification(public, "")+harness.SignedTypes+
		fmt.Sprintf("- tls-server: {name: srv, cert: %q, key: %q}\n", cert, key))
	e.Keys = ", tls: srv"
	c.Start()
	e.Start()
	c.Reach(e)
	said := ""
	hear := func(res harness.Result) harness.Result { said += res.Stdout + res.Stderr; return res }
	submit := func(args ...string) harness.Result {
		return hear(c.Try(append([]string{"work", "submit", "--node", "executor01", "--no-payload", "-a", "secret_x=" + secret, "-a", "SECRET_y=" + alsoSecret}, args...)...))
	}
	if res := submit("--signwork", "signed"); res.Code == 0 || !strings.Contains(res.Stderr, "cannot send secrets over a non-TLS connection") {
		t.Errorf("without TLS: exit code %d, %q", res.Code, res.Stderr)
	}
	for _, args := range [][]string{{"signed"}, {"--signwork", "open"}, {"--signwork", "nosuch"}, {"--signwork", "--ttl", "soon", "signed"}} {
		if res := submit(append([]string{"--tls-client", "cli"}, args...)...); res.Code == 0 {
			t.Errorf("%v is taken", args)
		}
	}
	if res := submit("--tls-client", "cli", "--signwork", "--follow", "signed"); res.Code != 0 {
		t.Fatalf("exit code %d, %q", res.Code, res.Stderr)
	}
	unit := harness.Submit(t, c, "--no-payload", "--node", "executor01", "-a", "secret_x="+secret, "--tls-client", "cli", "--signwork", "signed-wait")
	c.Eventually("run the unit", func() bool { u, _ := c.Unit(unit); return u.StateName == "Running" })
	// On the executor itself, where they mean nothing.
	hear(e.Try("work", "submit", "--no-payload", "-a", "secret_x="+secret, "open"))
	kept := false
	for _, n := range []*harness.Node{c, r, e} {
		hear(n.Try("work", "list"))
		hear(n.Try("work", "list", "--json"))
		hear(n.Try("status", "--json"))
		for id := range n.Units() {
			answer, _ := n.Ask("work status " + id)
			said += answer
		}
		log, err := os.ReadFile(n.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		said += string(log)
		kept = walk(t, n.DataDir(), secret) || kept
	}
	if !kept {
		t.Error("no file has the secret: this test looks in the wrong places")
	}
	pem, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"a secret": secret, "another secret": alsoSecret, "a token": "eyJ", "the key": strings.Split(string(pem), "\n")[1],
	} {
		if at := strings.Index(said, text); at >= 0 {
			t.Errorf("%s is said: %s", what, said[max(0, at-200):min(len(said), at+200)])
		}
	}
	c.Run("work", "cancel", unit)
}

// walk fails for files of a node that others may read, or that hold a token, and
// tells whether one holds the secret.
func walk(t *testing.T, dir, secret string) (kept bool) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(content, []byte("eyJhbGc")) {
			t.Errorf("%s holds a token", path)
		}
		kept = kept || bytes.Contains(content, []byte(secret))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return kept
}
