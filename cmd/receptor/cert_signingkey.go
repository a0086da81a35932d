package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/pki"
)

func newCertSigningKey(stdout io.Writer) *cobra.Command {
	var o struct {
		kind, outKey, outPub string
		force                bool
	}
	cmd := &cobra.Command{
		Use:   "signing-key",
		Short: "Make a pair of keys for signed work",
		Long: `Makes a private key for the section work-signing of nodes that submit work, and
the public key for the section work-verification of nodes that run it. It has
nothing to do with certificates. Nodes of ansible/receptor know RSA keys alone.`,
		Example: `  receptor cert signing-key
  receptor cert signing-key --keytype ed25519 --outkey new.key --outpub new.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := people(cmd, nil, stdout, o.force)
			k, err := unlessEnded(cmd.Context(), newKeyOf(o.kind)) // to make one may take a while
			if err != nil {
				return err
			}
			key, err := pki.KeyOutput(o.outKey, k)
			if err != nil {
				return err
			}
			pub, err := pki.PublicKeyOutput(o.outPub, k.Public(), t.public)
			if err != nil {
				return err
			}
			if err := t.write(key, pub); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: private key; for work-signing, on nodes that submit work\n", o.outKey)
			fmt.Fprintf(stdout, "%s: public key; for work-verification, on nodes that run it\n", o.outPub)
			return nil
		},
	}
	f := cmd.Flags()
	keyKind(cmd, &o.kind)
	f.StringVar(&o.outKey, "outkey", "signing.key", "`FILE` to write the private key to")
	f.StringVar(&o.outPub, "outpub", "signing.pub", "`FILE` to write the public key to")
	f.BoolVar(&o.force, "force", false, "replace files that are there")
	return cmd
}
