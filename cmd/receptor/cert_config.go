package main

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/pki"
)

// configuration checks all files of certificates and keys that a configuration names.
func (c *checking) configuration(f *config.File) {
	named := c.authoritiesNamed(f)
	for _, s := range f.TLSServers {
		use := fmt.Sprintf("tls-server %s", s.Name)
		p := pki.Purpose{Server: true, DaysLeft: c.o.days}
		if !s.SkipReceptorNamesCheck {
			p.Node = f.Node.ID
		}
		c.pair(use, s.Cert, s.Key, p, named)
		c.authorityFile(use+", clientcas", s.ClientCAs)
	}
	for _, s := range f.TLSClients {
		use := fmt.Sprintf("tls-client %s", s.Name)
		p := pki.Purpose{Client: true, DaysLeft: c.o.days}
		if !s.SkipReceptorNamesCheck {
			p.Node = f.Node.ID
		}
		c.pair(use, s.Cert, s.Key, p, named)
		c.authorityFile(use+", rootcas", s.RootCAs)
	}
	if s := f.WorkSigning; s != nil && s.PrivateKey != "" {
		c.key("work-signing, privatekey", s.PrivateKey)
	}
	if s := f.WorkVerification; s != nil && s.PublicKey != "" {
		c.publicKey("work-verification, publickey", s.PublicKey)
	}
}

// authoritiesNamed are the certificates in all files that a configuration names as authorities.
func (c *checking) authoritiesNamed(f *config.File) []*x509.Certificate {
	var all []*x509.Certificate
	add := func(file string) {
		if file == "" {
			return
		}
		if cs, err := pki.ReadCertificates(file); err == nil { // authorityFile says what is wrong
			all = append(all, cs...)
		}
	}
	for _, s := range f.TLSServers {
		add(s.ClientCAs)
	}
	for _, s := range f.TLSClients {
		add(s.RootCAs)
	}
	return all
}

// pair checks the certificate and key of a section; both may be empty.
func (c *checking) pair(use, certFile, keyFile string, p pki.Purpose, named []*x509.Certificate) {
	if certFile == "" {
		return
	}
	if key := c.key(use+", key", keyFile); key != nil {
		p.Key = key.Public()
	}
	cs, err := pki.ReadCertificates(certFile)
	if err != nil {
		c.unreadable(certFile, use+", cert", err)
		return
	}
	for i, cert := range cs {
		d := c.add(describe(certFile, pki.Item{Certificate: cert}))
		d.Use = use + ", cert"
		if i > 0 { // leads to the authority
			d.found(pki.Check(cert, pki.Purpose{DaysLeft: c.o.days}, now()))
			continue
		}
		p.Intermediates = cs[1:]
		p.Authorities = c.roots
		d.found(pki.Check(cert, p, now()))
		if c.roots == nil && len(named) > 0 {
			q := pki.Purpose{Authorities: named, Intermediates: cs[1:]}
			for _, f := range pki.Check(cert, q, now()) {
				if !contains(d.Problems, f.Text) && !contains(d.Warnings, f.Text) {
					d.warn("%s (the authorities that this configuration names; other nodes may know another one)", f.Text)
				}
			}
		}
	}
}

func contains(texts []string, text string) bool { return slices.Contains(texts, text) }

// authorityFile checks a file of authorities, which may be empty.
func (c *checking) authorityFile(use, file string) {
	if file == "" {
		return
	}
	cs, err := pki.ReadCertificates(file)
	if err != nil {
		c.unreadable(file, use, err)
		return
	}
	for _, cert := range cs {
		d := c.add(describe(file, pki.Item{Certificate: cert}))
		d.Use = use
		found := pki.Check(cert, pki.Purpose{DaysLeft: c.o.days}, now())
		if len(cs) > 1 { // while one authority takes the place of another, both are there
			for i := range found {
				found[i].Problem = false
			}
		}
		d.found(found)
		if err := pki.CheckAuthority(cert); err != nil && !cert.IsCA {
			d.problem("%v", err)
		}
	}
}

// key checks a file with a private key, and returns it if it can be read.
func (c *checking) key(use, file string) crypto.Signer {
	key, err := pki.ReadKey(file)
	if err != nil {
		c.unreadable(file, use, err)
		return nil
	}
	d := c.add(describe(file, pki.Item{PrivateKey: key}))
	d.Use = use
	checkKeyFile(d)
	if weak := pki.WeakKey(key.Public()); weak != "" {
		d.problem("%s", weak)
	}
	return key
}

// publicKey checks a file with a public key.
func (c *checking) publicKey(use, file string) {
	items, err := pki.ReadItems(file)
	if err != nil {
		c.unreadable(file, use, err)
		return
	}
	for _, i := range items {
		if i.PublicKey != nil {
			d := c.add(describe(file, i))
			d.Use = use
			if weak := pki.WeakKey(i.PublicKey); weak != "" {
				d.problem("%s", weak)
			}
			return
		}
	}
	c.unreadable(file, use, errors.New("no public key in it"))
}

// checkKeyFile warns about a key that others than its owner and group may read.
func checkKeyFile(d *itemJSON) {
	if info, err := os.Stat(d.File); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 && info.Mode()&fs.ModeType == 0 {
		d.problem("everybody on this machine may read or change the key: chmod o= %s", d.File)
	}
}
