package sign

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signer makes tokens. Its methods may be called by any goroutine.
type Signer struct {
	key      keyFile[crypto.Signer]
	lifetime time.Duration
}

// NewSigner makes a Signer with the private key in a PEM file, which need not be
// there yet. lifetime is how long a token is good, greater than 0.
func NewSigner(file string, lifetime time.Duration) *Signer {
	return &Signer{key: keyFile[crypto.Signer]{path: file, parse: parsePrivate}, lifetime: lifetime}
}

// Check tells whether the key can be used now. The error does not name the file.
func (s *Signer) Check() error {
	_, err := s.key.load()
	return err
}

// Sign makes the token that says c; it decides Expires, and the ID of c.Work.
// Errors have the text for a client, and do not name the file.
func (s *Signer) Sign(c Claims) (string, error) {
	key, err := s.key.load()
	if err != nil {
		return "", fmt.Errorf("cannot sign work: could not load signing key file: %w", err)
	}
	names, err := algorithms(key.Public())
	if err != nil {
		return "", fmt.Errorf("cannot sign work: %w", err)
	}
	c.Expires = time.Now().Add(s.lifetime)
	if c.Work != nil {
		w := *c.Work
		w.ID = newID()
		c.Work = &w
	}
	text, err := jwt.NewWithClaims(jwt.GetSigningMethod(names[0]), c.encode()).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("cannot sign work: %w", err)
	}
	return text, nil
}

// newID draws the id of a token.
func newID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
