package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/work"
	"github.com/receptor-go/receptor/internal/work/sign"
)

// loadKeys makes of a configuration what signs and verifies. A key file must be
// there. One that cannot be used is a warning, as it can be replaced at any time.
func loadKeys(cfg *config.File) (k work.Keys, warnings config.Problems, err error) {
	var missing config.Problems
	check := func(o config.Origin, key, file string, problem error) {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, o.Problem(key, fmt.Sprintf("%s does not exist", file)))
		} else if problem != nil {
			warnings = append(warnings, o.Problem(key, fmt.Sprintf("%s cannot be used (%v): signed work fails until it can", file, problem)))
		}
	}
	if c := cfg.WorkSigning; c != nil {
		s := sign.NewSigner(c.PrivateKey, c.TokenExpiration)
		k.Sign = s.Sign
		check(c.Origin, "privatekey", c.PrivateKey, s.Check())
	}
	if c := cfg.WorkVerification; c != nil {
		v := sign.NewVerifier(cfg.Node.ID, c.PublicKey)
		k.Verify, k.Strict = v.Verify, c.Strict
		check(c.Origin, "publickey", c.PublicKey, v.Check())
	}
	if len(missing) > 0 {
		return k, nil, missing
	}
	return k, warnings, nil
}

// keys are the keys of a configuration; what is odd about them is logged.
func (d *daemon) keys(cfg *config.File) (work.Keys, error) {
	k, warnings, err := loadKeys(cfg)
	for _, w := range warnings {
		d.log.Warn("configuration", "problem", w.String())
	}
	return k, err
}
