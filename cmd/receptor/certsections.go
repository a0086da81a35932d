package main

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/pki"
)

// How long certificates are good if nobody says otherwise, in years.
const (
	authorityYears = 10
	signedYears    = 1
)

func now() time.Time { return time.Now() }

func saysYes(answer string) bool {
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// makeCertificates does what a configuration asks for besides running a node, before the node starts; done tells that
// no node is to run. Warnings go to stderr then, since who runs a tool reads no log.
func makeCertificates(ctx context.Context, f *config.File, stdin io.Reader, stdout, stderr io.Writer) (done bool, err error) {
	t := certTools{stdin: stdin, stdout: stdout, stderr: stderr, force: true, public: 0o600}
	if f.ToolsOnly {
		for _, w := range f.Warnings {
			t.warn("%s", w)
		}
	}
	return f.ToolsOnly, t.carryOut(ctx, f)
}

// carryOut does what the sections cert-init, cert-makereq and cert-signreq ask for, in this order. Texts, modes and what
// is refused are those of ansible/receptor (spec certificates 1).
func (t certTools) carryOut(ctx context.Context, f *config.File) error {
	alone := f.ToolsOnly && len(f.CertInits)+len(f.CertRequests)+len(f.CertSignings) == 1
	where := func(o config.Origin, err error) error {
		if err == nil || alone {
			return err
		}
		return at(o, err) // which of them?
	}
	for _, s := range f.CertInits {
		key := func() (crypto.Signer, error) { return pki.NewRSAKey(s.Bits) }
		if err := t.authority(ctx, s.CommonName, key, validity(s.NotBefore, s.NotAfter, authorityYears), s.OutCert, s.OutKey); err != nil {
			return where(s.Origin, err)
		}
	}
	for _, s := range f.CertRequests {
		if err := t.requestSection(ctx, s); err != nil {
			return where(s.Origin, err)
		}
	}
	for _, s := range f.CertSignings {
		if err := t.signSection(ctx, s); err != nil {
			return where(s.Origin, err)
		}
	}
	return nil
}

// validity fills in what is not said.
func validity(from, until time.Time, years int) pki.Validity {
	if from.IsZero() {
		from = now()
	}
	if until.IsZero() {
		until = now().AddDate(years, 0, 0)
	}
	return pki.Validity{NotBefore: from, NotAfter: until}
}

func (t certTools) requestSection(ctx context.Context, s config.CertRequest) error {
	names := pki.Names{DNS: s.DNSNames, NodeIDs: s.NodeIDs}
	for _, a := range s.IPAddresses {
		names.IPs = append(names.IPs, net.ParseIP(a))
	}
	key := func() (crypto.Signer, error) { return pki.NewRSAKey(s.Bits) }
	if s.InKey != "" {
		key = func() (crypto.Signer, error) { return existingKey(s.InKey) }
	}
	return t.request(ctx, s.CommonName, names, key, s.OutReq, s.OutKey)
}

func (t certTools) signSection(ctx context.Context, s config.CertSigning) error {
	const request, certificate, privateKey = "certificate request", "certificate", "private key"
	r, err := onlyItem(s.Req, request, func(i pki.Item) (*x509.CertificateRequest, bool) { return i.Request, i.Request != nil })
	if err != nil {
		return err
	}
	ca, err := onlyItem(s.CACert, certificate, func(i pki.Item) (*x509.Certificate, bool) { return i.Certificate, i.Certificate != nil })
	if err != nil {
		return err
	}
	caKey, err := onlyItem(s.CAKey, privateKey, func(i pki.Item) (crypto.Signer, bool) { return i.PrivateKey, isRSAKey(i) })
	if err != nil {
		return err
	}
	if _, ok := r.PublicKey.(*rsa.PublicKey); !ok {
		return errors.New("x509: requested SignatureAlgorithm does not match private key type: only requests with RSA keys are signed here; receptor cert sign signs others")
	}
	return t.sign(ctx, r, ca, caKey, validity(s.NotBefore, s.NotAfter, signedYears), s.Verify, s.OutCert)
}

func isRSAKey(i pki.Item) bool {
	_, ok := i.PrivateKey.(*rsa.PrivateKey)
	return ok
}

// knownItems reads a PEM file that has only blocks of the kinds that ansible/receptor's tools know (spec certificates
// 1.5).
func knownItems(file string) ([]pki.Item, error) {
	items, err := pki.ReadItems(file)
	if err != nil {
		return nil, err
	}
	known := []string{"CERTIFICATE", "CERTIFICATE REQUEST", "RSA PRIVATE KEY", "PRIVATE KEY", "PUBLIC KEY"}
	for _, i := range items {
		if !slices.Contains(known, i.Block) {
			return nil, fmt.Errorf("unknown block type %s (in %s); keys must be of RSA here, and not encrypted; receptor cert knows other kinds", i.Block, file)
		}
	}
	return items, nil
}

// onlyItem reads a file that must hold one item, of the kind said.
func onlyItem[T any](file, what string, pick func(pki.Item) (T, bool)) (T, error) {
	var none T
	items, err := knownItems(file)
	if err != nil {
		return none, err
	}
	if len(items) != 1 {
		return none, fmt.Errorf("%s file should contain exactly one item (%s has %d)", what, file, len(items))
	}
	v, ok := pick(items[0])
	if !ok {
		return none, fmt.Errorf("%s file does not contain %s data (%s has a %s)", what, what, file, items[0].Block)
	}
	return v, nil
}

// existingKey reads the only RSA key of a file.
func existingKey(file string) (crypto.Signer, error) {
	items, err := knownItems(file)
	if err != nil {
		return nil, err
	}
	var key crypto.Signer
	for _, i := range items {
		switch {
		case isRSAKey(i) && key != nil:
			return nil, fmt.Errorf("multiple private keys in file %s", file)
		case isRSAKey(i):
			key = i.PrivateKey
		}
	}
	if key == nil {
		return nil, fmt.Errorf("no private keys in file %s", file)
	}
	return key, nil
}
