package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

const (
	usageClient = x509.ExtKeyUsageClientAuth
	usageServer = x509.ExtKeyUsageServerAuth
)

// refusal is a certificate that was not accepted. Its text begins with that of ansible/receptor; behind it stands which
// certificate that was and what helps.
type refusal struct {
	rvf    bool   // the original logs it itself, as RVF
	line   string // of that log, if it is not text
	text   string
	advice string
	cause  error // may be nil
}

func (r *refusal) Error() string { return r.text + " (" + r.advice + ")" }

// Unwrap returns what the library found wrong.
func (r *refusal) Unwrap() error { return r.cause }

func logRefusal(log *slog.Logger, r *refusal) {
	line := r.line
	if line == "" {
		line = r.text
	}
	if !r.rvf {
		line = "RVF failed verify: " + line
	}
	log.Error("certificate refused", "err", line+" ("+r.advice+")")
}

// check is one certificate to be judged, with its chain.
type check struct {
	entry *entry
	cas   *authorities
	pins  [][]byte
	certs []*x509.Certificate // of the other end, its own first
	mesh  bool                // a stream on the mesh
}

// chain verifies that the certificate leads to a trusted authority, is valid now and is for this usage.
func (c *check) chain(usage x509.ExtKeyUsage) *refusal {
	o := x509.VerifyOptions{
		Roots: c.cas.pool, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: time.Now(),
	}
	leaf := *c.certs[0] // the library shares certificates between connections
	if ids, err := NodeIDs(&leaf); err == nil && len(ids) > 0 {
		// To the library a name of a node alone is one that it does not know, which matters if it is marked as critical.
		leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions),
			func(id asn1.ObjectIdentifier) bool { return id.Equal(subjectAltName) })
	}
	for _, i := range c.certs[1:] {
		o.Intermediates.AddCert(i)
	}
	_, err := leaf.Verify(o)
	return c.refuse(err, "")
}

// host verifies that the certificate is good for a name or an address.
func (c *check) host(name string) *refusal {
	return c.refuse(c.certs[0].VerifyHostname(name), name)
}

// refuse is the refusal for an error of the library, nil for none.
func (c *check) refuse(err error, host string) *refusal {
	if err == nil {
		return nil
	}
	r := &refusal{text: err.Error(), advice: which(c.certs[0]) + "; " + c.help(err, host), cause: err}
	if !c.mesh {
		r.text = (&tls.CertificateVerificationError{Err: err}).Error()
	}
	return r
}

// help says what can be done about a chain that is not accepted.
func (c *check) help(err error, host string) string {
	trusted := c.entry.String() + " trusts the authorities of " + c.cas.String()
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch e.Reason {
		case x509.Expired:
			return fmt.Sprintf("it, or one that it builds on, is valid from %s to %s: renew it, or set the clocks right", day(e.Cert.NotBefore), day(e.Cert.NotAfter))
		case x509.IncompatibleUsage:
			return "it is not made for this use: it needs the extended key usages of clients and servers"
		}
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "use an address that it names, or a certificate with the name " + short(host)
	}
	return trusted + ": add the one that signed it, or use a certificate of one of these"
}

// pinned verifies that the certificate is one of those that are pinned, if there are any.
func (c *check) pinned() *refusal {
	if len(c.pins) == 0 {
		return nil
	}
	raw := c.certs[0].Raw
	s256, s512 := sha256.Sum256(raw), sha512.Sum512(raw)
	for _, p := range c.pins {
		if bytes.Equal(p, s256[:]) || bytes.Equal(p, s512[:]) {
			return nil
		}
	}
	return &refusal{
		rvf: true, text: "RVF failed: presented certificate does not match any pinned fingerprint",
		advice: fmt.Sprintf("%s; its SHA-256 is %x; %s pins %d others", which(c.certs[0]), s256, c.entry, len(c.pins)),
	}
}

// node verifies that the certificate names a node.
func (c *check) node(id string) *refusal {
	ids, err := NodeIDs(c.certs[0])
	if slices.Contains(ids, id) {
		return nil
	}
	r := &refusal{rvf: true, advice: which(c.certs[0]) + "; node " + short(id) + " needs a certificate that names it"}
	if len(ids) == 0 {
		r.text = "x509: certificate is not valid for any Receptor node IDs, but wanted to match " + id
		r.line = "RVF ReceptorNameError: expected " + id + " but found none"
	} else {
		r.text = "x509: certificate is valid for Receptor node ID " + list(ids) + ", not " + id
		r.line = "RVF ReceptorNameError: expected " + id + " but found " + list(ids)
	}
	if err != nil {
		r.advice += "; its " + err.Error()
	}
	return r
}

// which says which certificate it is about.
func which(c *x509.Certificate) string {
	return "certificate " + quoted(c.Subject) + " of " + quoted(c.Issuer)
}

// neighbour judges the node ID of a neighbour by its certificate.
func (e *entry) neighbour(cs tls.ConnectionState, node string) error {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	c := cs.PeerCertificates[0]
	ids, err := NodeIDs(c)
	switch {
	case err != nil:
		return fmt.Errorf("%s cannot be read: %w", which(c), err)
	case len(ids) == 0, slices.Contains(ids, node):
		return nil
	}
	return fmt.Errorf("%s is that of node %s, and its holder says that it is node %s: node %s needs a certificate that names it, or who checks it (%s) needs skipreceptornamescheck",
		which(c), list(ids), short(node), short(node), e)
}

// Texts of certificates are cut: whoever made them may have written anything.
const (
	maxText  = 200 // bytes
	maxNames = 5
)

func short(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}

func list(ids []string) string {
	more := ""
	if len(ids) > maxNames {
		more = fmt.Sprintf(" and %d more", len(ids)-maxNames)
		ids = ids[:maxNames]
	}
	return short(strings.Join(ids, ", ")) + more
}

func quoted(n pkix.Name) string { return fmt.Sprintf("%q", short(n.String())) }

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// issuers names authorities by their DER subjects.
func issuers(raw [][]byte) string {
	var all []string
	for _, der := range raw {
		var seq pkix.RDNSequence
		if _, err := asn1.Unmarshal(der, &seq); err != nil {
			continue
		}
		var n pkix.Name
		n.FillFromRDNSequence(&seq)
		all = append(all, n.String())
	}
	return list(all)
}
