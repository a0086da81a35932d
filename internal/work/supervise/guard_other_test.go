//go:build !linux

package supervise

import (
	"io"
	"os"
)

func startGuard() (io.Closer, error) { return os.Stdin, nil } // there is no supervisor

func guard(string) int { return 0 }
