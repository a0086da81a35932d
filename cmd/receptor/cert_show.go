package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/pki"
)

// itemJSON is what is known of one certificate, request or key in the output of `cert show --json` and `cert check
// --json`. Fields are added, never changed. Lists are never null.
type itemJSON struct {
	File        string     `json:"file"`
	Kind        string     `json:"kind"`          // certificate, request, private key, public key, or the name of another PEM block
	Use         string     `json:"use,omitempty"` // the section and key that name the file
	Subject     string     `json:"subject,omitempty"`
	Issuer      string     `json:"issuer,omitempty"`
	Serial      string     `json:"serial,omitempty"` // hexadecimal
	NotBefore   *time.Time `json:"notbefore,omitempty"`
	NotAfter    *time.Time `json:"notafter,omitempty"`
	DaysLeft    *int       `json:"daysleft,omitempty"`
	Authority   bool       `json:"authority"`
	NodeIDs     []string   `json:"nodeids"`
	DNSNames    []string   `json:"dnsnames"`
	IPAddresses []string   `json:"ipaddresses"`
	OtherNames  []string   `json:"othernames"`
	Key         string     `json:"key,omitempty"`
	SHA256      string     `json:"sha256,omitempty"` // of the certificate, as in pinnedservercert
	Problems    []string   `json:"problems"`
	Warnings    []string   `json:"warnings"`
}

func newCertShow(stdout io.Writer) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "Show what is in files of certificates, requests and keys",
		Long: `Shows what is in PEM files: names, dates, issuers and fingerprints of certificates,
what requests ask for, and of keys the kind alone.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var all []itemJSON
			for _, file := range args {
				items, err := pki.ReadItems(file)
				if err != nil {
					return err
				}
				if len(items) == 0 {
					return fmt.Errorf("%s: the file is empty", file)
				}
				for _, i := range items {
					all = append(all, describe(file, i))
				}
			}
			if asJSON {
				return writeJSON(stdout, all)
			}
			for n, i := range all {
				if n > 0 {
					fmt.Fprintln(stdout)
				}
				i.write(stdout)
				i.writeNumbers(stdout)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list as JSON")
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// describe says what an item of a file is.
func describe(file string, i pki.Item) itemJSON {
	d := itemJSON{
		File: file, Kind: i.Block, NodeIDs: []string{}, DNSNames: []string{}, IPAddresses: []string{},
		OtherNames: []string{}, Problems: []string{}, Warnings: []string{},
	}
	switch {
	case i.Certificate != nil:
		d.certificate(i.Certificate)
	case i.Request != nil:
		d.Kind, d.Subject, d.Key = "request", i.Request.Subject.String(), pki.DescribeKey(i.Request.PublicKey)
		d.names(pki.RequestedNames(i.Request))
	case i.PrivateKey != nil:
		d.Kind, d.Key = "private key", pki.DescribeKey(i.PrivateKey.Public())
	case i.PublicKey != nil:
		d.Kind, d.Key = "public key", pki.DescribeKey(i.PublicKey)
	case i.Encrypted:
		d.Kind, d.Key = "private key", "encrypted"
	}
	return d
}

func (d *itemJSON) certificate(c *x509.Certificate) {
	left := pki.DaysLeft(c, now())
	sum := sha256.Sum256(c.Raw)
	d.Kind, d.Subject, d.Issuer, d.Authority = "certificate", c.Subject.String(), c.Issuer.String(), c.IsCA
	d.Serial, d.SHA256 = hex.EncodeToString(c.SerialNumber.Bytes()), hex.EncodeToString(sum[:])
	d.NotBefore, d.NotAfter, d.DaysLeft = &c.NotBefore, &c.NotAfter, &left
	d.Key = pki.DescribeKey(c.PublicKey)
	d.names(pki.NamesOf(c))
}

func (d *itemJSON) names(n pki.Names, others []string, err error) {
	if err != nil {
		d.Problems = append(d.Problems, err.Error())
	}
	d.NodeIDs = append(d.NodeIDs, n.NodeIDs...)
	d.DNSNames = append(d.DNSNames, n.DNS...)
	for _, ip := range n.IPs {
		d.IPAddresses = append(d.IPAddresses, net.IP.String(ip))
	}
	d.OtherNames = append(d.OtherNames, others...)
}

// write prints an item for people.
func (d *itemJSON) write(w io.Writer) {
	switch {
	case d.Authority:
		fmt.Fprintf(w, "%s: certificate of an authority\n", d.File)
	case d.Key != "" && d.Subject == "" && d.Kind != "certificate" && d.Kind != "request":
		fmt.Fprintf(w, "%s: %s, %s\n", d.File, d.Kind, d.Key)
	default:
		fmt.Fprintf(w, "%s: %s\n", d.File, d.Kind)
	}
	line := func(name, value string) { writeLine(w, name, value) }
	line("used by", d.Use)
	line("subject", pki.Printable(d.Subject))
	line("issuer", pki.Printable(d.Issuer))
	if d.NotAfter != nil {
		line("good from", day(*d.NotBefore))
		line("good until", day(*d.NotAfter)+daysText(*d.DaysLeft))
	}
	line("node IDs", joined(d.NodeIDs))
	line("DNS names", joined(d.DNSNames))
	line("addresses", joined(d.IPAddresses))
	line("other names", joined(d.OtherNames))
	if d.Subject != "" || d.NotAfter != nil || d.Kind == "request" {
		line("key", d.Key)
	}
	for _, p := range d.Problems {
		line("PROBLEM", p)
	}
	for _, p := range d.Warnings {
		line("warning", p)
	}
}

// writeNumbers prints what tells a certificate from others.
func (d *itemJSON) writeNumbers(w io.Writer) {
	writeLine(w, "serial", d.Serial)
	writeLine(w, "SHA-256", d.SHA256)
}

func writeLine(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "  %-12s %s\n", name, value)
	}
}

func daysText(left int) string {
	switch {
	case left < 0:
		return " (over)"
	case left == 1:
		return " (1 day left)"
	}
	return fmt.Sprintf(" (%d days left)", left)
}

func joined(names []string) string {
	printable := make([]string, len(names))
	for i, n := range names {
		printable[i] = pki.Printable(n)
	}
	return strings.Join(printable, ", ")
}
