package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzVerify: whatever is taken was signed by the key, with its algorithm, for
// this node; and no error repeats a token.
func FuzzVerify(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := private.Public().(ed25519.PublicKey)
	file := filepath.Join(f.TempDir(), "public.pem")
	write(f, file, publicPEM(f, public))
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	signed := func(header, claims string) string {
		text := part(header) + "." + part(claims)
		return text + "." + part(string(ed25519.Sign(private, []byte(text))))
	}
	const good = `{"alg":"EdDSA"}`
	for _, claims := range []string{
		`{"aud":["bar"],"exp":4102444800}`, `{"aud":"bar"}`, `{"aud":["bar"],"exp":"4102444800"}`, `{"aud":["bar"],"exp":1e300}`, `{"aud":["bar"],"exp":-1}`, `null`, `[]`, `{"aud":null}`, `{"aud":[1]}`,
		`{"aud":["bar"],"exp":4102444800,"jti":"a","receptor":{"command":"submit","unit":"Ab3dEf9h"}}`, `{"aud":["bar"],"receptor":null}`, `{"aud":["bar"],"receptor":{"stream":1}}`,
		`{"aud":["bar"],"nbf":4102444800}`, `{"aud":["bar"],"iat":4102444800}`,
	} {
		f.Add(signed(good, claims))
	}
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"HS512"}`, `{"alg":"RS512"}`, `{"alg":1}`, `{}`, `null`, `[]`} {
		f.Add(signed(header, `{"aud":["bar"]}`))
	}
	f.Add("")
	f.Add("..")
	f.Add("Bearer a.b.c")
	f.Add(strings.Repeat("a", maxToken+1))
	v := NewVerifier("bar", file)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := v.Verify(text)
		if err != nil {
			if len(text) > 40 && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats the token: %v", err)
			}
			return
		}
		parts := strings.Split(text, ".")
		sig, e := base64.RawURLEncoding.DecodeString(parts[2])
		if e != nil || !ed25519.Verify(public, []byte(parts[0]+"."+parts[1]), sig) {
			t.Fatalf("taken without a signature: %q", text)
		}
		raw, _ := base64.RawURLEncoding.DecodeString(parts[0])
		var header struct{ Alg string }
		if json.Unmarshal(raw, &header) != nil || header.Alg != "EdDSA" {
			t.Fatalf("taken with the header %s", raw)
		}
		if c.Node != "bar" || !c.Expires.IsZero() && c.Expires.Before(time.Now().Add(-time.Minute)) {
			t.Fatalf("taken: %+v", c)
		}
		if c.Work != nil && (c.Work.ID == "" || c.Expires.IsZero()) {
			t.Fatalf("taken without an id or an end: %+v", c.Work)
		}
	})
}

// FuzzKeyFile: no file makes the reader of keys fall, and what it takes can be used.
func FuzzKeyFile(f *testing.F) {
	for _, name := range []string{"signworkpublic.pem", "signworkprivate.pem", "pkcs1public.pem", "foo-ec.key", "foo.crt"} {
		content, err := readKey(filepath.Join("testdata/keys", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add(slices.Concat(content, content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if key, err := parsePublic(content); err == nil {
			if names, err := algorithms(key); err != nil || len(names) == 0 {
				t.Errorf("taken, and of no use: %v", err)
			}
		}
		if key, err := parsePrivate(content); err == nil {
			if names, err := algorithms(key.Public()); err != nil || len(names) == 0 {
				t.Errorf("taken, and of no use: %v", err)
			}
		}
	})
}
