package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newCertInit(stdout io.Writer) *cobra.Command {
	var o struct {
		commonName, kind, outCert, outKey string
		force                             bool
		validityFlags
	}
	cmd := &cobra.Command{
		Use:   "init --commonname NAME",
		Short: "Make an authority",
		Long: `Makes an authority: a private key, and a certificate that all nodes get. Whoever
has the key can make certificates that all nodes trust: keep it on one machine,
readable by nobody else.`,
		Example: `  receptor cert init --commonname "our mesh"
  receptor cert init --commonname "our mesh" --keytype ecdsa-p256 --days 1825 --outcert new-ca.crt --outkey new-ca.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := o.validity()
			if err != nil {
				return err
			}
			t := people(cmd, nil, stdout, o.force)
			if err := t.authority(cmd.Context(), o.commonName, newKeyOf(o.kind), v, o.outCert, o.outKey); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: certificate of the authority, good until %s; all nodes need it\n", o.outCert, day(v.NotAfter))
			fmt.Fprintf(stdout, "%s: its private key; keep it to yourself\n", o.outKey)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.commonName, "commonname", "", "`NAME` of the authority")
	keyKind(cmd, &o.kind)
	o.add(cmd, 10*365)
	f.StringVar(&o.outCert, "outcert", "ca.crt", "`FILE` to write the certificate to")
	f.StringVar(&o.outKey, "outkey", "ca.key", "`FILE` to write the private key to")
	f.BoolVar(&o.force, "force", false, "replace files that are there")
	mustRequire(cmd, "commonname")
	return cmd
}

func mustRequire(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagRequired(flag); err != nil {
		panic("BUG: " + err.Error())
	}
}
