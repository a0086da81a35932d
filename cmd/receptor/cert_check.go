package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/pki"
)

// checkFlags say what certificates are to be good for.
type checkFlags struct {
	authorities, nodes, hosts, configs []string
	server, client, v2, asJSON         bool
	days                               int
}

func newCertCheck(stdout io.Writer) *cobra.Command {
	var o checkFlags
	cmd := &cobra.Command{
		Use:   "check FILE... | --config FILE",
		Short: "Say everything that is wrong with certificates and keys",
		Long: `Looks at certificates, requests and keys in PEM files, and says what is wrong: dates,
weak keys, usages, names; with --ca whether they come from that authority. A key must
belong to one of the certificates that are given with it.

With --config it looks at all files that a configuration names, each for what it is
used for there: the node's own ID must be in its certificates, keys must belong to
them. Where the configuration names authorities, and --ca none, a certificate that
comes from none of these is warned about.

The exit code is 1 if there is a problem. Warnings, as of an end within 30 days, are
none; with --days N an end within N days is one.`,
		Example: `  receptor cert check n1.crt n1.key --ca ca.crt --node n1 --host n1.example.org
  receptor cert check --config /etc/receptor/receptor.conf --days 14`,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := newChecking(o)
			if err != nil {
				return err
			}
			if len(args)+len(o.configs) == 0 {
				return errors.New("name files to check, or a configuration by --config")
			}
			if len(args) > 0 {
				c.files(args)
			}
			if len(o.configs) > 0 {
				f, err := config.FromFiles(o.v2, o.configs...).Load(loadOptions())
				if err != nil {
					return err
				}
				c.configuration(f)
			}
			return c.result(stdout)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.authorities, "ca", nil, "`FILE` with authorities that the certificates must come from; may be repeated")
	f.StringArrayVar(&o.nodes, "node", nil, "`ID` of a node that each certificate must name; may be repeated")
	f.StringArrayVar(&o.hosts, "host", nil, "`NAME` or address of a host that each certificate must be good for; may be repeated")
	f.BoolVar(&o.server, "server", false, "the certificates are for TLS servers (tls-server)")
	f.BoolVar(&o.client, "client", false, "the certificates are for TLS clients (tls-client)")
	f.IntVar(&o.days, "days", 0, "an end in less than `N` days is a problem")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "configuration `FILE` of a node; may be repeated")
	f.BoolVar(&o.v2, "config-v2", false, "the configuration is of version 2, a map of sections")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	return cmd
}

// checking gathers what was found.
type checking struct {
	o     checkFlags
	roots []*x509.Certificate // nil: not looked at
	items []itemJSON
}

func newChecking(o checkFlags) (*checking, error) {
	c := &checking{o: o}
	for _, file := range o.authorities {
		cs, err := pki.ReadCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.roots = append(c.roots, cs...)
	}
	return c, nil
}

// add notes an item.
func (c *checking) add(d itemJSON) *itemJSON {
	c.items = append(c.items, d)
	return &c.items[len(c.items)-1]
}

// unreadable notes a file that cannot be read.
func (c *checking) unreadable(file, use string, err error) {
	d := c.add(describe(file, pki.Item{Block: "file"}))
	d.Use = use
	d.problem("%v", err)
}

func (d *itemJSON) problem(format string, args ...any) {
	d.Problems = append(d.Problems, fmt.Sprintf(format, args...))
}

func (d *itemJSON) warn(format string, args ...any) {
	d.Warnings = append(d.Warnings, fmt.Sprintf(format, args...))
}

// found notes findings of the library.
func (d *itemJSON) found(findings []pki.Finding) {
	for _, f := range findings {
		if f.Problem {
			d.problem("%s", f.Text)
		} else {
			d.warn("%s", f.Text)
		}
	}
}

// files checks files that are named one by one.
func (c *checking) files(files []string) {
	read := make(map[string][]pki.Item)
	var certificates []*x509.Certificate
	for _, file := range files {
		items, err := pki.ReadItems(file)
		if err == nil && len(items) == 0 {
			err = errors.New("the file is empty")
		}
		if err != nil {
			c.unreadable(file, "", err)
			continue
		}
		read[file] = items
		certificates = append(certificates, pki.Certificates(items)...)
	}
	for _, file := range files {
		all := pki.Certificates(read[file])
		for _, i := range read[file] {
			d := c.add(describe(file, i))
			switch {
			case i.Certificate != nil:
				c.certificate(d, i.Certificate, all)
			case i.Request != nil:
				if err := pki.CheckRequest(i.Request); err != nil {
					d.problem("%v", err)
				}
			case i.PrivateKey != nil:
				checkKeyFile(d)
				if len(certificates) > 0 && !belongs(i, certificates) {
					d.problem("the key belongs to none of the certificates that are given")
				}
			case i.Encrypted:
				d.problem("the key is encrypted, and a node cannot read it; openssl pkey decrypts it")
			}
		}
	}
}

// certificate checks one of the certificates of a file: the first is what the file is for, others may lead from it
// to an authority.
func (c *checking) certificate(d *itemJSON, cert *x509.Certificate, all []*x509.Certificate) {
	p := pki.Purpose{DaysLeft: c.o.days, Authorities: c.roots, Intermediates: all}
	if cert.IsCA { // what nodes show is meant by the other flags
		d.found(pki.Check(cert, p, now()))
		return
	}
	p.Server, p.Client = c.o.server, c.o.client
	for _, node := range append([]string{""}, c.o.nodes...) {
		q := p
		if q.Node = node; node != "" {
			q = pki.Purpose{Node: node}
		}
		d.foundNew(pki.Check(cert, q, now()))
	}
	for _, host := range c.o.hosts {
		d.foundNew(pki.Check(cert, pki.Purpose{Host: host}, now()))
	}
}

// foundNew notes findings that are not there yet.
func (d *itemJSON) foundNew(findings []pki.Finding) {
	var fresh []pki.Finding
	for _, f := range findings {
		if !contains(d.Problems, f.Text) && !contains(d.Warnings, f.Text) {
			fresh = append(fresh, f)
		}
	}
	d.found(fresh)
}

func belongs(i pki.Item, certificates []*x509.Certificate) bool {
	for _, c := range certificates {
		if pki.SameKey(c.PublicKey, i.PrivateKey.Public()) {
			return true
		}
	}
	return false
}

// result prints what was found, and is an error if there is a problem.
func (c *checking) result(stdout io.Writer) error {
	problems, warnings := 0, 0
	for _, d := range c.items {
		problems += len(d.Problems)
		warnings += len(d.Warnings)
	}
	if c.o.asJSON {
		items := c.items
		if items == nil {
			items = []itemJSON{}
		}
		err := writeJSON(stdout, struct {
			Good  bool       `json:"good"`
			Items []itemJSON `json:"items"`
		}{problems == 0, items})
		if err != nil {
			return err
		}
	} else {
		for _, d := range c.items {
			d.write(stdout)
		}
		fmt.Fprintf(stdout, "%s, %s, %s.\n", count(len(c.items), "item"), count(problems, "problem"), count(warnings, "warning"))
	}
	if problems > 0 {
		return errSaid
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
