package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// TestSigningKeys holds that pairs of every kind sign and verify work, and that a pair takes nothing of another.
func TestSigningKeys(t *testing.T) {
	dir := t.TempDir()
	pair := func(kind, name string) (key, pub string) {
		key, pub = filepath.Join(dir, name+".key"), filepath.Join(dir, name+".pub")
		cmd := newCertSigningKey(t.Output())
		cmd.SetArgs([]string{"--keytype", kind, "--outkey", key, "--outpub", pub})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return key, pub
	}
	for _, kind := range pki.KeyKinds() {
		key, pub := pair(string(kind), string(kind))
		_, other := pair(string(kind), "other-"+string(kind))
		token, err := sign.NewSigner(key, time.Minute).Sign(sign.Claims{Node: "executor01"})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if _, err := sign.NewVerifier("executor01", pub).Verify(token); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := sign.NewVerifier("executor01", other).Verify(token); err == nil || !strings.Contains(err.Error(), "could not verify signature") {
			t.Errorf("%s: the public key of another pair: %v", kind, err)
		}
	}
}
