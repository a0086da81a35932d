package pki

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// The bytes are those of the specification of certificates, section 1.4.
func TestNodeIDAsSpecified(t *testing.T) {
	der, err := Names{NodeIDs: []string{"foo"}}.marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(der), "3014"+"a01206092b060104019208"+"1301a0050c03666f6f"; got != want {
		t.Errorf("encoded %s, want %s", got, want)
	}
}

func TestNodeIDsOfEveryLength(t *testing.T) {
	for n := range 300 {
		want := []string{"a", strings.Repeat("n", n), "é"}
		der, err := Names{DNS: []string{"localhost"}, NodeIDs: want}.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseNodeIDs(der); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%d bytes: %q, %v", n, got, err)
		}
	}
}

func FuzzParseNodeIDs(f *testing.F) {
	der, err := Names{DNS: []string{"localhost"}, NodeIDs: []string{"foo", "bar"}}.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		ids, err := parseNodeIDs(der)
		if err != nil {
			return
		}
		again, err := Names{NodeIDs: ids}.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseNodeIDs(again); err != nil || !slices.Equal(got, ids) {
			t.Fatalf("%q became %q, %v", ids, got, err)
		}
	})
}
