//go:build e2e

// Package e2e runs the programs as users do: real daemons on loopback, the real
// CLI, real failures. Each test has its own nodes; everything is polled with a
// deadline, nothing sleeps.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

var programs harness.Programs

// parallel is how many tests run side by side unless -parallel says otherwise:
// they wait most of the time, for daemons that wait.
const parallel = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		flag.Set("test.parallel", parallel)
	}
	fmt.Printf("RECEPTOR_SEED=%d\n", seed)
	os.Exit(harness.Build(m, &programs))
}
