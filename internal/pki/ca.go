package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Validity is when a certificate is good. Both ends count; fractions of seconds are lost.
type Validity struct {
	NotBefore, NotAfter time.Time
}

// Empty tells that there is no time at which a certificate would be good.
func (v Validity) Empty() bool { return !v.NotBefore.Before(v.NotAfter) }

// NewAuthority makes the certificate of an authority, signed by its own key. Its extensions and their order are those of
// ansible/receptor (spec certificates 1.1); its serial number is random.
func NewAuthority(commonName string, key crypto.Signer, v Validity) (*x509.Certificate, error) {
	return newAuthority(commonName, key, v, nil)
}

// newAuthority takes the serial number, nil for a random one.
func newAuthority(commonName string, key crypto.Signer, v Validity, serial *big.Int) (*x509.Certificate, error) {
	if commonName == "" {
		return nil, errors.New("must provide CommonName")
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             v.NotBefore,
		NotAfter:              v.NotAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		SubjectKeyId:          id,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// keyID is the SHA-1 of a public key, by which certificates name the key of who signed them (RFC 5280, section 4.2.1.2).
// It is a name and no proof: that the hash is weak does not matter.
func keyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:], nil
}

// CheckAuthority tells why nothing would trust what a certificate signs, if so.
func CheckAuthority(c *x509.Certificate) error {
	switch {
	case c.BasicConstraintsValid && !c.IsCA, c.Version == 3 && !c.BasicConstraintsValid:
		return fmt.Errorf("the certificate of %s is not that of an authority: nobody would trust what it signs", nameOf(c))
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("the certificate of %s is not meant for signing others (key usage): nobody would trust what it signs", nameOf(c))
	}
	return nil
}

// CheckAuthorityKey tells whether key is that of an authority, which can sign with it.
func CheckAuthorityKey(ca *x509.Certificate, key crypto.Signer) error {
	if !SameKey(ca.PublicKey, key.Public()) {
		return errors.New("x509: provided PrivateKey doesn't match parent's PublicKey")
	}
	return CheckAuthority(ca)
}

// nameOf is the subject of a certificate, for people.
func nameOf(c *x509.Certificate) string { return Printable(c.Subject.String()) }
