package main

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/receptor-go/receptor/internal/pki"
)

func newCertRequest(stdout io.Writer) *cobra.Command {
	var o struct {
		commonName, kind, inKey, outReq, outKey string
		nodes, hosts, addresses                 []string
		force                                   bool
	}
	cmd := &cobra.Command{
		Use:   "request --nodeid ID",
		Short: "Make a request for a certificate",
		Long: `Makes a private key and a request to sign it, for a node. The request goes to
whoever has the key of the authority; the private key stays where it is.

A certificate names the node by --nodeid: other nodes want to see that. Who dials
the node over TLS wants to see the host name or address that it dialled as well:
give each by --dnsname and --ipaddress. All of them may be repeated.`,
		Example: `  receptor cert request --nodeid n1 --dnsname n1.example.org --ipaddress 192.0.2.7
  receptor cert request --nodeid n1 --inkey n1.key --outreq renewed.csr`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names := pki.Names{DNS: o.hosts, NodeIDs: o.nodes}
			for _, a := range o.addresses {
				ip := net.ParseIP(a)
				if ip == nil {
					return fmt.Errorf("--ipaddress: invalid IP address: %s", a)
				}
				names.IPs = append(names.IPs, ip)
			}
			if names.Empty() {
				return errors.New("a certificate must name something: give --nodeid, and --dnsname or --ipaddress if others dial the node")
			}
			name := slices.Concat(o.nodes, o.hosts, o.addresses)[0]
			if o.commonName == "" {
				o.commonName = name
			}
			key := newKeyOf(o.kind)
			if o.inKey != "" {
				key = func() (crypto.Signer, error) { return pki.ReadKey(o.inKey) }
			}
			if !plainName.MatchString(name) && (o.outReq == "" || o.inKey == "" && o.outKey == "") {
				return fmt.Errorf("%q makes no file name: say where to write to, by --outreq and --outkey", name)
			}
			if o.outReq == "" {
				o.outReq = name + ".csr"
			}
			if o.outKey == "" && o.inKey == "" {
				o.outKey = name + ".key"
			}
			t := people(cmd, nil, stdout, o.force)
			if err := t.request(cmd.Context(), o.commonName, names, key, o.outReq, o.outKey); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s: request; have it signed with receptor cert sign\n", o.outReq)
			if o.outKey != "" {
				fmt.Fprintf(stdout, "%s: private key; it stays on this machine\n", o.outKey)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.nodes, "nodeid", nil, "`ID` of the node; may be repeated")
	f.StringArrayVar(&o.hosts, "dnsname", nil, "host `NAME` by which others dial the node; may be repeated")
	f.StringArrayVar(&o.addresses, "ipaddress", nil, "`ADDRESS` by which others dial the node; may be repeated")
	f.StringVar(&o.commonName, "commonname", "", "`NAME` in the subject, for people only (default the first of the other names)")
	keyKind(cmd, &o.kind)
	f.StringVar(&o.inKey, "inkey", "", "use the private key in `FILE` in place of a new one")
	f.StringVar(&o.outReq, "outreq", "", "`FILE` to write the request to (default ID.csr)")
	f.StringVar(&o.outKey, "outkey", "", "`FILE` to write the new private key to (default ID.key)")
	f.BoolVar(&o.force, "force", false, "replace files that are there")
	cmd.MarkFlagsMutuallyExclusive("inkey", "outkey")
	cmd.MarkFlagsMutuallyExclusive("inkey", "keytype")
	return cmd
}

// plainName is what a file can be called after.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$`)
