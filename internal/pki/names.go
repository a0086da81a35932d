package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// NodeIDType is the type of otherName that names a node.
var NodeIDType = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 2312, 19, 1}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Tags of names in a subject alternative name (RFC 5280, section 4.2.1.6).
var (
	tagOtherName = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagDNSName   = cbasn1.Tag(2).ContextSpecific()
	tagIPAddress = cbasn1.Tag(7).ContextSpecific()
	tagValue     = cbasn1.Tag(0).ContextSpecific().Constructed()
)

// Names are those that a certificate is good for.
type Names struct {
	DNS     []string
	IPs     []net.IP
	NodeIDs []string
}

// Empty tells whether there is no name at all.
func (n Names) Empty() bool { return len(n.DNS)+len(n.IPs)+len(n.NodeIDs) == 0 }

// NodeIDs returns the nodes that a certificate names, in its order; none is no error.
func NodeIDs(c *x509.Certificate) ([]string, error) {
	for _, e := range c.Extensions {
		if e.Id.Equal(subjectAltName) {
			return parseNodeIDs(e.Value)
		}
	}
	return nil, nil
}

// parseNodeIDs reads the value of a subject alternative name. Names of other types are not looked at.
func parseNodeIDs(der []byte) ([]string, error) {
	bad := func() ([]string, error) {
		return nil, errors.New("subject alternative name of the certificate is damaged")
	}
	in := cryptobyte.String(der)
	var list cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() {
		return bad()
	}
	var ids []string
	for !list.Empty() {
		var name cryptobyte.String
		var tag cbasn1.Tag
		if !list.ReadAnyASN1(&name, &tag) {
			return bad()
		}
		if tag != tagOtherName {
			continue
		}
		var oid asn1.ObjectIdentifier
		if !name.ReadASN1ObjectIdentifier(&oid) {
			return bad()
		}
		if !oid.Equal(NodeIDType) {
			continue
		}
		var value, id cryptobyte.String
		if !name.ReadASN1(&value, tagValue) || !name.Empty() || !value.ReadASN1(&id, cbasn1.UTF8String) || !value.Empty() || !utf8.Valid(id) {
			return bad()
		}
		ids = append(ids, string(id))
	}
	return ids, nil
}

// marshal encodes a subject alternative name: DNS names, addresses, nodes, in this order.
func (n Names) marshal() ([]byte, error) {
	for _, name := range n.DNS {
		if !ascii(name) {
			return nil, fmt.Errorf("DNS name %q has characters that are not ASCII: write it in its xn-- form", name)
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range n.DNS {
			b.AddASN1(tagDNSName, func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
		}
		for _, ip := range n.IPs {
			if v4 := ip.To4(); v4 != nil {
				ip = v4
			}
			b.AddASN1(tagIPAddress, func(b *cryptobyte.Builder) { b.AddBytes(ip) })
		}
		for _, id := range n.NodeIDs {
			b.AddASN1(tagOtherName, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(NodeIDType)
				b.AddASN1(tagValue, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(id)) })
				})
			})
		}
	})
	return b.Bytes()
}

func ascii(s string) bool {
	return !bytes.ContainsFunc([]byte(s), func(r rune) bool { return r >= utf8.RuneSelf })
}
