package pki

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Certificate is one whose end matters: of a file with our certificate the one that ends first, of a file of
// authorities the one that ends last.
type Certificate struct {
	Section string // tls-server or tls-client
	Entry   string // name of the section
	Use     string // certificate, or authorities
	File    string
	Subject string
	Until   time.Time
	Problem string // why what the file holds now is not used; empty if it is
}

const (
	day1  = 24 * time.Hour
	day7  = 7 * day1
	day30 = 30 * day1
)

// Uses of a Certificate.
const (
	useCertificate = "certificate"
	useAuthorities = "authorities"
)

// warning is what was last said about a certificate: the more, the sooner it ends.
type warning struct {
	until time.Time
	level int
}

// levelAt is 0 for a certificate that is good for long.
func levelAt(left time.Duration) int {
	switch {
	case left <= 0:
		return 4
	case left <= day1:
		return 3
	case left <= day7:
		return 2
	case left <= day30:
		return 1
	}
	return 0
}

// certificates are those of the entry that end.
func (e *entry) certificates() []Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.certificatesLocked()
}

func (e *entry) certificatesLocked() []Certificate {
	var out []Certificate
	add := func(use, file string, c *x509.Certificate) {
		out = append(out, Certificate{e.kind, e.name, use, file, short(c.Subject.String()), c.NotAfter, e.refused[use]})
	}
	if p := e.pair.Load(); p != nil {
		first := p.chain[0]
		for _, c := range p.chain {
			if c.NotAfter.Before(first.NotAfter) {
				first = c
			}
		}
		add(useCertificate, p.file, first)
	}
	if a := e.cas.Load(); len(a.all) > 0 {
		last := a.all[0]
		for _, c := range a.all {
			if c.NotAfter.After(last.NotAfter) {
				last = c
			}
		}
		add(useAuthorities, a.file, last)
	}
	return out
}

// warn says what ends soon: once within 30, 7 and 1 days, and when it has ended.
func (e *entry) warn(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.certificatesLocked() {
		w := warning{c.Until, levelAt(c.Until.Sub(now))}
		if was := e.warned[c.Use]; was.until.Equal(c.Until) && was.level >= w.level {
			continue
		}
		e.warned[c.Use] = w
		attrs := []any{"section", e.String(), "file", c.File, "subject", c.Subject, "until", c.Until}
		switch {
		case w.level == 4:
			e.log.Error("certificate has ended: connections are refused until it is renewed", attrs...)
		case w.level > 0:
			e.log.Warn("certificate ends soon: renew it", append(attrs, "left", left(c.Until.Sub(now)))...)
		}
	}
}

// left is a time to go for people.
func left(d time.Duration) string {
	if d >= 2*day1 {
		return fmt.Sprintf("%d days", d/day1)
	}
	return d.Round(time.Minute).String()
}
