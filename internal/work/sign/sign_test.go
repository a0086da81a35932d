package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// vary is what differs in the texts from run to run.
var vary = regexp.MustCompile(`expired by [0-9hms.]+`)

// Every token that was put before ansible/receptor gets its verdict, and its text.
func TestTokenVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/signing-tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Node   string
		Tokens []struct {
			Name, Token string
			Accepted    bool
			Answer      *string
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Tokens) != 27 {
		t.Fatalf("%d tokens, want 27", len(vectors.Tokens))
	}
	v := NewVerifier(vectors.Node, "testdata/keys/signworkpublic.pem")
	for _, tt := range vectors.Tokens {
		if tt.Token == "" {
			continue // not handed to a Verifier
		}
		c, err := v.Verify(tt.Token)
		if (err == nil) != tt.Accepted {
			t.Errorf("%s: %v, accepted there: %v", tt.Name, err, tt.Accepted)
		}
		if err == nil && c.Work != nil {
			t.Errorf("%s: says what it is for: %+v", tt.Name, c.Work)
		}
		if err == nil || tt.Answer == nil {
			continue
		}
		got, want := "ERROR: "+vary.ReplaceAllString(err.Error(), "expired by D"), vary.ReplaceAllString(*tt.Answer, "expired by D")
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.Name, got, want)
		}
	}
}

// The token of a request to ansible/receptor has its members, order and types.
func TestOriginalForm(t *testing.T) {
	s := NewSigner("testdata/keys/signworkprivate.pem", 10*time.Hour)
	before := time.Now().Add(10 * time.Hour).Unix()
	text, err := s.Sign(Claims{Node: "bar"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(text, ".")
	header, _ := base64.RawURLEncoding.DecodeString(parts[0])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if string(header) != `{"alg":"RS512","typ":"JWT"}` {
		t.Errorf("header %s", header)
	}
	if !regexp.MustCompile(`^\{"aud":\["bar"\],"exp":[0-9]+\}$`).Match(claims) {
		t.Errorf("claims %s", claims)
	}
	c, err := NewVerifier("bar", "testdata/keys/signworkpublic.pem").Verify(text)
	if err != nil || c.Work != nil || c.Expires.Unix() < before || c.Expires.Unix() > before+60 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// key files that a Signer and a Verifier take, by algorithm.
func keyPairs(t *testing.T) map[string][2]string {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	pairs := map[string]crypto.Signer{"EdDSA": ed}
	for alg, c := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pairs[alg] = k
	}
	dir := t.TempDir()
	files := map[string][2]string{"RS512": {"testdata/keys/signworkprivate.pem", "testdata/keys/signworkpublic.pem"}}
	for alg, k := range pairs {
		files[alg] = [2]string{filepath.Join(dir, alg), filepath.Join(dir, alg+".pub")}
		private, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		write(t, files[alg][0], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
		write(t, files[alg][1], publicPEM(t, k.Public()))
	}
	return files
}

func publicPEM(t testing.TB, key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func write(t testing.TB, file string, content []byte) {
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each kind of key signs with its own algorithm, says all that it is given, and
// is taken by no Verifier with another key.
func TestKinds(t *testing.T) {
	pairs := keyPairs(t)
	want := Work{
		From: "foo", Command: "submit", Unit: "Ab3dEf9h", WorkType: "cat", Params: "p", Payload: "q", Stream: true, Stderr: "separate",
	}
	for alg, files := range pairs {
		text, err := NewSigner(files[0], time.Minute).Sign(Claims{Node: "bar", Work: &want})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		header, _ := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
		if !strings.Contains(string(header), `"`+alg+`"`) {
			t.Errorf("%s: header %s", alg, header)
		}
		for other, f := range pairs {
			c, err := NewVerifier("bar", f[1]).Verify(text)
			switch {
			case other == alg && err != nil:
				t.Errorf("%s: %v", alg, err)
			case other == alg:
				got := *c.Work
				if got.ID == "" {
					t.Errorf("%s: no id", alg)
				}
				got.ID = ""
				if got != want {
					t.Errorf("%s: got %+v", alg, got)
				}
			case err == nil || !strings.HasPrefix(err.Error(), "could not verify signature: "):
				t.Errorf("%s with a key for %s: %v", alg, other, err)
			}
		}
		if _, err := NewVerifier("baz", files[1]).Verify(text); err == nil || err.Error() != "token audience did not match node ID" {
			t.Errorf("%s for another node: %v", alg, err)
		}
	}
}

// No token chooses how it is verified.
func TestAlgorithmConfusion(t *testing.T) {
	pairs := keyPairs(t)
	claims := jwt.RegisteredClaims{Audience: jwt.ClaimStrings{"bar"}}
	for alg, files := range pairs {
		v := NewVerifier("bar", files[1])
		public, err := os.ReadFile(files[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
			text, err := jwt.NewWithClaims(m, claims).SignedString(public)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(text); err == nil || err.Error() != "could not verify signature: key is of invalid type" {
				t.Errorf("%s with the key file of %s: %v", m.Alg(), alg, err)
			}
		}
		text, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(text); err == nil || err.Error() != "could not verify signature: 'none' signature type is not allowed" {
			t.Errorf("none with the key file of %s: %v", alg, err)
		}
	}
	// A curve is bound to its hash: P-256 with ES512 is none of ours, though the key could do it.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "k")
	write(t, file, publicPEM(t, key.Public()))
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	text := part(`{"alg":"ES512"}`) + "." + part(`{"aud":"bar"}`) + "." + part(strings.Repeat("x", 132))
	if _, err := NewVerifier("bar", file).Verify(text); err == nil || !strings.Contains(err.Error(), "invalid type") {
		t.Errorf("ES512 for P-256: %v", err)
	}
}

// The cases of a public key file that were tried with ansible/receptor, and more.
func TestKeyFiles(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("testdata/keys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(func() *ecdsa.PrivateKey { k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return k }())
	if err != nil {
		t.Fatal(err)
	}
	ecPrivate := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	locked := string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
		Bytes: x509.MarshalPKCS1PrivateKey(key),
	}))
	public := read("signworkpublic.pem")
	file := filepath.Join(t.TempDir(), "key.pem")
	check := map[bool]func() error{
		false: func() error { return NewVerifier("bar", file).Check() },
		true:  func() error { return NewSigner(file, time.Minute).Check() },
	}
	for name, tt := range map[string]struct {
		private bool
		content string
		err     string // empty: it is taken
	}{
		"PKIX":                           {false, public, ""},
		"of the second pair":             {false, read("pkcs8public.pem"), ""},
		"by openssl":                     {false, read("sign-public.pem"), ""},
		"text before it":                 {false, "a key\n" + public, ""},
		"empty lines behind it":          {false, public + "\n\r\n \n", ""}, // refused there
		"no newline at its end":          {false, strings.TrimRight(public, "\n"), ""},
		"PKCS#1 public":                  {false, read("pkcs1public.pem"), "unknown block type RSA PUBLIC KEY"},
		"private for public":             {false, read("signworkprivate.pem"), "public key file does not contain public key data"},
		"certificate for public":         {false, read("foo.crt"), "public key file does not contain public key data"},
		"two public":                     {false, public + public, "public key file should contain exactly one item"},
		"text behind it":                 {false, public + "the end\n", "failed to decode PEM block"},
		"empty":                          {false, "", "failed to decode PEM block"},
		"no PEM":                         {false, "hello", "failed to decode PEM block"},
		"another block":                  {false, "-----BEGIN X-----\nAAAA\n-----END X-----\n", `unknown block type "X"`},
		"too long":                       {false, public + strings.Repeat("\n", maxKeyFile), "longer than"},
		"P-224":                          {false, string(publicPEM(t, small.Public())), "curve P-224"},
		"garbage in the block":           {false, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "asn1"},
		"private PKCS#1":                 {true, read("signworkprivate.pem"), ""},
		"private PKCS#8":                 {true, read("sign-private-pkcs8.pem"), ""},
		"private of the other pair":      {true, read("othersign-private.pem"), ""},
		"private EC":                     {true, ecPrivate, ""},
		"private EC with its parameters": {true, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + ecPrivate, ""},
		"private EC, foo-ec.key":         {true, read("foo-ec.key"), ""},
		"public for private":             {true, public, "private key file does not contain private key data"},
		"two private":                    {true, ecPrivate + read("signworkprivate.pem"), "private key file should contain exactly one item"},
		"passphrase, old form":           {true, locked, "passphrase"},
		"passphrase":                     {true, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "passphrase"},
	} {
		write(t, file, []byte(tt.content))
		err := check[tt.private]()
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		}
		if err != nil && (strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "MII")) {
			t.Errorf("%s: the error tells too much: %v", name, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := NewVerifier("bar", file).Verify("x.y.z"); err == nil || err.Error() != "could not load verifying key file: no such file or directory" {
		t.Errorf("missing: %v", err)
	}
	if _, err := NewSigner(file, time.Minute).Sign(Claims{Node: "bar"}); err == nil || err.Error() != "cannot sign work: could not load signing key file: no such file or directory" {
		t.Errorf("missing: %v", err)
	}
	if err := NewVerifier("bar", t.TempDir()).Check(); err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Errorf("directory: %v", err)
	}
}

// A key that is replaced counts from the next use on, in both directions.
func TestKeysAreReplaced(t *testing.T) {
	pairs := keyPairs(t)
	dir := t.TempDir()
	private, public := filepath.Join(dir, "private"), filepath.Join(dir, "public")
	put := func(to, from string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, b)
	}
	s, v := NewSigner(private, time.Minute), NewVerifier("bar", public)
	old := ""
	for _, alg := range []string{"RS512", "EdDSA", "ES384", "RS512"} {
		put(private, pairs[alg][0])
		text, err := s.Sign(Claims{Node: "bar"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(text); err == nil {
			t.Errorf("%s is taken before its key is there", alg)
		}
		put(public, pairs[alg][1])
		if _, err := v.Verify(text); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if old != "" {
			if _, err := v.Verify(old); err == nil {
				t.Errorf("%s: a token of the key before is still taken", alg)
			}
		}
		old = text
		if err := os.Remove(public); err != nil { // what was read before says nothing
			t.Fatal(err)
		}
	}
}

// A token that says what it is for must have an id and an end.
func TestUnboundedTokens(t *testing.T) {
	key, err := os.ReadFile("testdata/keys/signworkprivate.pem")
	if err != nil {
		t.Fatal(err)
	}
	k, err := parsePrivate(key)
	if err != nil {
		t.Fatal(err)
	}
	soon := jwt.NewNumericDate(time.Now().Add(time.Hour))
	v := NewVerifier("bar", "testdata/keys/signworkpublic.pem")
	for name, tt := range map[string]struct {
		claims jwt.RegisteredClaims
		ok     bool
	}{
		"both":       {jwt.RegisteredClaims{ID: "a", ExpiresAt: soon}, true},
		"no id":      {jwt.RegisteredClaims{ExpiresAt: soon}, false},
		"no end":     {jwt.RegisteredClaims{ID: "a"}, false},
		"longest id": {jwt.RegisteredClaims{ID: strings.Repeat("a", maxID), ExpiresAt: soon}, true},
		"id too big": {jwt.RegisteredClaims{ID: strings.Repeat("a", maxID+1), ExpiresAt: soon}, false},
	} {
		tt.claims.Audience = jwt.ClaimStrings{"bar"}
		text, err := jwt.NewWithClaims(jwt.SigningMethodRS512, token{RegisteredClaims: tt.claims, Work: &work{Command: "cancel"}}).SignedString(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(text); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDigests(t *testing.T) {
	all := []map[string]string{
		nil, {"a": "b"}, {"a": "c"}, {"b": "b"}, {"a": "b", "c": ""}, {"ab": ""}, {"": "ab"}, {"a": "bc"}, {"a": "b", "c": "d"},
		{"a": "b\x00\x00\x00\x00\x00\x00\x00\x01cd"},
	}
	seen := map[string]int{}
	for i, p := range all {
		d := ParamsDigest(p)
		if j, ok := seen[d]; ok {
			t.Errorf("%v and %v have one digest", all[j], p)
		}
		seen[d] = i
	}
	if ParamsDigest(nil) != ParamsDigest(map[string]string{}) {
		t.Error("no parameters are not the empty ones")
	}
	// What JSON makes of bytes that are no UTF-8 on the way is the same to the other side.
	before := map[string]string{"params": "a\xff\xfeb\xe2\x82"}
	raw, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	var after map[string]string
	if err := json.Unmarshal(raw, &after); err != nil {
		t.Fatal(err)
	}
	if ParamsDigest(before) != ParamsDigest(after) {
		t.Error("parameters that are no UTF-8 have another digest when they arrive")
	}
	if d, err := PayloadDigest(strings.NewReader("")); err != nil || d != "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" {
		t.Errorf("digest of nothing: %s, %v", d, err)
	}
	if _, err := PayloadDigest(io.MultiReader(strings.NewReader("x"), broken{})); err == nil {
		t.Error("a payload that breaks off has a digest")
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestLongestToken: a token of the greatest length is looked at; one byte more is too long,
// whatever it says.
func TestLongestToken(t *testing.T) {
	v := NewVerifier("bar", "testdata/keys/signworkpublic.pem")
	const long = "token is longer than 16384 bytes"
	if _, err := v.Verify(strings.Repeat("a", maxToken)); err == nil || strings.Contains(err.Error(), long) {
		t.Errorf("%d bytes: %v", maxToken, err)
	}
	if _, err := v.Verify(strings.Repeat("a", maxToken+1)); err == nil || !strings.Contains(err.Error(), long) {
		t.Errorf("one byte more: %v", err)
	}
}
