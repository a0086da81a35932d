package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Output is a file to be written.
type Output struct {
	File   string
	Data   []byte
	Mode   fs.FileMode // of a new file
	Secret bool        // a private key: nobody but owner and group may ever have any right on it
}

// KeyOutput is a private key as a file, not encrypted, with mode 0600.
func KeyOutput(file string, key crypto.Signer) (Output, error) {
	data, err := marshalKey(key)
	return Output{File: file, Data: data, Mode: 0o600, Secret: true}, err
}

// PublicKeyOutput is a public key as a file (PKIX).
func PublicKeyOutput(file string, key crypto.PublicKey, mode fs.FileMode) (Output, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return Output{File: file, Data: pem.EncodeToMemory(&pem.Block{Type: blockPublicKey, Bytes: der}), Mode: mode}, err
}

// CertificateOutput is a certificate as a file.
func CertificateOutput(file string, c *x509.Certificate, mode fs.FileMode) Output {
	return Output{File: file, Data: pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: c.Raw}), Mode: mode}
}

// RequestOutput is a request as a file.
func RequestOutput(file string, r *x509.CertificateRequest, mode fs.FileMode) Output {
	return Output{File: file, Data: pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: r.Raw}), Mode: mode}
}

// Write writes files that belong together: each is replaced as a whole, in the order given, when all of them are on
// the disk; if one cannot be replaced, those before it are what they were. Without overwrite, a file that exists is an
// error (fs.ErrExist).
//
// A file that is replaced keeps its owner and mode, as far as the system lets it, but for the rights of others on what is
// Secret. A symbolic link stays, and what it points to is replaced. What is no regular file, as /dev/stdout, and what
// cannot be replaced but written, as a file that is mounted into a container, is written in place.
func Write(overwrite bool, outputs ...Output) error {
	var staged []*stagedFile
	defer func() {
		for _, s := range staged {
			s.cleanUp()
		}
	}()
	for i, o := range outputs {
		s, err := stage(o, overwrite)
		if err != nil {
			return err
		}
		staged = append(staged, s)
		for j := range i {
			if staged[j].target == s.target && !s.special {
				return fmt.Errorf("%s: two files would be written to this place, and only one would be left", o.File)
			}
		}
	}
	for i, s := range staged {
		if err := s.commit(overwrite); err != nil {
			for _, done := range staged[:i] {
				err = errors.Join(err, done.undo())
			}
			return err
		}
	}
	return nil
}

// stagedFile is an Output that lies beside its place.
type stagedFile struct {
	Output
	target  string // File, behind symbolic links
	special bool   // written in place
	temp    string // has the data; empty if special
	existed bool   // there was something before
	old     string // another name of what was there before, if it could get one
	done    bool
}

// stage checks an output's place and writes its data beside it.
func stage(o Output, overwrite bool) (*stagedFile, error) {
	if o.File == "" {
		return nil, errors.New("open : no such file or directory")
	}
	s := &stagedFile{Output: o, target: behindLinks(o.File)}
	info, err := os.Stat(s.target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		info = nil
	case err != nil:
		return nil, cannotOpen(o.File, err)
	case info.IsDir():
		return nil, fmt.Errorf("open %s: is a directory", o.File)
	case !info.Mode().IsRegular():
		s.special = true
		return s, nil
	case !overwrite:
		return nil, exists(o.File)
	}
	s.existed = info != nil
	err = s.writeTemp(info)
	if s.existed && err != nil && writable(s.target) {
		s.special = true
		return s, nil
	}
	return s, err
}

// behindLinks is the place that a name stands for, be there a file or not.
func behindLinks(file string) string {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		return target
	}
	if to, err := os.Readlink(file); err == nil { // to what is not there yet
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(file), to)
		}
		file = to
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
		return filepath.Join(dir, filepath.Base(file))
	}
	return file
}

// writable tells whether a file can be written.
func writable(file string) bool {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	return err == nil && f.Close() == nil
}

// cannotOpen says what went wrong with the file that people know of.
func cannotOpen(file string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return &fs.PathError{Op: "open", Path: file, Err: err}
}

func exists(file string) error {
	return &fs.PathError{Op: "write", Path: file, Err: fs.ErrExist}
}

// writeTemp writes the data to a new file beside the target; info is of what it will replace, or nil.
func (s *stagedFile) writeTemp(info fs.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(s.target), ".receptor-*.tmp")
	if err != nil {
		return cannotOpen(s.File, err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(s.Data); err != nil {
		return fmt.Errorf("write %s: %w", s.File, err)
	}
	mode := s.Mode
	if info != nil {
		mode = info.Mode().Perm()
		if s.Secret {
			mode &^= 0o007
		}
		if !keepOwner(f, info) && s.Secret {
			mode &= 0o600
		}
	}
	if err := f.Chmod(mode); err != nil {
		return fmt.Errorf("write %s: %w", s.File, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", s.File, err)
	}
	s.temp = f.Name()
	return nil
}

// commit puts the data in its place.
func (s *stagedFile) commit(overwrite bool) error {
	if s.special {
		return s.writeInPlace()
	}
	if !overwrite { // a link, unlike a rename, does not replace what has come meanwhile
		err := os.Link(s.temp, s.target)
		if errors.Is(err, fs.ErrExist) {
			return exists(s.File)
		}
		if err == nil {
			s.done = true
			syncDir(s.target)
			return nil
		}
	} else if s.existed {
		old := s.temp + ".old"
		if err := os.Link(s.target, old); err == nil {
			s.old = old
		}
	}
	if err := os.Rename(s.temp, s.target); err != nil {
		if s.existed && writable(s.target) {
			return s.writeInPlace()
		}
		return fmt.Errorf("write %s: %w", s.File, err)
	}
	s.temp, s.done = "", true
	syncDir(s.target)
	return nil
}

func (s *stagedFile) writeInPlace() error {
	f, err := os.OpenFile(s.target, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(s.Data); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", s.File, err)
	}
	return f.Close()
}

// undo makes the place what it was before commit.
func (s *stagedFile) undo() error {
	switch {
	case !s.done:
		return nil
	case !s.existed:
		return os.Remove(s.target)
	case s.old == "":
		return fmt.Errorf("%s is replaced already", s.File)
	}
	old := s.old
	s.old = "" // not to be cleaned up
	if err := os.Rename(old, s.target); err != nil {
		return fmt.Errorf("%s is replaced already, and its old content is in %s: %w", s.File, old, err)
	}
	return nil
}

// cleanUp removes what lies beside the place.
func (s *stagedFile) cleanUp() {
	for _, name := range []string{s.temp, s.old} {
		if name != "" {
			os.Remove(name)
		}
	}
}

// syncDir makes sure that a new name in a directory stays. Systems that cannot sync directories are not asked to.
func syncDir(file string) {
	if d, err := os.Open(filepath.Dir(file)); err == nil {
		d.Sync()
		d.Close()
	}
}
