package harness

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// SignedTypes are work types that need a signature, and one that does not.
const SignedTypes = `
- work-command: {worktype: signed, command: cat, verifysignature: true}
- work-command: {worktype: signed-echo, command: echo, allowruntimeparams: true, verifysignature: true}
- work-command: {worktype: signed-wait, command: sleep, params: "1000", verifysignature: true}
- work-command: {worktype: open, command: cat}
`

// KeyPair makes a pair of signing keys (rsa, ecdsa or ed25519) as PEM files NAME
// and NAME.pub below dir. What was there is replaced.
func KeyPair(t *testing.T, dir, name, kind string) (private, public string) {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	q, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, public = filepath.Join(dir, name), filepath.Join(dir, name+".pub")
	replaceFile(t, private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p}))
	replaceFile(t, public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: q}))
	return private, public
}

// replaceFile puts a file in place whole, as a careful operator does.
func replaceFile(t *testing.T, name string, content []byte) {
	t.Helper()
	err := os.WriteFile(name+".new", content, 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Signing and Verification are the sections of a controller and an executor.
func Signing(private, lifetime string) string {
	return fmt.Sprintf("- work-signing: {privatekey: %q, tokenexpiration: %s}\n", private, lifetime)
}

// Verification is the section of an executor; keys are further keys, if any.
func Verification(public, keys string) string {
	return fmt.Sprintf("- work-verification: {publickey: %q%s}\n", public, keys)
}

// SignedScenes runs signed work between a controller and an executor, joined
// already, whose keys belong together, and have SignedTypes.
func SignedScenes(t *testing.T, c, e *Node) {
	t.Helper()
	submit := func(args ...string) Result {
		return c.TryInput("data\n", append([]string{"work", "submit", "--node", e.ID, "--payload", "-"}, args...)...)
	}
	refused := func(what string, r Result, text string) {
		t.Helper()
		if r.Code == 0 || !strings.Contains(r.Stderr, text) {
			t.Errorf("%s: exit code %d, %q, want %q", what, r.Code, r.Stderr, text)
		}
	}
	refused("unsigned", submit("signed"), "could not verify signature: signature is empty")
	refused("signed for nothing", submit("--signwork", "open"), "work type did not expect a signature")
	if r := submit("--signwork", "--follow", "--rm", "signed"); r.Code != 0 || !strings.HasPrefix(r.Stdout, "data\n") {
		t.Errorf("signed: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
	if r := submit("--follow", "--rm", "open"); r.Code != 0 || !strings.HasPrefix(r.Stdout, "data\n") {
		t.Errorf("open: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
	// On the executor itself nobody has to sign.
	if r := e.TryInput("data\n", "work", "submit", "--payload", "-", "--follow", "--rm", "signed"); r.Code != 0 || !strings.HasPrefix(r.Stdout, "data\n") {
		t.Errorf("local: exit code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
	// The daemon signs a cancel and a release by itself.
	unit := Submit(t, c, "--no-payload", "--signwork", "--node", e.ID, "signed-wait")
	c.Eventually("run the unit", func() bool { u, _ := c.Unit(unit); return u.StateName == "Running" })
	far := List(t, c)[unit].ExtraData.RemoteUnitID
	if s := c.Run("work", "cancel", unit); !strings.Contains(s, "cancel") {
		t.Errorf("cancel: %s", s)
	}
	e.Eventually("cancel the unit", func() bool { u, _ := e.Unit(far); return u.StateName == "Canceled" })
	c.Run("work", "release", unit)
	e.Eventually("release the unit", func() bool { _, ok := e.Units()[far]; return !ok })
}

// CopyFile puts a copy of a file in the place of another, whole.
func CopyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, to, content)
}
