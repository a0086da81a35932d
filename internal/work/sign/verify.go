package sign

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken is the length in bytes of the longest token that is looked at.
const maxToken = 16 << 10

// Verifier verifies tokens for one node. Its methods may be called by any goroutine.
type Verifier struct {
	node   string
	key    keyFile[crypto.PublicKey]
	parser *jwt.Parser
}

// NewVerifier makes a Verifier for tokens to that node, with the public key in a
// PEM file, which need not be there yet.
func NewVerifier(node, file string) *Verifier {
	return &Verifier{
		node: node, key: keyFile[crypto.PublicKey]{path: file, parse: parsePublic},
		parser: jwt.NewParser(jwt.WithIssuedAt()),
	}
}

// Check tells whether the key can be used now. The error does not name the file.
func (v *Verifier) Check() error {
	_, err := v.key.load()
	return err
}

// Verify returns what a token says. It is signed, in its time, and for this node;
// whether it is for the request at hand is for the caller to see. Errors have
// the text for a client (spec work 9).
func (v *Verifier) Verify(text string) (Claims, error) {
	key, err := v.key.load()
	if err != nil {
		return Claims{}, fmt.Errorf("could not load verifying key file: %w", err)
	}
	t, err := v.parse(text, key)
	if err != nil {
		return Claims{}, fmt.Errorf("could not verify signature: %w", err)
	}
	if !slices.Contains(t.Audience, v.node) {
		return Claims{}, errors.New("token audience did not match node ID")
	}
	c, err := t.decode(v.node)
	if err != nil {
		return Claims{}, fmt.Errorf("could not verify signature: %w", err)
	}
	return c, nil
}

func (v *Verifier) parse(text string, key crypto.PublicKey) (token, error) {
	var t token
	switch {
	case len(text) > maxToken:
		return t, fmt.Errorf("token is longer than %d bytes", maxToken)
	case len(text) >= 7 && strings.EqualFold(text[:7], "bearer "):
		return t, errors.New("tokenstring should not contain 'bearer '")
	}
	names, err := algorithms(key)
	if err != nil {
		return t, err
	}
	_, err = v.parser.ParseWithClaims(text, &t, func(parsed *jwt.Token) (any, error) {
		switch name := parsed.Method.Alg(); {
		case name == "none":
			return nil, errNone
		case !slices.Contains(names, name):
			return nil, jwt.ErrInvalidKeyType
		}
		return key, nil
	})
	return t, v.stock(t, err)
}

var errNone = errors.New("'none' signature type is not allowed")

// stock words the errors of the library as clients of ansible/receptor know them.
func (v *Verifier) stock(t token, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNone):
		return errNone
	case errors.Is(err, jwt.ErrInvalidKeyType):
		return jwt.ErrInvalidKeyType
	case errors.Is(err, jwt.ErrTokenExpired) && t.ExpiresAt != nil:
		return fmt.Errorf("token is expired by %v", time.Since(t.ExpiresAt.Time))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return jwt.ErrTokenNotValidYet
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return jwt.ErrTokenUsedBeforeIssued
	}
	text := err.Error()
	for _, kind := range []error{jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenInvalidClaims} {
		text = strings.TrimPrefix(text, kind.Error()+": ")
	}
	for _, step := range []string{
		"could not base64 decode header: ", "could not JSON decode header: ", "could not base64 decode claim: ",
		"could not JSON decode claim: ", "could not base64 decode signature: ",
	} {
		text = strings.TrimPrefix(text, step)
	}
	if strings.HasPrefix(text, "signing method (alg) is ") {
		text += "."
	}
	return errors.New(text)
}
