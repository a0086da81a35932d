package main

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/pki"
)

// newCert makes the commands that make and check certificates. They do for people what the sections cert-init,
// cert-makereq and cert-signreq do, and more.
func newCert(stdin io.Reader, stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make, show and check certificates",
		Long: `Makes an authority, requests of nodes, and the certificates that the authority
signs for them; shows and checks what there is. A mesh with TLS takes three steps:

  receptor cert init --commonname "our mesh"           ca.crt and ca.key, once
  receptor cert request --nodeid n1 --dnsname n1.lan   n1.csr and n1.key, on the node
  receptor cert sign n1.csr                            n1.crt, where ca.key is

The node then uses n1.crt, n1.key and ca.crt. Private keys never leave the
machine they are made on. Files that are there are not replaced without --force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCertInit(stdout), newCertRequest(stdout), newCertSign(stdin, stdout), newCertShow(stdout), newCertCheck(stdout), newCertSigningKey(stdout))
	return cmd
}

// keyKind is a flag for the kind of a new key.
func keyKind(cmd *cobra.Command, kind *string) {
	var names []string
	for _, k := range pki.KeyKinds() {
		names = append(names, string(k))
	}
	cmd.Flags().StringVar(kind, "keytype", string(pki.KeyKinds()[0]), "`KIND` of the new key: "+strings.Join(names, ", "))
	mustComplete(cmd, "keytype", names...)
}

// mustComplete completes a flag by fixed words.
func mustComplete(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: " + err.Error())
	}
}

func newKeyOf(kind string) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return pki.NewKey(pki.KeyKind(kind)) }
}

// validityFlags say when a certificate is to be good.
type validityFlags struct {
	days        int
	from, until string
}

// maxDays bounds how long a certificate may be good: the year 9999 is the last that it can name.
const maxDays = 365 * 1000

func (v *validityFlags) add(cmd *cobra.Command, days int) {
	f := cmd.Flags()
	f.IntVar(&v.days, "days", days, "how many days the certificate is good")
	f.StringVar(&v.from, "notbefore", "", "`TIME` from which it is good, as in 2026-01-02T15:04:05Z (default now)")
	f.StringVar(&v.until, "notafter", "", "`TIME` until which it is good, in place of --days")
	cmd.MarkFlagsMutuallyExclusive("days", "notafter")
	mustComplete(cmd, "notbefore")
	mustComplete(cmd, "notafter")
}

func (v *validityFlags) validity() (pki.Validity, error) {
	if v.days < 1 || v.days > maxDays {
		return pki.Validity{}, fmt.Errorf("--days: %d days are not possible: there must be 1 to %d", v.days, maxDays)
	}
	from := now()
	if v.from != "" {
		var err error
		if from, err = parseTime("notbefore", v.from); err != nil {
			return pki.Validity{}, err
		}
	}
	until := from.AddDate(0, 0, v.days)
	if v.until != "" {
		var err error
		if until, err = parseTime("notafter", v.until); err != nil {
			return pki.Validity{}, err
		}
	}
	if !from.Before(until) {
		return pki.Validity{}, errors.New("--notafter: the certificate would end before it begins")
	}
	return pki.Validity{NotBefore: from, NotAfter: until}, nil
}

// parseTime takes a time, or a day alone.
func parseTime(flag, s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s: %q is not a time: write it as in 2026-01-02T15:04:05Z or 2026-01-02", flag, s)
}

// people are the tools as `receptor cert` has them.
func people(cmd *cobra.Command, stdin io.Reader, stdout io.Writer, force bool) certTools {
	return certTools{stdin: stdin, stdout: stdout, stderr: cmd.ErrOrStderr(), force: force, public: publicMode}
}
