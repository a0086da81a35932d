package pki

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
	"slices"
	"strings"
)

// KeyKind is an algorithm with its size, as people write it: one of KeyKinds.
type KeyKind string

// The kinds of keys that can be made. ansible/receptor's own tools know RSA alone; its nodes take all of them.
const (
	RSA2048   KeyKind = "rsa-2048"
	RSA3072   KeyKind = "rsa-3072"
	RSA4096   KeyKind = "rsa-4096"
	ECDSAP256 KeyKind = "ecdsa-p256"
	ECDSAP384 KeyKind = "ecdsa-p384"
	Ed25519   KeyKind = "ed25519"
)

// KeyKinds are all kinds, the usual one first.
func KeyKinds() []KeyKind {
	return []KeyKind{RSA2048, RSA3072, RSA4096, ECDSAP256, ECDSAP384, Ed25519}
}

// DefaultRSABits is the size of an RSA key if nobody says which.
const DefaultRSABits = 2048

// NewKey makes a key.
func NewKey(kind KeyKind) (crypto.Signer, error) {
	switch kind {
	case RSA2048:
		return NewRSAKey(2048)
	case RSA3072:
		return NewRSAKey(3072)
	case RSA4096:
		return NewRSAKey(4096)
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	var names []string
	for _, k := range KeyKinds() {
		names = append(names, string(k))
	}
	return nil, fmt.Errorf("there is no kind of key %q: choose one of %s", kind, strings.Join(names, ", "))
}

// NewRSAKey makes an RSA key; 0 bits are DefaultRSABits. Sizes below 1024 are refused. Large ones take minutes.
func NewRSAKey(bits int) (crypto.Signer, error) {
	if bits == 0 {
		bits = DefaultRSABits
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// marshalKey writes a private key as PEM, not encrypted: RSA keys as ansible/receptor does (PKCS #1), others as
// PKCS #8.
func marshalKey(key crypto.Signer) ([]byte, error) {
	if k, ok := key.(*rsa.PrivateKey); ok {
		return pem.EncodeToMemory(&pem.Block{Type: blockRSAKey, Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

// DescribeKey says what a public key is, as in `RSA (2048 bits)`.
func DescribeKey(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA (%d bits)", k.N.BitLen())
	case *ecdsa.PublicKey:
		return fmt.Sprintf("ECDSA (%s)", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// WeakKey says what is too little in a public key, or nothing.
func WeakKey(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < DefaultRSABits {
			return fmt.Sprintf("its RSA key of %d bits is weak: at least %d are needed", bits, DefaultRSABits)
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return fmt.Sprintf("its ECDSA key on %s is weak: at least P-256 is needed", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return "its key is of a kind that TLS does not use"
	}
	return ""
}

// weakSignature says what is wrong with a signature algorithm, or nothing.
func weakSignature(a x509.SignatureAlgorithm) string {
	if slices.Contains([]x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}, a) {
		return fmt.Sprintf("its signature by %v is weak and refused by all of today's software", a)
	}
	return ""
}

// SameKey tells whether two public keys are equal.
func SameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
