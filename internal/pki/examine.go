package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Purpose is what a certificate is to be good for. The zero value looks at the certificate alone.
type Purpose struct {
	Node           string              // node that it must name; empty does not look
	Server, Client bool                // it is shown by servers, by clients of TLS
	Host           string              // host name or address that it must be good for; empty does not look
	Key            crypto.PublicKey    // that it must be for; nil does not look
	Authorities    []*x509.Certificate // that it must come from; nil does not look
	Intermediates  []*x509.Certificate // that may stand between
	DaysLeft       int                 // less is a problem
}

// WarnDays is how many days before its end a certificate is warned about.
const WarnDays = 30

// Finding is something that is wrong with a certificate, or odd.
type Finding struct {
	Problem bool // it does not serve its purpose; else it is a warning
	Text    string
}

// Check looks for all that is wrong with a certificate at a time.
func Check(c *x509.Certificate, p Purpose, now time.Time) []Finding {
	ch := examination{c: c, p: p, now: now}
	ch.dates()
	ch.strength()
	ch.names()
	ch.usages()
	if p.Key != nil && !SameKey(c.PublicKey, p.Key) {
		ch.problem("the key does not belong to it")
	}
	ch.chain()
	return ch.found
}

type examination struct {
	c     *x509.Certificate
	p     Purpose
	now   time.Time
	found []Finding
}

func (ch *examination) problem(format string, args ...any) {
	ch.found = append(ch.found, Finding{Problem: true, Text: fmt.Sprintf(format, args...)})
}

func (ch *examination) warn(format string, args ...any) {
	ch.found = append(ch.found, Finding{Text: fmt.Sprintf(format, args...)})
}

// DaysLeft are the whole days until a certificate ends; negative if it has ended.
func DaysLeft(c *x509.Certificate, now time.Time) int {
	left := c.NotAfter.Sub(now)
	if left < 0 {
		return -1 - int(-left/(24*time.Hour))
	}
	return int(left / (24 * time.Hour))
}

func (ch *examination) dates() {
	left := DaysLeft(ch.c, ch.now)
	switch {
	case !ch.c.NotBefore.Before(ch.c.NotAfter):
		ch.problem("it is never good: it ends on %s, before it begins", dateText(ch.c.NotAfter))
	case left < 0:
		ch.problem("it has ended on %s", dateText(ch.c.NotAfter))
	case ch.now.Before(ch.c.NotBefore):
		ch.problem("it is not good before %s", dateText(ch.c.NotBefore))
	case left < ch.p.DaysLeft:
		ch.problem("it ends in %d days, on %s", left, dateText(ch.c.NotAfter))
	case left < WarnDays:
		ch.warn("it ends in %d days, on %s", left, dateText(ch.c.NotAfter))
	}
}

func (ch *examination) strength() {
	if weak := WeakKey(ch.c.PublicKey); weak != "" {
		ch.problem("%s", weak)
	}
	if weak := weakSignature(ch.c.SignatureAlgorithm); weak != "" && !selfSigned(ch.c) {
		ch.problem("%s", weak)
	}
}

func (ch *examination) names() {
	names, _, err := NamesOf(ch.c)
	if err != nil {
		ch.problem("%v", err)
		return
	}
	if node := ch.p.Node; node != "" && !slices.Contains(names.NodeIDs, node) {
		ch.problem("it does not name the node %s, but %s", Printable(node), nodesText(names.NodeIDs))
	}
	if ch.p.Host != "" {
		if err := ch.c.VerifyHostname(ch.p.Host); err != nil {
			ch.problem("%s", strings.TrimPrefix(err.Error(), "x509: "))
		}
	} else if ch.p.Server && len(names.DNS)+len(names.IPs) == 0 {
		ch.warn("it names no host: those who dial the node by host name or address cannot verify it; over the mesh it is good")
	}
}

func nodesText(ids []string) string {
	if len(ids) == 0 {
		return "no node"
	}
	quoted := make([]string, len(ids))
	for i, id := range ids {
		quoted[i] = Printable(id)
	}
	return strings.Join(quoted, ", ")
}

func (ch *examination) usages() {
	if ch.c.IsCA {
		if err := CheckAuthority(ch.c); err != nil {
			ch.problem("%v", err)
		}
	}
	if ch.c.KeyUsage != 0 && ch.c.KeyUsage&x509.KeyUsageDigitalSignature == 0 && (ch.p.Server || ch.p.Client) {
		ch.problem("its key usage does not allow signatures, which TLS needs")
	}
	lacks := func(u x509.ExtKeyUsage) bool {
		all := ch.c.ExtKeyUsage
		return len(all)+len(ch.c.UnknownExtKeyUsage) > 0 && !slices.Contains(all, u) && !slices.Contains(all, x509.ExtKeyUsageAny)
	}
	server, client := lacks(x509.ExtKeyUsageServerAuth), lacks(x509.ExtKeyUsageClientAuth)
	switch {
	case ch.p.Server && server:
		ch.problem("its extended key usage does not allow TLS servers")
	case ch.p.Client && client:
		ch.problem("its extended key usage does not allow TLS clients")
	case ch.p.Server || ch.p.Client || ch.c.IsCA:
	case server && client:
		ch.problem("its extended key usage allows neither TLS servers nor clients")
	case server:
		ch.warn("its extended key usage does not allow TLS servers")
	case client:
		ch.warn("its extended key usage does not allow TLS clients")
	}
}

// chain verifies that the certificate comes from one of the authorities. Dates of its own are looked at elsewhere.
func (ch *examination) chain() {
	if ch.p.Authorities == nil {
		return
	}
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: ch.now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, a := range ch.p.Authorities {
		o.Roots.AddCert(a)
	}
	for _, i := range ch.p.Intermediates {
		o.Intermediates.AddCert(i)
	}
	if ch.now.After(ch.c.NotAfter) {
		o.CurrentTime = ch.c.NotAfter
	} else if ch.now.Before(ch.c.NotBefore) {
		o.CurrentTime = ch.c.NotBefore
	}
	chains, err := ch.c.Verify(o)
	if err == nil {
		ch.links(chains)
		return
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		ch.problem("it cannot be verified: %s", strings.TrimPrefix(err.Error(), "x509: "))
		return
	}
	for _, a := range ch.p.Authorities {
		if a.Subject.String() == ch.c.Issuer.String() && !slices.Equal(a.SubjectKeyId, ch.c.AuthorityKeyId) {
			ch.problem("it does not come from the given authority, but from another one of the same name, %s: was the authority made anew?", Printable(a.Subject.String()))
			return
		}
	}
	ch.problem("it does not come from the given authorities: it was signed by %s", Printable(ch.c.Issuer.String()))
}

// links warns if all ways to an authority end before the certificate does.
func (ch *examination) links(chains [][]*x509.Certificate) {
	var latest time.Time
	for _, chain := range chains {
		ends := ch.c.NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(ends) {
				ends = c.NotAfter
			}
		}
		if ends.After(latest) {
			latest = ends
		}
	}
	if latest.Before(ch.c.NotAfter) {
		ch.warn("its authority ends before it does, on %s: nobody will trust it from then on", dateText(latest))
	}
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawSubject) == string(c.RawIssuer)
}

// HostsText are the DNS names and addresses among names, for people.
func (n Names) HostsText() string {
	all := slices.Clone(n.DNS)
	for _, ip := range n.IPs {
		all = append(all, net.IP(ip).String())
	}
	return strings.Join(all, ", ")
}
