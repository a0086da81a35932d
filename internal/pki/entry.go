package pki

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
)

// entry is what sections of both kinds have: their files, and what these held when they were last good.
type entry struct {
	kind, name string // tls-server or tls-client, and the name of the section
	node       string // that the certificate has to name; empty: any
	log        *slog.Logger

	cert, key, ca string
	pair          atomic.Pointer[keyPair]     // nil: the section has none
	cas           atomic.Pointer[authorities] // never nil

	mu      sync.Mutex         // guards the rest, and changes of pair and cas
	refused map[string]string  // by use: why the file is not used as it is
	suspect map[string]string  // by use: why the file could not be used at the last look; nothing is said yet
	warned  map[string]warning // by use
}

func newEntry(kind, name, node string, skipNames bool, log *slog.Logger) *entry {
	if skipNames {
		node = ""
	}
	return &entry{kind: kind, name: name, node: node, log: log, suspect: make(map[string]string), refused: make(map[string]string), warned: make(map[string]warning)}
}

// String is as in "tls-client cli".
func (e *entry) String() string { return e.kind + " " + e.name }

// load reads the files for the first time. What of the authorities is no certificate is warned of: then the original
// starts, too.
func (e *entry) load(cert, key, ca, caProblem string) error {
	e.cert, e.key, e.ca = cert, key, ca
	if cert != "" || e.kind == "tls-server" {
		p, err := e.readPair()
		if err != nil {
			return err
		}
		e.pair.Store(p)
	}
	e.cas.Store(&authorities{})
	if ca == "" {
		return nil
	}
	b, err := readFile(ca)
	if err != nil {
		return fmt.Errorf("%s: %w", caProblem, err)
	}
	a, err := parseAuthorities(b, ca)
	if err != nil {
		e.log.Warn("not all authorities of a file can be used", "section", e.String(), "file", ca, "err", err)
	}
	e.cas.Store(a)
	return nil
}

func (e *entry) readPair() (*keyPair, error) {
	cert, err := readFile(e.cert)
	if err != nil {
		return nil, err
	}
	key, err := readFile(e.key)
	if err != nil {
		return nil, err
	}
	if p := e.pair.Load(); p != nil && p.digest == digestOf(cert, key) {
		return p, nil
	}
	p, err := parsePair(cert, key, e.cert, e.node, e.name)
	if err == nil && torn(cert) {
		return nil, fmt.Errorf("%s: %w", e.cert, errTorn)
	}
	return p, err
}

func (e *entry) readAuthorities() (*authorities, error) {
	b, err := readFile(e.ca)
	if err != nil {
		return nil, err
	}
	if a := e.cas.Load(); a.digest == digestOf(b) {
		return a, nil
	}
	a, err := parseAuthorities(b, e.ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.ca, err)
	}
	return a, nil
}

// refresh reads the files again. What is new is used by the next handshake; what is broken is said, and the old stays.
// What is broken for the first time may just be being written: again tells that it is to be looked at soon.
func (e *entry) refresh() (again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() { again = len(e.suspect) > 0 }()
	if e.cert != "" {
		p, err := e.readPair()
		if e.usable(useCertificate, e.cert, err) && p != e.pair.Load() {
			e.pair.Store(p)
			e.log.Info("certificate renewed", "section", e.String(), "file", e.cert, "subject", short(p.chain[0].Subject.String()),
				"issuer", short(p.chain[0].Issuer.String()), "until", p.chain[0].NotAfter)
		}
	}
	if e.ca != "" {
		a, err := e.readAuthorities()
		if e.usable(useAuthorities, e.ca, err) && a != e.cas.Load() {
			e.cas.Store(a)
			e.log.Info("authorities renewed", "section", e.String(), "file", e.ca, "subjects", subjects(a.all))
		}
	}
	return
}

// usable notes the outcome of reading a file, and tells whether it was good. A failure is logged when it is met twice in
// a row, once.
func (e *entry) usable(use, file string, err error) bool {
	suspected := e.suspect[use]
	delete(e.suspect, use)
	if err == nil {
		if e.refused[use] != "" {
			delete(e.refused, use)
			e.log.Info("certificate file is good again", "section", e.String(), "file", file)
		}
		return true
	}
	text := err.Error()
	switch {
	case e.refused[use] == text:
	case suspected != text:
		e.suspect[use] = text
	default:
		e.refused[use] = text
		e.log.Error("certificate not renewed: the one that was read before stays in use", "section", e.String(), "file", file, "err", err)
	}
	return false
}

func subjects(certs []*x509.Certificate) string {
	var all []string
	for _, c := range certs {
		all = append(all, c.Subject.String())
	}
	return list(all)
}
