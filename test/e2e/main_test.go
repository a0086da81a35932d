//go:build e2e

// Package e2e runs the programs as users do: real daemons on loopback, the real
// CLI, real failures. Each test has its own nodes; everything is polled with a
// deadline, nothing sleeps.
package e2e

import (
	"os"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Build(m, &programs)) }
