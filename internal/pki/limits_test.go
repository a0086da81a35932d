package pki

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLargestFile: a file of the greatest size is read, one byte more is an error.
func TestLargestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, bytes.Repeat([]byte("\n"), maxFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := readFile(name); err != nil || len(b) != maxFile {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := os.Truncate(name, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(name); err == nil || !strings.Contains(err.Error(), "over 16777216 bytes") {
		t.Errorf("one byte more: %v", err)
	}
}
