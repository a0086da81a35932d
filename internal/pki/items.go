package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// Kinds of PEM blocks that we read or write.
const (
	blockCertificate = "CERTIFICATE"
	blockRequest     = "CERTIFICATE REQUEST"
	blockRSAKey      = "RSA PRIVATE KEY"
	blockECKey       = "EC PRIVATE KEY"
	blockKey         = "PRIVATE KEY"
	blockPublicKey   = "PUBLIC KEY"
)

// MaxPEM bounds a file of certificates or keys, in bytes. A bundle with all authorities of a system has a quarter of a
// megabyte.
const MaxPEM = 4 << 20

// Item is one block of a PEM file. One of its pointers is set; none if the block is of another kind or Encrypted.
type Item struct {
	Block       string // what stands behind BEGIN
	Certificate *x509.Certificate
	Request     *x509.CertificateRequest
	PrivateKey  crypto.Signer
	PublicKey   crypto.PublicKey // of a block that has nothing else
	Encrypted   bool             // a private key that cannot be read without a password
}

// ErrNoPEM tells that a file has something in it, but no PEM block.
var ErrNoPEM = errors.New("failed to decode PEM block")

// ReadItems reads a PEM file. Text between the blocks is passed over. An empty file has no items.
func ReadItems(file string) ([]Item, error) {
	data, err := readBounded(file)
	if err != nil {
		return nil, err
	}
	items, err := ParseItems(data)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, file)
	}
	return items, nil
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxPEM+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxPEM {
		return nil, fmt.Errorf("%s: larger than %d bytes: this is no file of certificates or keys", file, MaxPEM)
	}
	return data, nil
}

// ParseItems reads the blocks of a PEM file. A block that is damaged is an error; one of a kind that we do not know is
// not.
func ParseItems(data []byte) ([]Item, error) {
	var items []Item
	begins := bytes.Count(data, []byte("\n-----BEGIN "))
	if bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		begins++
	}
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		item, err := parseItem(b)
		if err != nil {
			return nil, fmt.Errorf("block %d, %s: %w", len(items)+1, b.Type, err)
		}
		items = append(items, item)
	}
	switch {
	case len(items) < begins:
		return nil, fmt.Errorf("%w: %d of %d blocks are damaged", ErrNoPEM, begins-len(items), begins)
	case len(items) == 0 && len(data) > 1 && data[0] == 0x30 && data[1] >= 0x80:
		return nil, fmt.Errorf("%w: this looks like DER; openssl converts it with -inform DER", ErrNoPEM)
	case len(items) == 0 && len(data) > 0:
		return nil, ErrNoPEM
	}
	return items, nil
}

func parseItem(b *pem.Block) (Item, error) {
	item := Item{Block: b.Type}
	var err error
	switch b.Type {
	case blockCertificate:
		item.Certificate, err = x509.ParseCertificate(b.Bytes)
	case blockRequest, "NEW CERTIFICATE REQUEST":
		item.Request, err = x509.ParseCertificateRequest(b.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		item.Encrypted = true
	case blockRSAKey, blockECKey, blockKey:
		if b.Headers["DEK-Info"] != "" {
			item.Encrypted = true
			break
		}
		item.PrivateKey, err = parseKey(b)
	case blockPublicKey:
		item.PublicKey, err = x509.ParsePKIXPublicKey(b.Bytes)
	case "RSA PUBLIC KEY":
		item.PublicKey, err = x509.ParsePKCS1PublicKey(b.Bytes)
	}
	return item, err
}

func parseKey(b *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch b.Type {
	case blockRSAKey:
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case blockECKey:
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key of this kind cannot sign")
	}
	return signer, nil
}

// Certificates are those among items, in their order.
func Certificates(items []Item) []*x509.Certificate {
	var cs []*x509.Certificate
	for _, i := range items {
		if i.Certificate != nil {
			cs = append(cs, i.Certificate)
		}
	}
	return cs
}

// ReadCertificates reads all certificates of a PEM file. There is at least one.
func ReadCertificates(file string) ([]*x509.Certificate, error) {
	items, err := ReadItems(file)
	if err != nil {
		return nil, err
	}
	cs := Certificates(items)
	if len(cs) == 0 {
		return nil, fmt.Errorf("%s: no certificate in it%s", file, whatElse(items))
	}
	return cs, nil
}

// ReadRequest reads the one request of a PEM file.
func ReadRequest(file string) (*x509.CertificateRequest, error) {
	items, err := ReadItems(file)
	if err != nil {
		return nil, err
	}
	var found *x509.CertificateRequest
	for _, i := range items {
		switch {
		case i.Request != nil && found != nil:
			return nil, fmt.Errorf("%s: more than one certificate request in it: put each into a file of its own", file)
		case i.Request != nil:
			found = i.Request
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no certificate request in it%s", file, whatElse(items))
	}
	return found, nil
}

// ReadKey reads the one private key of a PEM file.
func ReadKey(file string) (crypto.Signer, error) {
	items, err := ReadItems(file)
	if err != nil {
		return nil, err
	}
	var found crypto.Signer
	for _, i := range items {
		switch {
		case i.Encrypted:
			return nil, fmt.Errorf("%s: the private key is encrypted: decrypt it first, as with openssl pkey -in %s", file, file)
		case i.PrivateKey != nil && found != nil:
			return nil, fmt.Errorf("%s: more than one private key in it: put each into a file of its own", file)
		case i.PrivateKey != nil:
			found = i.PrivateKey
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no private key in it%s", file, whatElse(items))
	}
	return found, nil
}

// whatElse says what is in a file instead of what was looked for.
func whatElse(items []Item) string {
	if len(items) == 0 {
		return ": the file is empty"
	}
	return ": it begins with " + items[0].Block
}
