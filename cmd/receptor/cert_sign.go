package main

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/pki"
)

func newCertSign(stdin io.Reader, stdout io.Writer) *cobra.Command {
	var o struct {
		caCert, caKey, outCert string
		sure, force            bool
		validityFlags
	}
	cmd := &cobra.Command{
		Use:   "sign REQUEST",
		Short: "Sign a request with the key of an authority",
		Long: `Shows what a request asks for, asks whether to sign it, and writes the
certificate. Look at the node IDs: whoever has the private key of the request will
be taken for these nodes.`,
		Example: `  receptor cert sign n1.csr
  receptor cert sign n1.csr --cacert ca.crt --cakey ca.key --days 90 --outcert n1.crt --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := o.validity()
			if err != nil {
				return err
			}
			r, err := pki.ReadRequest(args[0])
			if err != nil {
				return err
			}
			caKey, err := pki.ReadKey(o.caKey)
			if err != nil {
				return fmt.Errorf("key of the authority: %w", err)
			}
			ca, err := authorityOf(o.caCert, o.caKey, caKey)
			if err != nil {
				return err
			}
			if o.outCert == "" {
				o.outCert = strings.TrimSuffix(args[0], filepath.Ext(args[0])) + ".crt"
			}
			t := people(cmd, stdin, stdout, o.force)
			if err := t.free(o.outCert); err != nil { // before anybody is asked
				return err
			}
			if err := t.sign(cmd.Context(), r, ca, caKey, v, o.sure, o.outCert); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: certificate, good until %s\n", o.outCert, day(v.NotAfter))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.caCert, "cacert", "ca.crt", "`FILE` with the certificate of the authority")
	f.StringVar(&o.caKey, "cakey", "ca.key", "`FILE` with the private key of the authority")
	f.StringVar(&o.outCert, "outcert", "", "`FILE` to write the certificate to (default REQUEST with the ending .crt)")
	o.add(cmd, 365)
	f.BoolVarP(&o.sure, "yes", "y", false, "do not ask")
	f.BoolVar(&o.force, "force", false, "replace a certificate that is there")
	return cmd
}

// authorityOf finds the certificate of a key in a file that may have several.
func authorityOf(file, keyFile string, key crypto.Signer) (*x509.Certificate, error) {
	cs, err := pki.ReadCertificates(file)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	for _, c := range cs {
		if pki.SameKey(c.PublicKey, key.Public()) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the key in %s belongs to no certificate in %s", keyFile, file)
}

// day is a time for people.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
