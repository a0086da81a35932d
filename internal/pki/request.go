package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxNodeID is the most bytes of a node ID.
const maxNodeID = 255

// NewRequest makes a request for a certificate with the given names, of which there may be none. Its form is that of
// ansible/receptor (spec certificates 1.2).
func NewRequest(commonName string, names Names, key crypto.Signer) (*x509.CertificateRequest, error) {
	if commonName == "" {
		return nil, errors.New("must provide CommonName")
	}
	if err := names.check(); err != nil {
		return nil, err
	}
	san, err := names.marshal()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: commonName},
		ExtraExtensions: []pkix.Extension{{Id: subjectAltName, Value: san}},
	}, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificateRequest(der)
}

// check tells what is no name of a node, host or address.
func (n Names) check() error {
	for _, name := range n.DNS {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return fmt.Errorf("%q is no DNS name", name)
		}
	}
	for _, ip := range n.IPs {
		if len(ip) != net.IPv4len && len(ip) != net.IPv6len {
			return fmt.Errorf("invalid IP address: %s", hex.EncodeToString(ip))
		}
	}
	for _, id := range n.NodeIDs {
		switch {
		case id == "" || len(id) > maxNodeID:
			return fmt.Errorf("node ID of %d bytes: there must be 1 to %d", len(id), maxNodeID)
		case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
			return fmt.Errorf("node ID %q has control characters or is not UTF-8", id)
		}
	}
	return nil
}

// RequestedNames are the names that a request asks for, and, as texts for people, those of kinds that receptor does
// not use: they would stand in the certificate as well.
func RequestedNames(r *x509.CertificateRequest) (Names, []string, error) {
	return namesIn(r.Extensions)
}

// NamesOf are the names in a certificate, and as texts those of other kinds.
func NamesOf(c *x509.Certificate) (Names, []string, error) { return namesIn(c.Extensions) }

func namesIn(extensions []pkix.Extension) (Names, []string, error) {
	e, err := alternativeName(extensions)
	if err != nil || e == nil {
		return Names{}, nil, err
	}
	return parseNames(e.Value)
}

// alternativeName finds the extension with the names; nil if there is none.
func alternativeName(extensions []pkix.Extension) (*pkix.Extension, error) {
	var found *pkix.Extension
	for i := range extensions {
		if !extensions[i].Id.Equal(subjectAltName) {
			continue
		}
		if found != nil {
			return nil, errors.New("more than one subject alternative name: it is not clear which one counts")
		}
		found = &extensions[i]
	}
	return found, nil
}

// parseNames reads all of a subject alternative name.
func parseNames(der []byte) (n Names, others []string, err error) {
	if n.NodeIDs, err = parseNodeIDs(der); err != nil {
		return Names{}, nil, err
	}
	in := cryptobyte.String(der)
	var list cryptobyte.String
	in.ReadASN1(&list, cbasn1.SEQUENCE) // parseNodeIDs has read all of it
	for !list.Empty() {
		var name cryptobyte.String
		var tag cbasn1.Tag
		list.ReadAnyASN1(&name, &tag)
		switch tag {
		case tagDNSName:
			n.DNS = append(n.DNS, string(name))
		case tagIPAddress:
			n.IPs = append(n.IPs, net.IP(name))
		case tagOtherName:
			if other := describeOtherName(name); other != "" {
				others = append(others, other)
			}
		default:
			others = append(others, describeName(tag, name))
		}
	}
	if err := n.check(); err != nil {
		return Names{}, nil, err
	}
	return n, others, nil
}

// describeOtherName says what an otherName is that names no node.
func describeOtherName(name cryptobyte.String) string {
	rest := name
	var oid = NodeIDType
	if rest.ReadASN1ObjectIdentifier(&oid); oid.Equal(NodeIDType) {
		return ""
	}
	return fmt.Sprintf("other name of type %v: %s", oid, hex.EncodeToString(rest))
}

func describeName(tag cbasn1.Tag, name cryptobyte.String) string {
	switch tag {
	case cbasn1.Tag(1).ContextSpecific():
		return "email " + Printable(string(name))
	case cbasn1.Tag(6).ContextSpecific():
		return "URI " + Printable(string(name))
	}
	return fmt.Sprintf("name of kind %#x: %s", uint8(tag), hex.EncodeToString(name))
}

// Printable is a text from outside, in quotes and with escapes if it has anything in it that a terminal would act upon.
func Printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
