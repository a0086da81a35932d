package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/receptor-go/receptor/internal/pki"
)

// certTools make certificates, for the sections cert-* as well as for the commands of `receptor cert`.
type certTools struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	// force replaces files that are there. The sections always do, as those of ansible/receptor.
	force bool
	// public is the mode of new files without secrets.
	public fs.FileMode
}

// unlessEnded calls a function that cannot be stopped, and does not wait for it longer than ctx.
func unlessEnded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() { // ends with f, or with the process
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("nothing was written: %w", context.Cause(ctx))
	}
}

// authority makes an authority, and writes its key and certificate.
func (t certTools) authority(ctx context.Context, commonName string, key func() (crypto.Signer, error), v pki.Validity, outCert, outKey string) error {
	if v.Empty() {
		t.warn("the certificate ends before it begins: it will never be good")
	}
	k, err := unlessEnded(ctx, key) // to make one may take minutes
	if err != nil {
		return err
	}
	c, err := pki.NewAuthority(commonName, k, v)
	if err != nil {
		return err
	}
	out, err := pki.KeyOutput(outKey, k)
	if err != nil {
		return err
	}
	return t.write(out, pki.CertificateOutput(outCert, c, t.public))
}

// request makes a request, and writes it; the key as well, if outKey is not empty.
func (t certTools) request(ctx context.Context, commonName string, names pki.Names, key func() (crypto.Signer, error), outReq, outKey string) error {
	k, err := unlessEnded(ctx, key) // to make one may take minutes
	if err != nil {
		return err
	}
	r, err := pki.NewRequest(commonName, names, k)
	if err != nil {
		return err
	}
	request := pki.RequestOutput(outReq, r, t.public)
	if outKey == "" {
		return t.write(request)
	}
	out, err := pki.KeyOutput(outKey, k)
	if err != nil {
		return err
	}
	return t.write(out, request)
}

// write writes files that belong together, or none.
func (t certTools) write(outputs ...pki.Output) error {
	err := pki.Write(t.force, outputs...)
	if pe, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(pe.Err, fs.ErrExist) {
		return taken(pe.Path)
	}
	return err
}

func taken(file string) error {
	return fmt.Errorf("%s is there already: --force replaces it, or name another file; nothing was written", file)
}

// free tells whether a file may be written; write looks again.
func (t certTools) free(file string) error {
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && !t.force {
		return taken(file)
	}
	return nil
}

func (t certTools) warn(format string, args ...any) {
	fmt.Fprintf(t.stderr, "Warning: "+format+"\n", args...)
}

// show prints what a request asks for, as ansible/receptor does (spec certificates 1.3).
func (t certTools) show(r *x509.CertificateRequest) error {
	names, others, err := pki.RequestedNames(r)
	if err != nil {
		return err
	}
	w := t.stdout
	fmt.Fprintf(w, "Requested certificate:\n")
	fmt.Fprintf(w, "  Subject: %s\n", pki.Printable(r.Subject.String()))
	fmt.Fprintf(w, "  Encryption Algorithm: %s\n", pki.DescribeKey(r.PublicKey))
	fmt.Fprintf(w, "  Signature Algorithm: %s\n", r.SignatureAlgorithm)
	fmt.Fprintf(w, "  Names:\n")
	for _, n := range names.DNS {
		fmt.Fprintf(w, "    DNS Name: %s\n", pki.Printable(n))
	}
	for _, ip := range names.IPs {
		fmt.Fprintf(w, "    IP Address: %s\n", ip)
	}
	for _, id := range names.NodeIDs {
		fmt.Fprintf(w, "    Receptor Node ID: %s\n", pki.Printable(id))
	}
	for _, o := range others {
		fmt.Fprintf(w, "    Not used by receptor: %s\n", o)
	}
	return nil
}

// confirm asks whether to sign, and is an error unless the answer is yes. The answers are taken, and the messages are
// worded, as by ansible/receptor.
func (t certTools) confirm(ctx context.Context) error {
	fmt.Fprint(t.stdout, "Sign certificate (yes/no)? ")
	answer, err := unlessEnded(ctx, func() (string, error) {
		var word string
		_, err := fmt.Fscanln(t.stdin, &word) // reads no further than the line
		return word, err
	})
	if err != nil {
		return err
	}
	if !saysYes(answer) {
		return errors.New("user declined")
	}
	return nil
}

// sign signs a request, after it has asked unless sure, and writes the certificate.
func (t certTools) sign(ctx context.Context, r *x509.CertificateRequest, ca *x509.Certificate, caKey crypto.Signer, v pki.Validity, sure bool, outCert string) error {
	if err := pki.CheckRequest(r); err != nil {
		return err
	}
	if err := pki.CheckAuthorityKey(ca, caKey); err != nil {
		return err
	}
	for _, doubt := range pki.Doubts(r, ca, v, now()) {
		t.warn("%s", doubt)
	}
	if !sure {
		if err := t.show(r); err != nil {
			return err
		}
		if err := t.confirm(ctx); err != nil {
			return err
		}
	}
	c, err := pki.Sign(r, ca, caKey, v)
	if err != nil {
		return err
	}
	return t.write(pki.CertificateOutput(outCert, c, t.public))
}

// publicMode is that of files that `receptor cert` makes and that hold no secret.
const publicMode fs.FileMode = 0o644
