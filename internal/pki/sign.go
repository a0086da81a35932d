package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// ErrNoNames tells that a request asks for no name that receptor uses.
var ErrNoNames = errors.New("cannot sign: no names found in certificate")

// CheckRequest tells why a request cannot be signed, if so: it has no names, damaged ones, or was not made by who has
// the key.
func CheckRequest(r *x509.CertificateRequest) error {
	if err := r.CheckSignature(); err != nil {
		return fmt.Errorf("cannot sign: the request is damaged, or whoever made it does not have its key: %w", err)
	}
	names, _, err := RequestedNames(r)
	if err != nil {
		return fmt.Errorf("cannot sign: %w", err)
	}
	if names.Empty() {
		return ErrNoNames
	}
	return nil
}

// Sign makes the certificate that a request asks for. Subject and names are taken from the request as they are; all
// else that it asks for is not. Extensions and their order are those of ansible/receptor (spec certificates 1.3); the
// serial number is random.
func Sign(r *x509.CertificateRequest, ca *x509.Certificate, caKey crypto.Signer, v Validity) (*x509.Certificate, error) {
	return sign(r, ca, caKey, v, nil)
}

// sign takes the serial number, nil for a random one.
func sign(r *x509.CertificateRequest, ca *x509.Certificate, caKey crypto.Signer, v Validity, serial *big.Int) (*x509.Certificate, error) {
	if err := CheckRequest(r); err != nil {
		return nil, err
	}
	if err := CheckAuthorityKey(ca, caKey); err != nil {
		return nil, err
	}
	san, err := alternativeName(r.Extensions)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber:       serial,
		RawSubject:         r.RawSubject,
		NotBefore:          v.NotBefore,
		NotAfter:           v.NotAfter,
		KeyUsage:           x509.KeyUsageDigitalSignature,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		SignatureAlgorithm: signatureAlgorithm(r.SignatureAlgorithm, caKey),
		// Never critical: whoever verifies a certificate refuses critical names of a kind that he does not know, and node
		// IDs are that to most.
		ExtraExtensions: []pkix.Extension{{Id: subjectAltName, Value: san.Value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, r.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return made, made.CheckSignatureFrom(ca)
}

// signatureAlgorithm is that of the request, as with ansible/receptor, if the key of the authority can be used with it
// and it is not weak; else the usual one of the key, which 0 stands for.
func signatureAlgorithm(requested x509.SignatureAlgorithm, key crypto.Signer) x509.SignatureAlgorithm {
	strong := []x509.SignatureAlgorithm{
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
	}
	if _, ok := key.Public().(*rsa.PublicKey); ok && slices.Contains(strong, requested) {
		return requested
	}
	return 0
}

// Doubts are reasons to think twice before a request is signed so, which do not forbid it.
func Doubts(r *x509.CertificateRequest, ca *x509.Certificate, v Validity, now time.Time) []string {
	var doubts []string
	doubt := func(format string, args ...any) { doubts = append(doubts, fmt.Sprintf(format, args...)) }
	if now.After(ca.NotAfter) {
		doubt("the authority's own certificate has ended on %s: nobody will trust what it signs", dateText(ca.NotAfter))
	} else if v.NotAfter.After(ca.NotAfter) {
		doubt("the certificate is to be good until %s, but that of the authority ends on %s, and nobody will trust it from then on", dateText(v.NotAfter), dateText(ca.NotAfter))
	}
	if v.NotBefore.Before(ca.NotBefore.Truncate(time.Second)) {
		doubt("the certificate is to be good from %s, but that of the authority begins on %s", dateText(v.NotBefore), dateText(ca.NotBefore))
	}
	if v.Empty() {
		doubt("the certificate ends before it begins: it will never be good")
	} else if now.After(v.NotAfter) {
		doubt("the certificate will have ended already, on %s", dateText(v.NotAfter))
	}
	if weak := WeakKey(r.PublicKey); weak != "" {
		doubt("the request is weak: %s", weak)
	}
	if weak := WeakKey(ca.PublicKey); weak != "" {
		doubt("the authority is weak: %s", weak)
	}
	return doubts
}

// dateText is a time for people.
func dateText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
