package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

// maxKeyFile is the size in bytes of the largest key file that is read.
const maxKeyFile = 1 << 20

// keyFile is a file that holds a key. It is read at each use, and decoded when
// its content is another than before.
type keyFile[K any] struct {
	path  string
	parse func(content []byte) (K, error)

	mu      sync.Mutex
	content []byte
	key     K
}

// load returns the key. Errors do not name the file: they may go to other nodes.
func (f *keyFile[K]) load() (K, error) {
	var none K
	content, err := readKey(f.path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return none, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.content != nil && bytes.Equal(content, f.content) {
		return f.key, nil
	}
	key, err := f.parse(content)
	if err != nil {
		return none, err
	}
	f.content, f.key = content, key
	return key, nil
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // reading a pipe might wait for ever
		return nil, errors.New("it is not a plain file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(content) > maxKeyFile {
		err = fmt.Errorf("it is longer than %d bytes", maxKeyFile)
	}
	return content, err
}

// onlyBlock returns the one PEM block of a file that is to hold a key of that
// kind, "private" or "public". Text before it is skipped, white space after it
// too; openssl puts EC PARAMETERS before an EC PRIVATE KEY.
func onlyBlock(content []byte, kind string) (*pem.Block, error) {
	var blocks []*pem.Block
	for rest := content; len(bytes.TrimSpace(rest)) > 0 || len(blocks) == 0; {
		b, after := pem.Decode(rest)
		if b == nil {
			return nil, errors.New("failed to decode PEM block")
		}
		rest = after
		if b.Type == "EC PARAMETERS" {
			continue
		}
		if err := known(b); err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	if len(blocks) != 1 {
		return nil, errors.New(kind + " key file should contain exactly one item")
	}
	return blocks[0], nil
}

func known(b *pem.Block) error {
	switch b.Type {
	case "CERTIFICATE", "CERTIFICATE REQUEST", "PUBLIC KEY":
		return nil
	case "RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY":
		if b.Headers["DEK-Info"] != "" {
			return errPassphrase
		}
		return nil
	case "ENCRYPTED PRIVATE KEY":
		return errPassphrase
	case "RSA PUBLIC KEY":
		return errors.New("unknown block type RSA PUBLIC KEY (convert it: openssl rsa -RSAPublicKey_in -in FILE -pubout)")
	}
	return fmt.Errorf("unknown block type %.64q", b.Type)
}

var errPassphrase = errors.New("the key has a passphrase, which nobody can enter here (remove it: openssl pkey -in FILE -out NEWFILE)")

func parsePrivate(content []byte) (crypto.Signer, error) {
	b, err := onlyBlock(content, "private")
	if err != nil {
		return nil, err
	}
	var key any
	switch b.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	default:
		return nil, errors.New("private key file does not contain private key data")
	}
	if err != nil {
		return nil, err
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("private key is of a kind that cannot sign: RSA, ECDSA and Ed25519 can")
	}
	_, err = algorithms(s.Public())
	return s, err
}

func parsePublic(content []byte) (crypto.PublicKey, error) {
	b, err := onlyBlock(content, "public")
	if err != nil {
		return nil, err
	}
	if b.Type != "PUBLIC KEY" {
		return nil, errors.New("public key file does not contain public key data")
	}
	key, err := x509.ParsePKIXPublicKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	_, err = algorithms(key)
	return key, err
}

// algorithms are those that a key may be used with; the first signs.
func algorithms(key crypto.PublicKey) ([]string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return []string{"RS512", "RS256", "RS384", "PS256", "PS384", "PS512"}, nil
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	case *ecdsa.PublicKey:
		curve := k.Curve.Params().Name
		if i := slices.Index([]string{"P-256", "P-384", "P-521"}, curve); i >= 0 {
			return []string{[]string{"ES256", "ES384", "ES512"}[i]}, nil
		}
		return nil, fmt.Errorf("key is on the curve %s: P-256, P-384 and P-521 can be used", curve)
	}
	return nil, fmt.Errorf("key is of a kind that cannot be used (%s): RSA, ECDSA and Ed25519 can", strings.TrimPrefix(fmt.Sprintf("%T", key), "*"))
}
